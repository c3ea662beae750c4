"""What instances of route servers and gateways receive and report.

In reports, a route server's peers go by name, a gateway's neighbours by address. Prefixes are text: a report may have
10,000 of them, and what they are, the receiver finds out once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import ClassVar, TypeAlias

from labkit.azure.model import BgpPeer, PathAttributes, RouteServer
from labkit.azure.rules.acceptance import Originated
from labkit.daemons.tables import ESTABLISHED, AdvertisedPath, BgpNeighbour
from labkit.feed.channel import Applied, Channel
from labkit.feed.codec import Codec

# To instances.


@dataclass(frozen=True, slots=True)
class RouteServerConfig:
    """What instance 0 or 1 of a route server is to be: its server, with whom to have sessions, what to originate."""

    TYPE: ClassVar = "config"
    instance: int
    server: RouteServer
    neighbours: tuple[BgpPeer, ...]
    originated: Originated


@dataclass(frozen=True, slots=True)
class GatewayLink:
    """A line or a tunnel of a gateway's instance, and whether its connection exists.

    `far` is the address at its far end, with which there is a session by `bgp`.
    """

    interface: str
    far: IPv4Address
    bgp: bool
    connected: bool


@dataclass(frozen=True, slots=True)
class GatewayConfig:
    """What an instance of a gateway is to do.

    `route_servers` are the instances that the gateway was built with; `sessions`: whether it has sessions with
    them, and `no_sessions` why not. `gateways` are instances of other gateways in its virtual network, `with_gateways`
    whether it has sessions with these. It originates `originated`, and leaves `adjacent` to the virtual network, by the
    address `subnet_gateway`. `links` are those that it was built with, as are `built_routes`, static routes into
    tunnels, each a prefix and the far end; those that it has now are `static_routes`.
    """

    TYPE: ClassVar = "config"
    asn: int
    route_servers: tuple[IPv4Address, ...]
    sessions: bool
    no_sessions: str
    gateways: tuple[IPv4Address, ...]
    with_gateways: bool
    vpn: bool
    subnet_gateway: IPv4Address
    originated: tuple[IPv4Network, ...]
    adjacent: tuple[IPv4Network, ...]
    links: tuple[GatewayLink, ...] = ()
    built_routes: tuple[tuple[IPv4Network, IPv4Address], ...] = ()
    static_routes: tuple[tuple[IPv4Network, IPv4Address], ...] = ()


@dataclass(frozen=True, slots=True)
class RefreshRoutes:
    """Have every NVA advertise its routes again."""

    TYPE: ClassVar = "refresh"


@dataclass(frozen=True, slots=True)
class AdjRibInQuery:
    """What has a peer (its name) advertised to you, before any import policy? Answered by `Routes`."""

    TYPE: ClassVar = "adj-rib-in"
    peer: str


@dataclass(frozen=True, slots=True)
class AdjRibOutQuery:
    """What do you advertise to a peer (a gateway's: its address)? Answered by `Routes` or `AdvertisedPaths`."""

    TYPE: ClassVar = "adj-rib-out"
    peer: str


@dataclass(frozen=True, slots=True)
class NeighboursQuery:
    """In which states are your sessions? Answered by `NeighbourStates`."""

    TYPE: ClassVar = "neighbours"


# From instances.


@dataclass(frozen=True, slots=True)
class SessionState:
    """The state of a BGP session, since when (Unix seconds) and why."""

    state: str
    since: float
    reason: str = ""

    @property
    def established(self) -> bool:
        """Whether it is up."""
        return self.state == ESTABLISHED


@dataclass(frozen=True, slots=True)
class RouteGroup:
    """Prefixes with the same attributes."""

    attributes: PathAttributes
    prefixes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PeerRoutes:
    """Prefixes of a peer with the same attributes."""

    peer: str
    attributes: PathAttributes
    prefixes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """Prefixes that are no longer a peer's."""

    peer: str
    prefixes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RibSnapshot:
    """Every session, and every route that passed import policy. `time` is when it was sent (Unix seconds)."""

    TYPE: ClassVar = "snapshot"
    sessions: Mapping[str, SessionState]
    routes: tuple[PeerRoutes, ...]
    time: float


@dataclass(frozen=True, slots=True)
class RibDelta:
    """What changed. A session that is not Established has lost its routes; they are not among the withdrawn ones."""

    TYPE: ClassVar = "delta"
    sessions: Mapping[str, SessionState]
    announced: tuple[PeerRoutes, ...]
    withdrawn: tuple[Withdrawal, ...]
    time: float


@dataclass(frozen=True, slots=True)
class InstanceDown:
    """The instance's BGP speaker has ended."""

    TYPE: ClassVar = "down"
    reason: str
    time: float


@dataclass(frozen=True, slots=True)
class SessionsClosed:
    """The instance of a deleted route server has closed its last session."""

    TYPE: ClassVar = "alone"
    time: float


@dataclass(frozen=True, slots=True)
class SessionRefused:
    """The instance has refused the session of an address, or the peer has: before it was established, and why.

    `peer` is the peer with this address; empty if there is none.
    """

    TYPE: ClassVar = "refused"
    address: str
    peer: str
    reason: str


@dataclass(frozen=True, slots=True)
class Routes:
    """Routes in answer to message number `query`."""

    TYPE: ClassVar = "routes"
    query: int
    routes: tuple[RouteGroup, ...]


@dataclass(frozen=True, slots=True)
class AdvertisedPaths:
    """Paths in answer to message number `query`."""

    TYPE: ClassVar = "paths"
    query: int
    paths: tuple[AdvertisedPath, ...]


@dataclass(frozen=True, slots=True)
class NeighbourStates:
    """Sessions in answer to message number `query`."""

    TYPE: ClassVar = "neighbours"
    query: int
    neighbours: tuple[BgpNeighbour, ...]


def grouped(routes: Iterable[tuple[str, PathAttributes]]) -> tuple[RouteGroup, ...]:
    """Routes (prefix, attributes), one group for equal attributes."""
    groups: dict[PathAttributes, list[str]] = {}
    for prefix, attributes in routes:
        groups.setdefault(attributes, []).append(prefix)
    return tuple(RouteGroup(attributes, tuple(prefixes)) for attributes, prefixes in groups.items())


ToRouteServer: TypeAlias = RouteServerConfig | RefreshRoutes | AdjRibInQuery | AdjRibOutQuery
FromRouteServer: TypeAlias = Applied | RibSnapshot | RibDelta | InstanceDown | SessionsClosed | SessionRefused | Routes
ROUTE_SERVER: Channel[ToRouteServer, FromRouteServer] = Channel(
    "routeserver",
    Codec(RouteServerConfig, RefreshRoutes, AdjRibInQuery, AdjRibOutQuery),
    Codec(Applied, RibSnapshot, RibDelta, InstanceDown, SessionsClosed, SessionRefused, Routes),
)

ToGateway: TypeAlias = GatewayConfig | AdjRibOutQuery | NeighboursQuery
FromGateway: TypeAlias = Applied | RibSnapshot | RibDelta | AdvertisedPaths | NeighbourStates
GATEWAY: Channel[ToGateway, FromGateway] = Channel(
    "gateway",
    Codec(GatewayConfig, AdjRibOutQuery, NeighboursQuery),
    Codec(Applied, RibSnapshot, RibDelta, AdvertisedPaths, NeighbourStates),
)
