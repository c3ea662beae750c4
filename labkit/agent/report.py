"""What changed, in lines that a person reads: all of a few changes, a few of many."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from socket import inet_ntoa

from labkit.agent.feed_table import FeedTable, prefix_text
from labkit.agent.kernel_routes import Members, Target
from labkit.agent.plan import FibPlan

SHOWN = 8
"""Lines of each report at most, before the rest is only counted."""


def more(total: int) -> str:
    """The end of a list of which `SHOWN` items are shown."""
    return f" … and {total - SHOWN:,} more" if total > SHOWN else ""


def changes(plan: FibPlan, table: FeedTable) -> list[str]:
    """What a plan does to routes: rewritten groups with the number of their prefixes, then single prefixes."""
    counted = [
        len(p) for part in (plan.changes.added, plan.changes.changed, plan.changes.removed) for p in part.values()
    ]
    total = sum(counted) + len(plan.rewritten())
    lines = list(islice(_lines(plan, table), SHOWN))
    return [*lines, more(total).strip()] if total > SHOWN else lines


def _lines(plan: FibPlan, table: FeedTable) -> Iterator[str]:
    for group in plan.rewritten():
        target = plan.wanted.targets[group]
        assert target is not None
        was = _via(plan.kernel.groups[target.group], plan)
        now = _via(plan.wanted.groups[target.group], plan)
        prefixes = [prefix for prefix, at in table.routes.items() if at == group]
        subject = prefix_text(prefixes[0]) if len(prefixes) == 1 else f"{len(prefixes):,} prefixes"
        yield f"{subject}: {was} → {now}"
    for (old, new), moved in plan.changes.changed.items():
        for prefix in moved:
            yield f"{prefix_text(prefix)}: {_text(old, plan)} → {_text(new, plan)}"
    for target, added in plan.changes.added.items():
        for prefix in added:
            yield f"{prefix_text(prefix)}: {_text(target, plan)}"
    for target, removed in plan.changes.removed.items():
        for prefix in removed:
            yield f"{prefix_text(prefix)}: {_text(target, plan)} → gone"


def _text(target: Target, plan: FibPlan) -> str:
    if target.gateway:
        return f"via {inet_ntoa(target.gateway)}"
    if not target.group:
        return "on-link"
    members = plan.wanted.groups.get(target.group, plan.kernel.groups.get(target.group, ()))
    return _via(members, plan)


def _via(members: Members, plan: FibPlan) -> str:
    known = plan.kernel.hops | dict(plan.wanted.hops)
    names = [inet_ntoa(known[m.nexthop]) if m.nexthop in known else f"nexthop {m.nexthop}" for m in members]
    return "via " + ", ".join(names)
