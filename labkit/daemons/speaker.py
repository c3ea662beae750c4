"""BGP speakers as a lab plans them, whatever the daemon: what a configuration is made from, and what decides by it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network

from labkit.azure.model import AsPath, ExportRule, PathAttributes


@dataclass(frozen=True, slots=True)
class BgpTimers:
    """Keepalive interval and hold time in seconds. Azure's own are 60 and 180 [bgp-timers]."""

    keepalive: int = 60
    hold: int = 180


AZURE_TIMERS = BgpTimers()

EBGP_MULTIHOP = 2
"""The hops that packets of an external session by NICs may take: the gateway of the subnet is one."""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A BGP neighbour: a node, its address and BGP identifier, and the speaker's `own` address towards it.

    `peer` is the name of the object that the node is, or is an instance of: export rules name it. `route_server`: an
    instance, several hops away. `nva`: an appliance that is reached by a NIC, too. `circuit`: an edge router.

    `route_reflector_client`: an internal neighbour that gets all routes, and whose routes all internal ones get
    (RFC 4456). `next_hop_self`: paths to it have the own address as next hop, those that are reflected excepted.
    `weight`: of circuits, a gateway prefers the one with the highest. `med`: what it sets as the MED of their paths.
    """

    name: str
    address: IPv4Address
    own: IPv4Address
    asn: int
    router_id: IPv4Address
    timers: BgpTimers = AZURE_TIMERS
    route_server: bool = False
    circuit: bool = False
    peer: str = ""
    nva: bool = False
    route_reflector_client: bool = False
    next_hop_self: bool = False
    weight: int = 0
    med: int | None = None

    @property
    def by_nic(self) -> bool:
        """Whether it is reached by a NIC, through a virtual network, and not over a link."""
        return self.route_server or self.nva


@dataclass(frozen=True, slots=True)
class StaticRoute:
    """A route that a speaker's node has without BGP, in its main routing table or in another one."""

    prefix: IPv4Network
    via: IPv4Address
    table: int | None = None


@dataclass(frozen=True, slots=True)
class Session:
    """A speaker's session with a neighbour, from the speaker's side."""

    router: str
    neighbour: Neighbour


@dataclass(frozen=True)
class CustomerSpeaker:
    """The router of an NVA or a site. With `requires_policy` no external neighbour gets or gives it anything.

    `networks` are the prefixes that it originates, `redistributed` the static routes whose prefixes it originates, too,
    `exports` is its export policy. `source` is the address that its own packets leave with, where another one than the
    interface's is wanted. `subnets` are the networks of its NICs and links, `loopback` is an address of its own that is
    on none of them. With `transit` it relays to circuits what it has from others; without it, no circuit gets a path
    with the circuit's ASN. What is for `discarded` prefixes goes nowhere, and is answered as unreachable.
    """

    name: str
    asn: int
    router_id: IPv4Address
    neighbours: tuple[Neighbour, ...]
    networks: tuple[IPv4Network, ...]
    static_routes: tuple[StaticRoute, ...] = ()
    source: IPv4Address | None = None
    exports: tuple[ExportRule, ...] = ()
    requires_policy: bool = False
    ebgp_multihop: bool = True
    redistributed: tuple[StaticRoute, ...] = ()
    subnets: tuple[IPv4Network, ...] = ()
    loopback: IPv4Address | None = None
    transit: bool = False
    discarded: tuple[IPv4Network, ...] = ()

    @cached_property
    def sessions(self) -> tuple[Session, ...]:
        """Its sessions, in the order of its neighbours."""
        return tuple(Session(self.name, neighbour) for neighbour in self.neighbours)

    def is_internal(self, neighbour: Neighbour) -> bool:
        """Whether a neighbour has the speaker's own ASN, so that the session is internal (RFC 4271 §1.1)."""
        return neighbour.asn == self.asn

    def uses(self, neighbour: Neighbour, next_hop: IPv4Address) -> bool:
        """Whether packets may go to a next hop that a neighbour has given.

        That of an external neighbour must be on one of the speaker's links, as the neighbour itself must, unless the
        session has multihop.
        """
        if self.is_internal(neighbour) or neighbour.nva or (neighbour.route_server and self.ebgp_multihop):
            return True
        on_link = next_hop == neighbour.address or any(next_hop in subnet for subnet in self.subnets)
        return on_link and not neighbour.route_server


