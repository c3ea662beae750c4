"""Forwarding tables as agents and fabrics receive them: prefixes pointing at next-hop groups with stable ids.

A failover changes where a group leads, not which group a prefix belongs to. So it is one small message, one kernel
object and one nftables chain, whether ten prefixes follow it or a hundred thousand.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network

from labkit.azure.model import EffectiveRoute, NextHopType, RouteState


@dataclass(frozen=True, slots=True)
class Hop:
    """Where a group leads: a type and, for appliances and gateways, the next hops in ascending order."""

    type: NextHopType
    next_hops: tuple[IPv4Address, ...] = ()

    def wire(self) -> dict[str, object]:
        """The group as it stands in a message: `{"type": str, "next_hops": [str]}`."""
        return {"type": str(self.type), "next_hops": [str(a) for a in self.next_hops]}

    def __str__(self) -> str:
        return " ".join([str(self.type), *map(str, self.next_hops)])


Desired = Mapping[IPv4Network, Hop]
"""What a table should say: the hop of every prefix."""


@dataclass(frozen=True, slots=True)
class Table:
    """Groups by id and the group of every prefix. `next_id` is the first id never used."""

    groups: Mapping[int, Hop] = field(default_factory=dict)
    routes: Mapping[IPv4Network, int] = field(default_factory=dict)
    next_id: int = 1

    def desired(self) -> dict[IPv4Network, Hop]:
        """The hop of every prefix."""
        return {prefix: self.groups[group] for prefix, group in self.routes.items()}

    def wire(self) -> dict[str, object]:
        """The whole table as a message: `{"groups": {id: group}, "routes": {prefix: id}}`."""
        return {
            "groups": {str(i): hop.wire() for i, hop in self.groups.items()},
            "routes": {str(prefix): i for prefix, i in self.routes.items()},
        }


@dataclass(frozen=True, slots=True)
class Delta:
    """What turns one table into another; to be applied in the order of the fields."""

    groups: Mapping[int, Hop]
    routes: Mapping[IPv4Network, int]
    removed_routes: tuple[IPv4Network, ...]
    removed_groups: tuple[int, ...]

    def __bool__(self) -> bool:
        return bool(self.groups or self.routes or self.removed_routes or self.removed_groups)

    def wire(self) -> dict[str, object]:
        """The delta as a message, in the same forms as `Table.wire`."""
        return {
            "groups": {str(i): hop.wire() for i, hop in self.groups.items()},
            "routes": {str(prefix): i for prefix, i in self.routes.items()},
            "removed_routes": [str(prefix) for prefix in self.removed_routes],
            "removed_groups": [str(i) for i in self.removed_groups],
        }


def desired(rows: Iterable[EffectiveRoute]) -> dict[IPv4Network, Hop]:
    """The Active ones of a NIC's effective routes as a table's content."""
    return {r.prefix: Hop(r.next_hop_type, tuple(sorted(r.next_hops))) for r in rows if r.state is RouteState.ACTIVE}


def diff(old: Table, wanted: Desired) -> tuple[Table, Delta]:
    """The new table and the way to it.

    A group whose remaining prefixes all want the same other next hops of the same type is rewritten in place. Two
    groups may then lead to the same place; they stay apart on purpose, so that the way back is as short.

    Returns:
        The new table and the delta; the delta is falsy when nothing changed.
    """
    rewritten = _rewritten(old, wanted)
    groups = {**old.groups, **rewritten}
    by_hop: dict[Hop, int] = {}
    for group_id, hop in groups.items():
        by_hop.setdefault(hop, group_id)
    next_id = old.next_id
    routes: dict[IPv4Network, int] = {}
    moved: dict[IPv4Network, int] = {}
    created: dict[int, Hop] = {}
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


def _rewritten(old: Table, wanted: Desired) -> dict[int, Hop]:
    """The groups whose every remaining prefix wants one other hop of the same type."""
    wishes: dict[int, Hop | None] = {}
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
