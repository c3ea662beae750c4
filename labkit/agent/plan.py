"""One change of the kernel: its stages, each a batch of messages that may go out once the one before is confirmed.

The order keeps every packet on a route that is right or was right: nexthops before the groups that hold them, groups
before the routes that point at them, new routes before the old ones go. A route that shall lead elsewhere is made in
front of the old one, which is then removed by its full description; in between, the new one is in effect. The usual
"replace" is one message less, but takes away whatever route it finds, even one that somebody else has put there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from labkit.agent.feed_table import Prefix
from labkit.agent.kernel_routes import KernelState, RouteChanges, Target, Uplink, Wanted
from labkit.agent.netlink import (
    NLM_F_CREATE,
    RTM_DELROUTE,
    RTM_NEWROUTE,
    pack_group,
    pack_hop,
    pack_nexthop_removal,
    pack_routes,
    pack_stray_route,
)


class StageKind(StrEnum):
    """What a stage does."""

    STRAY = "stray routes removed"
    HOP = "next hops made"
    GROUP = "next-hop groups set"
    ADD = "added"
    CHANGE = "changed"
    REPLACED = "old routes removed"
    REMOVE = "removed"
    CLEAN = "nexthops removed"


MAKING = frozenset({StageKind.HOP, StageKind.GROUP, StageKind.ADD, StageKind.CHANGE})
"""The kinds that make or set something; the others remove."""


class Stage(NamedTuple):
    """Messages, and what each is about: a prefix, a nexthop id, or (`STRAY`) a place in the list."""

    kind: StageKind
    subjects: Sequence[Prefix | int]
    messages: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class FibPlan:
    """What is there, what shall be, and the difference in routes."""

    kernel: KernelState
    wanted: Wanted
    changes: RouteChanges
    uplink: Uplink

    def stages(self) -> Iterator[Stage]:
        """The stages with something to do, in order; packed as they are asked for."""
        for stage in self._all():
            if stage.messages:
                yield stage

    def _all(self) -> Iterator[Stage]:
        kernel, wanted, changes = self.kernel, self.wanted, self.changes
        strays = kernel.stray_routes
        yield Stage(StageKind.STRAY, range(len(strays)), [pack_stray_route(body, n) for n, body in enumerate(strays)])
        hops = [number for number in wanted.hops if number not in kernel.hops]
        made = [pack_hop(number, wanted.hops[number], self.uplink.ifindex, n) for n, number in enumerate(hops)]
        yield Stage(StageKind.HOP, hops, made)
        groups = [number for number, members in wanted.groups.items() if kernel.groups.get(number) != members]
        yield Stage(StageKind.GROUP, groups, [pack_group(g, wanted.groups[g], n) for n, g in enumerate(groups)])
        table = self.uplink.share.table
        yield _routes(StageKind.ADD, table, RTM_NEWROUTE, NLM_F_CREATE, changes.added.items())
        changed = ((t[1], p) for t, p in changes.changed.items())
        yield _routes(StageKind.CHANGE, table, RTM_NEWROUTE, NLM_F_CREATE, changed)
        yield _routes(StageKind.REPLACED, table, RTM_DELROUTE, 0, ((t[0], p) for t, p in changes.changed.items()))
        yield _routes(StageKind.REMOVE, table, RTM_DELROUTE, 0, changes.removed.items())
        # Groups first: removing the last member of a group takes the group along.
        unused = [number for number in kernel.groups if number not in wanted.groups]
        unused += kernel.stray_nexthops
        unused += [number for number in kernel.hops if number not in wanted.hops]
        yield Stage(StageKind.CLEAN, unused, [pack_nexthop_removal(number, n) for n, number in enumerate(unused)])

    def rewritten(self) -> list[int]:
        """The feed groups whose kernel group stays and gets other members."""
        targets = self.wanted.targets.items()
        numbers = {
            number
            for number, members in self.wanted.groups.items()
            if number in self.kernel.groups and self.kernel.groups[number] != members
        }
        return [group for group, target in targets if target is not None and target.group in numbers]


def _routes(
    kind: StageKind, table: int, command: int, flags: int, by_target: Iterable[tuple[Target, list[Prefix]]]
) -> Stage:
    subjects: list[Prefix | int] = []
    messages: list[bytes] = []
    for target, prefixes in by_target:
        messages += pack_routes(command, flags, target, prefixes, len(messages), table)
        subjects += prefixes
    return Stage(kind, subjects, messages)


Counts = Counter[StageKind]
"""Messages that the kernel confirmed."""