@dataclass(frozen=True)
class GatewaySpeaker:
    """An instance of a gateway.

    Attributes:
        originated: the prefixes that it advertises by itself.
        adjacent: ranges that it leaves to the virtual network, by `subnet_gateway`.
        hosts: single addresses that it reaches in the same way, whatever BGP has for them.
        route_servers: the instances of its virtual network's route server, `sessions` if their sessions are on.
        sibling: the other instance of the gateway, if they have a session.
        gateways: instances of gateways of another type beside it, `with_gateways` if their sessions are on.
        neighbours: circuits (with `circuit`) or sites.
        static_routes: the prefixes of sites without BGP, which it advertises as well.
        bmp_port: where it reports what it receives (RFC 7854), on its own machine.
    """

    name: str
    asn: int
    address: IPv4Address
    vpn: bool
    originated: tuple[IPv4Network, ...]
    adjacent: tuple[IPv4Network, ...]
    hosts: tuple[IPv4Address, ...]
    subnet_gateway: IPv4Address
    route_servers: tuple[Neighbour, ...]
    sessions: bool
    sibling: Neighbour | None
    gateways: tuple[Neighbour, ...]
    with_gateways: bool
    neighbours: tuple[Neighbour, ...]
    static_routes: tuple[StaticRoute, ...]
    timers: BgpTimers
    bmp_port: int


@dataclass(frozen=True, slots=True)
class EdgeGateway:
    """A gateway at a circuit's edge router: its instances are all the same to it."""

    name: str
    asn: int
    instances: tuple[Neighbour, ...]


@dataclass(frozen=True)
class EdgeSpeaker:
    """An edge router (MSEE) of a circuit. `most_from_gateway` and `most_from_customer` are its limits of prefixes."""

    name: str
    asn: int
    router_id: IPv4Address
    gateways: tuple[EdgeGateway, ...]
    customers: tuple[Neighbour, ...]
    most_from_gateway: int
    most_from_customer: int


@dataclass(frozen=True)
class StaticRouter:
    """A router without BGP, which is no speaker: a daemon keeps its static routes."""

    name: str
    static_routes: tuple[StaticRoute, ...]


Speaker = CustomerSpeaker | GatewaySpeaker | EdgeSpeaker

LOCAL_PREF = 100
"""The local preference of a path for which nobody has set one."""


@dataclass(frozen=True, slots=True)
class InternalAttributes(PathAttributes):
    """The attributes of a path from an internal neighbour: an external one never gets those that are here."""

    local_pref: int = LOCAL_PREF
    originator_id: IPv4Address | None = None
    cluster_list: tuple[IPv4Address, ...] = ()


Advertisements = Mapping[IPv4Network, PathAttributes]
"""What a speaker advertises to another."""

AdjRibIn = Mapping[Session, Advertisements]
"""What a speaker has accepted from each neighbour, after import policy."""


@dataclass(frozen=True, slots=True)
class Best:
    """A prefix in a Loc-RIB: the best path, and the sessions that it and its equals in multipath come from.

    A prefix that the speaker originates has no sessions.
    """

    attributes: PathAttributes
    sessions: tuple[Session, ...]


LocRib = Mapping[IPv4Network, Best]


def without_loops(asn: int, routes: Advertisements) -> dict[IPv4Network, PathAttributes]:
    """The routes that do not have an ASN in their path (RFC 4271 §9.1.2)."""
    return {prefix: attributes for prefix, attributes in routes.items() if asn not in asns(attributes.as_path)}


def asns(as_path: AsPath) -> Iterator[int]:
    """Every ASN in a path, the members of sets included."""
    for hop in as_path:
        yield from hop if isinstance(hop, frozenset) else (hop,)
