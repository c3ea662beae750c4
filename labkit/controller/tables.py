"""Forwarding tables as the controller keeps them, and the way from one to the next (`labkit.feed.tables`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network

from labkit.feed.tables import ForwardingTable, NextHops, TableDelta

Desired = Mapping[IPv4Network, NextHops]
"""What a table should be: the next hops of every prefix."""


@dataclass(frozen=True, slots=True)
class Table:
    """Groups by id and the group of every prefix. `next_id` is the first id never used."""

    groups: Mapping[int, NextHops] = field(default_factory=dict)
    routes: Mapping[IPv4Network, int] = field(default_factory=dict)
    next_id: int = 1

    def desired(self) -> dict[IPv4Network, NextHops]:
        """The hop of every prefix."""
        return {prefix: self.groups[group] for prefix, group in self.routes.items()}

    def message(self) -> ForwardingTable:
        """The whole table as the feed has it."""
        return ForwardingTable(self.groups, {str(prefix): i for prefix, i in self.routes.items()})


@dataclass(frozen=True, slots=True)
class Delta:
    """What turns one table into another; to be applied in the order of the fields."""

    groups: Mapping[int, NextHops]
    routes: Mapping[IPv4Network, int]
    removed_routes: tuple[IPv4Network, ...]
    removed_groups: tuple[int, ...]

    def __bool__(self) -> bool:
        return bool(self.groups or self.routes or self.removed_routes or self.removed_groups)

    def message(self) -> TableDelta:
        """The delta as the feed has it."""
        return TableDelta(
            self.groups,
            {str(prefix): i for prefix, i in self.routes.items()},
            tuple(map(str, self.removed_routes)),
            self.removed_groups,
        )


def diff(old: Table, wanted: Desired) -> tuple[Table, Delta]:
    """The new table and the way to it.

    A group whose remaining prefixes all want the same other next hops of the same type is rewritten in place. Two
    groups may then lead to the same place; they stay apart on purpose, so that the way back is as short.

    Returns:
        The new table and the delta; the delta is falsy when nothing changed.
    """
    rewritten = _rewritten(old, wanted)
    groups = {**old.groups, **rewritten}
    by_hop: dict[NextHops, int] = {}
    for group_id, hop in groups.items():
        by_hop.setdefault(hop, group_id)
    next_id = old.next_id
    routes: dict[IPv4Network, int] = {}
    moved: dict[IPv4Network, int] = {}
    created: dict[int, NextHops] = {}
    for prefix, hop in wanted.items():
        current = old.routes.get(prefix)
        if current is not None and groups[current] == hop:
            routes[prefix] = current
            continue
        target = by_hop.get(hop)
        if target is None:
            target = by_hop[hop] = next_id
            created[target] = groups[target] = hop
            next_id += 1
        routes[prefix] = moved[prefix] = target
    used = set(routes.values())
    unused = tuple(i for i in groups if i not in used)
    new = Table({i: hop for i, hop in groups.items() if i in used}, routes, next_id)
    changed = {i: hop for i, hop in (rewritten | created).items() if i in used}
    removed = tuple(prefix for prefix in old.routes if prefix not in routes)
    return new, Delta(changed, moved, removed, unused)


def _rewritten(old: Table, wanted: Desired) -> dict[int, NextHops]:
    """The groups whose every remaining prefix wants one other hop of the same type."""
    wishes: dict[int, NextHops | None] = {}
    for prefix, group_id in old.routes.items():
        hop = wanted.get(prefix)
        if hop is None:
            continue
        if wishes.setdefault(group_id, hop) != hop:
            wishes[group_id] = None
    return {
        i: hop
        for i, hop in wishes.items()
        if hop is not None and hop != old.groups[i] and hop.type is old.groups[i].type and hop.next_hops
    }
