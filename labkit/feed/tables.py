"""Forwarding tables as agents and fabrics receive them: prefixes pointing at next-hop groups with stable ids.

A failover changes where a group leads, not which group a prefix belongs to. So it is one small message, one kernel
object and one nftables chain, whether ten prefixes follow it or a hundred thousand.

Prefixes are text here: each end keeps them in a form of its own, and converting 100,000 twice would be felt.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import ClassVar, TypeAlias

from labkit.azure.model import EffectiveRoute, NextHopType, RouteState
from labkit.feed.channel import Applied, Channel
from labkit.feed.codec import Codec

VIA = frozenset({NextHopType.VIRTUAL_APPLIANCE, NextHopType.VIRTUAL_NETWORK_GATEWAY})
"""The types whose next hops are NICs, which a group names."""


@dataclass(frozen=True, slots=True)
class NextHops:
    """A next-hop group: a type and, for appliances and gateways only, at least one next hop in ascending order."""

    type: NextHopType
    next_hops: tuple[IPv4Address, ...] = ()

    def __post_init__(self) -> None:
        if (self.type in VIA) != bool(self.next_hops):
            raise ValueError(f"next hop type {self.type} with next hops [{', '.join(map(str, self.next_hops))}]")

    def __str__(self) -> str:
        return " ".join([str(self.type), *map(str, self.next_hops)])


@dataclass(frozen=True, slots=True)
class ForwardingTable:
    """Groups by id, and the group of every prefix (`10.1.0.0/16`)."""

    groups: Mapping[int, NextHops]
    routes: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class TableDelta:
    """What turns one table into another, in the order of the fields."""

    groups: Mapping[int, NextHops]
    routes: Mapping[str, int]
    removed_routes: tuple[str, ...] = ()
    removed_groups: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class AgentSnapshot:
    """All that an agent has to install: the table of each of its machine's NICs, by the interface's name."""

    TYPE: ClassVar = "snapshot"
    tables: Mapping[str, ForwardingTable]


@dataclass(frozen=True, slots=True)
class AgentDelta:
    """What changed since the last message, by the interface's name."""

    TYPE: ClassVar = "delta"
    tables: Mapping[str, TableDelta]


def desired(rows: Iterable[EffectiveRoute]) -> dict[IPv4Network, NextHops]:
    """The Active ones of a NIC's effective routes as a table's content."""
    active = (row for row in rows if row.state is RouteState.ACTIVE)
    return {row.prefix: NextHops(row.next_hop_type, tuple(sorted(row.next_hops))) for row in active}


ToAgent: TypeAlias = AgentSnapshot | AgentDelta
AGENT: Channel[ToAgent, Applied] = Channel("agent", Codec(AgentSnapshot, AgentDelta), Codec(Applied))
