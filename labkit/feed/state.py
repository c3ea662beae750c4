"""`GET /v1/state` and `GET /v1/model`: everything that the controller knows of a running lab, at one moment.

Tables that Azure prints are in Azure's own form (`azure.rules.rows`), everything else in that of `feed.codec`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from labkit.azure.model import Azure
from labkit.azure.rules.rows import AdvertisedRow, EffectiveTable, LearnedRow, LearnedTable
from labkit.feed.bgp import RouteGroup
from labkit.feed.status import PlatformStatus
from labkit.feed.tables import ForwardingTable

Listing: TypeAlias = Literal["learned", "advertised"]
"""The two tables that Azure shows of a route server and a peer."""

Rib: TypeAlias = Literal["received", "learned", "advertised"]
"""The tables of `PeerRibs`, by name."""


@dataclass(frozen=True, slots=True)
class PlatformState:
    """A running lab with its tables as Azure prints them.

    `gone` are the nodes of deleted route servers. `learned` and `advertised` are by route server, peer and instance
    (`RouteServiceRole_IN_0`), `gateways` by gateway, of every instance, `effective` and `forwarding` (what the rows
    amount to for a kernel or a fabric) by NIC. `idle` are gateways' instances, by node, that have no route by a circuit
    with two edges, each with the circuit.
    """

    azure: Azure
    gone: tuple[str, ...]
    status: PlatformStatus
    learned: Mapping[str, Mapping[str, Mapping[str, list[LearnedRow]]]]
    advertised: Mapping[str, Mapping[str, Mapping[str, list[AdvertisedRow]]]]
    gateways: Mapping[str, LearnedTable]
    effective: Mapping[str, EffectiveTable]
    forwarding: Mapping[str, ForwardingTable]
    idle: tuple[tuple[str, str], ...] = ()

    def listing(self, which: Listing, server: str, peer: str) -> Mapping[str, Sequence[AdvertisedRow]]:
        """What a route server has `learned` from a peer or `advertised` to it, by instance; empty if it is deleted."""
        tables: Mapping[str, Mapping[str, Mapping[str, Sequence[AdvertisedRow]]]]
        tables = self.learned if which == "learned" else self.advertised
        return tables.get(server, {}).get(peer, {})


@dataclass(frozen=True, slots=True)
class PeerRibs:
    """The routes of a route server's instance and one of its peers.

    `received` is everything that the peer advertises, before any import policy, `learned` what the controller has of
    the routes that passed it, `advertised` the Adj-RIB-Out.
    """

    received: tuple[RouteGroup, ...] = ()
    learned: tuple[RouteGroup, ...] = ()
    advertised: tuple[RouteGroup, ...] = ()

    def rib(self, name: Rib) -> tuple[RouteGroup, ...]:
        """One of the three by its name."""
        return {"received": self.received, "learned": self.learned, "advertised": self.advertised}[name]


@dataclass(frozen=True, slots=True)
class PlatformModel:
    """What the rules start from: Azure's objects, and its speakers' routes with all attributes.

    `route_servers` are by node and peer (null: the instance is down or joining), `gateways`' accepted routes by node
    and the address of each neighbour with which the session is Established (null: the instance is down). `silent` are
    instances that are up but do not answer.
    """

    azure: Azure
    route_servers: Mapping[str, Mapping[str, PeerRibs] | None]
    gateways: Mapping[str, Mapping[str, tuple[RouteGroup, ...]] | None]
    effective: Mapping[str, EffectiveTable]
    silent: tuple[str, ...]
