"""BGP in Azure: peers, path attributes, and what instances have learned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network

ROUTE_SERVER_ASN = 65515
"""The ASN of every route server; not configurable [route-server-asn]."""


class PeerKind(StrEnum):
    """What is at the other end of a route server's session; decides preference and advertisement."""

    NVA = "Nva"
    EXPRESSROUTE_GATEWAY = "ExpressRouteGateway"
    VPN_GATEWAY = "VpnGateway"


@dataclass(frozen=True, slots=True)
class BgpPeer:
    """A `bgpConnections` child of a route server: one object, one session to each of the two instances."""

    name: str
    asn: int
    address: IPv4Address
    kind: PeerKind = PeerKind.NVA


class Origin(StrEnum):
    """The BGP ORIGIN attribute."""

    IGP = "igp"
    EGP = "egp"
    INCOMPLETE = "incomplete"

    @property
    def rank(self) -> int:
        """Of two paths the one with the lower is better (RFC 4271 §9.1.2.2)."""
        return tuple(Origin).index(self)


AsPath = tuple[int | frozenset[int], ...]
"""An AS path, nearest AS first. A frozenset is an AS_SET, which counts as one hop."""


@dataclass(frozen=True, slots=True)
class PathAttributes:
    """The attributes of a BGP path. Instances are shared by the prefixes that have them ("attribute handle").

    `communities` are `(high, low)` pairs in ascending order. `unknown` has transitive attributes that no rule
    reads, as `(type, flags, value)`, so that they pass through untouched.
    """

    next_hop: IPv4Address
    as_path: AsPath = ()
    origin: Origin = Origin.IGP
    med: int | None = None
    communities: tuple[tuple[int, int], ...] = ()
    large_communities: tuple[tuple[int, int, int], ...] = ()
    unknown: tuple[tuple[int, int, bytes], ...] = field(default=())


@dataclass(frozen=True, slots=True)
class LearnedRoute:
    """One path for one prefix in an instance's Adj-RIB-In, after acceptance."""

    prefix: IPv4Network
    attributes: PathAttributes
    peer: BgpPeer


InstanceRoutes = Mapping[IPv4Network, tuple[LearnedRoute, ...]]
"""What one instance has learned: for each prefix every accepted path, in the order of the server's peers."""


LearnedRoutes = Mapping[str, tuple[InstanceRoutes | None, InstanceRoutes | None]]
"""By route server name, what instance 0 and 1 have learned; None for an instance that is down."""


GatewayRoutes = Mapping[str, InstanceRoutes]
"""By gateway name, what its instances have from on-premises, in the form of `gateway_policy.reported`.

It does not depend on whether a route server receives it too. A gateway that is down or has nothing may be absent.
"""
