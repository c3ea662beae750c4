"""The kernel's FIB kept equal to a table: reconciled with what is there, then followed change by change."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from socket import inet_ntoa

from labkit.agent import report
from labkit.agent.dump import read_kernel
from labkit.agent.feed_table import Address, FeedTable, Prefix, prefix_text
from labkit.agent.kernel_routes import Ids, KernelState, Target, Uplink, adopt, extend, route_changes, sendable, wanted
from labkit.agent.netlink import Refusal, RouteSocket
from labkit.agent.plan import MAKING, Counts, FibPlan, Stage, StageKind


@dataclass(slots=True)
class Refused:
    """What the kernel would not do, by what it would not do it to, with its reason."""

    hops: dict[Address, str] = field(default_factory=dict)
    groups: dict[int, str] = field(default_factory=dict)
    routes: dict[Prefix, str] = field(default_factory=dict)
    removals: dict[tuple[StageKind, Prefix | int], str] = field(default_factory=dict)

    def learn(self, stage: Stage, refusals: Mapping[int, Refusal], ids: Ids) -> None:
        """Take note of what became of a stage. While there is more to learn, another plan can do better."""
        addresses = {number: address for address, number in ids.hops.items()}
        groups = {number: group for group, number in ids.groups.items()}
        for position, refusal in refusals.items():
            subject = stage.subjects[position]
            if stage.kind in {StageKind.ADD, StageKind.CHANGE} and isinstance(subject, bytes):
                self.routes[subject] = refusal.text
            elif stage.kind is StageKind.HOP and isinstance(subject, int):
                self.hops[addresses[subject]] = refusal.text
            elif stage.kind is StageKind.GROUP and isinstance(subject, int):
                self.groups[groups[subject]] = refusal.text
            else:
                self.removals[stage.kind, subject] = refusal.text

    def __len__(self) -> int:
        return len(self.hops) + len(self.groups) + len(self.routes) + len(self.removals)


@dataclass(frozen=True, slots=True)
class FibOutcome:
    """What an installation came to: what the kernel confirmed, what that means, and how long it took.

    `error` is None when the kernel holds the table, else what it lacks and why; then `lines` is empty.
    """

    counts: Counts
    lines: list[str]
    seconds: float
    error: str | None


@dataclass(frozen=True, slots=True)
class _Settled:
    """What the kernel is known to hold after a change without an error (`kernel.routes` is left empty)."""

    kernel: KernelState
    ids: Ids
    targets: Mapping[int, Target | None]
    uplink: Uplink


class Fib:
    """A share of this network namespace's FIB: routes and nexthops of the agent's protocol, and nothing else."""

    def __init__(self) -> None:
        self._socket = RouteSocket()
        self._settled: _Settled | None = None

    def close(self) -> None:
        """Let go of the kernel; what is installed stays."""
        self._socket.close()

    def reconcile(self, table: FeedTable, uplink: Uplink) -> FibOutcome:
        """Read what the kernel holds, keep what is right, change the difference.

        What the kernel refuses is left out and reported, and the rest is installed.

        Raises:
            OSError: the netlink socket failed, or the kernel refused to be read.
        """
        began, table = time.perf_counter(), sendable(table, uplink)
        self._settled = None
        refused = Refused()
        counts: Counts = Counter()
        lines: list[str] | None = None
        while True:
            kernel = read_kernel(self._socket, uplink.ifindex, uplink.share)
            ids = adopt(table, kernel, uplink.share.first_id)
            want = wanted(table, ids, uplink, refused.hops, refused.groups)
            changes = route_changes(
                kernel.routes, table.routes, want.targets, lambda p: p in refused.routes or uplink.connects(p)
            )
            plan = FibPlan(kernel, want, changes, uplink)
            if lines is None:
                lines = report.changes(plan, table)
            failures = self._run(plan, counts)
            if not failures:
                refused.removals.clear()
                break
            known = len(refused)
            for stage, refusals in failures:
                refused.learn(stage, refusals, ids)
            if len(refused) == known:
                break
        if not refused:
            self._settle(plan, ids)
        # The lines have what was meant to happen, which is not what happened if something was refused.
        return FibOutcome(counts, [] if refused else lines, time.perf_counter() - began, _error(refused))

    def update(self, table: FeedTable, before: Mapping[Prefix, int | None], uplink: Uplink) -> FibOutcome:
        """Follow a delta that was applied to `table`; `before` are the prefixes it named with their former groups.

        Costs as much as the delta is long. If anything is not as it was left, everything is reconciled.

        Raises:
            OSError: as for `reconcile`.
        """
        began, table = time.perf_counter(), sendable(table, uplink)
        settled = self._settled
        if settled is None or settled.uplink != uplink:
            return self.reconcile(table, uplink)
        ids = extend(settled.ids, table, settled.kernel.used_ids(), uplink.share.first_id)
        want = wanted(table, ids, uplink, (), ())
        if any(want.targets.get(group, target) != target for group, target in settled.targets.items()):
            return self.reconcile(table, uplink)
        current = {
            prefix: settled.targets[group] if group is not None and not uplink.connects(prefix) else None
            for prefix, group in before.items()
        }
        routes = {prefix: table.routes[prefix] for prefix in before if prefix in table.routes}
        plan = FibPlan(settled.kernel, want, route_changes(current, routes, want.targets, uplink.connects), uplink)
        lines = report.changes(plan, table)
        counts: Counts = Counter()
        if self._run(plan, counts):
            return self.reconcile(table, uplink)
        self._settle(plan, ids)
        return FibOutcome(counts, lines, time.perf_counter() - began, None)

    def _run(self, plan: FibPlan, counts: Counts) -> list[tuple[Stage, Mapping[int, Refusal]]]:
        """Carry out a plan and return the stages in which something was refused.

        What could not be made ends the run, because later stages build on it; what could not be removed does not.
        """
        failures: list[tuple[Stage, Mapping[int, Refusal]]] = []
        for stage in plan.stages():
            refusals = self._socket.transact(stage.messages)
            counts[stage.kind] += len(stage.messages) - len(refusals)
            if refusals:
                failures.append((stage, refusals))
                if stage.kind in MAKING:
                    break
        return failures

    def _settle(self, plan: FibPlan, ids: Ids) -> None:
        kernel = KernelState(
            dict(plan.wanted.hops), dict(plan.wanted.groups), foreign_nexthops=plan.kernel.foreign_nexthops
        )
        self._settled = _Settled(kernel, ids, plan.wanted.targets, plan.uplink)


def _error(refused: Refused) -> str | None:
    parts = [f"next hop {inet_ntoa(address)}: {text}" for address, text in refused.hops.items()]
    parts += [f"next hop group {group}: {text}" for group, text in refused.groups.items()]
    parts += [f"{prefix_text(prefix)}: {text}" for prefix, text in refused.routes.items()]
    parts += [f"{kind}: {text}" for (kind, _), text in refused.removals.items()]
    if not parts:
        return None
    return "; ".join(parts[: report.SHOWN]) + report.more(len(parts))
