"""The Azure objects that decide routing, as immutable values.

Names are Azure's own. Nothing here knows how an object is built in a lab: a `Nic` has an address and a MAC,
and whether a container, a namespace or a cloud stands behind it is other rooms' business.

Every class is a plain frozen dataclass, so that `pydantic.TypeAdapter` can carry it over a wire and tests can
build it in one line.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network

ROUTE_SERVER_ASN = 65515
"""The ASN of every route server; not configurable [route-server-asn]."""


class NextHopType(StrEnum):
    """Next hop types as `az network nic show-effective-route-table` prints them."""

    VNET_LOCAL = "VnetLocal"
    VNET_PEERING = "VNetPeering"
    VNET_GLOBAL_PEERING = "VNetGlobalPeering"
    INTERNET = "Internet"
    VIRTUAL_APPLIANCE = "VirtualAppliance"
    VIRTUAL_NETWORK_GATEWAY = "VirtualNetworkGateway"
    NONE = "None"


class RouteSource(StrEnum):
    """The `Source` column of an effective route."""

    DEFAULT = "Default"
    USER = "User"
    VIRTUAL_NETWORK_GATEWAY = "VirtualNetworkGateway"


class RouteState(StrEnum):
    """The `State` column of an effective route."""

    ACTIVE = "Active"
    INVALID = "Invalid"


class PeerKind(StrEnum):
    """What stands at the far end of a route server's session; decides preference and advertisement."""

    NVA = "Nva"
    EXPRESSROUTE_GATEWAY = "ExpressRouteGateway"
    VPN_GATEWAY = "VpnGateway"


class HubRoutingPreference(StrEnum):
    """`hubRoutingPreference` of a route server [hub-routing-preference]."""

    EXPRESSROUTE = "ExpressRoute"
    VPN_GATEWAY = "VpnGateway"
    AS_PATH = "ASPath"


class OwnRangePolicy(StrEnum):
    """What a route server does with received prefixes equal to or inside a range it originates itself.

    The behaviour changed between two observed eras [own-ranges].
    """

    DROP = "2026"
    KEEP = "2021"


class VpnNvaTie(StrEnum):
    """Who wins between VPN and NVA paths of equal length [vpn-nva-tie]."""

    SHARED = "shared"
    VPN = "vpn"
    NVA = "nva"


class Origin(StrEnum):
    """The BGP ORIGIN attribute."""

    IGP = "igp"
    EGP = "egp"
    INCOMPLETE = "incomplete"

    @property
    def rank(self) -> int:
        """Of two paths the one with the lower is better (RFC 4271 §9.1.2.2)."""
        return tuple(Origin).index(self)


@dataclass(frozen=True, slots=True)
class UserRoute:
    """One route of a route table. `next_hop` is set exactly for `VIRTUAL_APPLIANCE`."""

    prefix: IPv4Network
    next_hop_type: NextHopType
    next_hop: IPv4Address | None = None


@dataclass(frozen=True, slots=True)
class RouteTable:
    """A route table: user-defined routes and the propagation flag of the subnets that use it."""

    name: str
    routes: tuple[UserRoute, ...] = ()
    disable_bgp_route_propagation: bool = False


@dataclass(frozen=True, slots=True)
class Subnet:
    """A subnet of a virtual network; `route_table` names a `RouteTable` of the same `Azure`."""

    name: str
    prefix: IPv4Network
    route_table: str | None = None


@dataclass(frozen=True, slots=True)
class VirtualNetwork:
    """A virtual network: one or more address ranges, cut into subnets."""

    name: str
    address_space: tuple[IPv4Network, ...]
    subnets: tuple[Subnet, ...] = ()


@dataclass(frozen=True, slots=True)
class Peering:
    """One direction of a virtual network peering, as in Azure: `local` is where it is configured.

    One that is `disconnected` has lost its other side, and was not touched since (`peeringState` Disconnected).
    """

    local: str
    remote: str
    use_remote_gateways: bool = False
    allow_gateway_transit: bool = False
    allow_forwarded_traffic: bool = True
    is_global: bool = False
    disconnected: bool = False


@dataclass(frozen=True, slots=True)
class Nic:
    """A network interface in a subnet. Its name is unique in the lab; `mac` is lower-case with colons."""

    name: str
    virtual_network: str
    subnet: str
    address: IPv4Address
    mac: str
    ip_forwarding: bool = False


@dataclass(frozen=True, slots=True)
class BgpPeer:
    """A `bgpConnections` child of a route server: one object, one session to each of the two instances."""

    name: str
    asn: int
    address: IPv4Address
    kind: PeerKind = PeerKind.NVA


@dataclass(frozen=True, slots=True)
class Assumptions:
    """What is taken to be so where nobody knows for sure; a lab's route servers all have the same.

    Every default is the behaviour for which there is more evidence.
    """

    route_server_subnet_minimum: int = 27
    """The longest RouteServerSubnet that is not refused: 26 as documented, 27 as in labs [route-server-subnet-size]."""
    peers_need_remote_gateways: bool = False
    """Whether a peer in a peered virtual network is refused unless that one uses the route server's.

    Fact: [peered-peer-remote-gateways].
    """
    spoke_community: bool = True
    """Whether ranges of URG spokes carry 65518:65518 towards NVAs [spoke-community]."""
    nva_relay_community: bool = True
    """Whether 65517:65517 is added from NVA to NVA [relay-community-nvas]."""
    honours_no_export: bool = True
    """Whether no-export keeps a route from a route server's eBGP sessions [no-export]."""
    expressroute_wins_ties: bool = True
    """Whether ExpressRoute wins equal lengths under `ASPath`, as in Virtual WAN [as-path-tie-expressroute]."""
    vpn_nva_tie: VpnNvaTie = VpnNvaTie.SHARED
    """Who wins between VPN and NVA paths of equal length [vpn-nva-tie]."""
    preference_needs_branch_to_branch: bool = False
    """Whether `hub_routing_preference` has a say on NICs only with branch-to-branch on, ExpressRoute winning without.

    The documentation once said so and no longer does [preference-needs-b2b].
    """


@dataclass(frozen=True, slots=True)
class RouteServer:
    """A route server. `instances` are the addresses of instance 0 and 1 (`virtualRouterIps`)."""

    name: str
    virtual_network: str
    instances: tuple[IPv4Address, IPv4Address]
    peers: tuple[BgpPeer, ...] = ()
    branch_to_branch: bool = False
    hub_routing_preference: HubRoutingPreference = HubRoutingPreference.EXPRESSROUTE
    own_ranges: OwnRangePolicy = OwnRangePolicy.DROP
    routes_per_peer: int = 4000
    total_prefixes: int = 10_000
    assumptions: Assumptions = Assumptions()


@dataclass(frozen=True, slots=True)
class Gateway:
    """A virtual network gateway, of one of the two gateway kinds.

    `instances` are its one or two addresses in GatewaySubnet. `active_active` is what Azure asks of a VPN gateway
    beside a route server; of an ExpressRoute gateway it says nothing.
    """

    name: str
    virtual_network: str
    kind: PeerKind
    instances: tuple[IPv4Address, ...]
    asn: int = ROUTE_SERVER_ASN
    active_active: bool = False


@dataclass(frozen=True, slots=True)
class Circuit:
    """An ExpressRoute circuit with private peering. `peer_asn` is the customer's (`peerASN`)."""

    name: str
    peer_asn: int
    premium: bool = False


@dataclass(frozen=True, slots=True)
class LocalNetworkGateway:
    """A site as a VPN gateway knows it: `address_space` is routed to it statically, `asn` is None without BGP."""

    name: str
    address_space: tuple[IPv4Network, ...] = ()
    asn: int | None = None


@dataclass(frozen=True, slots=True)
class Connection:
    """A gateway's connection: `remote` names an ExpressRoute gateway's `Circuit`, a VPN gateway's local network one."""

    name: str
    gateway: str
    remote: str


@dataclass(frozen=True, slots=True)
class Probe:
    """A load balancer's health probe: a TCP connection to `port` every `interval` seconds.

    After `count` failures in a row the backend is down; one success brings it up.
    """

    port: int
    interval: int = 5
    count: int = 2


@dataclass(frozen=True, slots=True)
class LoadBalancer:
    """An internal Standard Load Balancer with one frontend, at `address`, and one rule for all ports ("HA ports").

    `backends` name NICs of its virtual network. As a next hop it stands for those of them that are up [balancer-cure,
    third-party-next-hop]; effective routes show its frontend's address.
    """

    name: str
    virtual_network: str
    subnet: str
    address: IPv4Address
    backends: tuple[str, ...]
    probe: Probe


@dataclass(frozen=True)
class Azure:
    """Everything of a lab that Azure itself would know; the input of every rule.

    Objects are held in tuples in the order of the lab file and found by name through the mappings.
    """

    virtual_networks: tuple[VirtualNetwork, ...]
    peerings: tuple[Peering, ...] = ()
    route_tables: tuple[RouteTable, ...] = ()
    nics: tuple[Nic, ...] = ()
    route_servers: tuple[RouteServer, ...] = ()
    gateways: tuple[Gateway, ...] = ()
    circuits: tuple[Circuit, ...] = ()
    local_network_gateways: tuple[LocalNetworkGateway, ...] = ()
    connections: tuple[Connection, ...] = ()
    load_balancers: tuple[LoadBalancer, ...] = ()

    @cached_property
    def virtual_network(self) -> Mapping[str, VirtualNetwork]:
        """Virtual networks by name."""
        return {v.name: v for v in self.virtual_networks}

    @cached_property
    def route_table(self) -> Mapping[str, RouteTable]:
        """Route tables by name."""
        return {t.name: t for t in self.route_tables}

    @cached_property
    def nic(self) -> Mapping[str, Nic]:
        """NICs by name."""
        return {n.name: n for n in self.nics}

    @cached_property
    def route_server(self) -> Mapping[str, RouteServer]:
        """Route servers by name."""
        return {r.name: r for r in self.route_servers}

    @cached_property
    def gateway(self) -> Mapping[str, Gateway]:
        """Gateways by name."""
        return {g.name: g for g in self.gateways}

    @cached_property
    def circuit(self) -> Mapping[str, Circuit]:
        """ExpressRoute circuits by name."""
        return {c.name: c for c in self.circuits}

    @cached_property
    def local_network_gateway(self) -> Mapping[str, LocalNetworkGateway]:
        """Local network gateways by name."""
        return {g.name: g for g in self.local_network_gateways}

    @cached_property
    def load_balancer(self) -> Mapping[str, LoadBalancer]:
        """Load balancers by name."""
        return {b.name: b for b in self.load_balancers}


AsPath = tuple[int | frozenset[int], ...]
"""An AS path, nearest AS first. A frozenset is an AS_SET, which counts as one hop."""


@dataclass(frozen=True, slots=True)
class PathAttributes:
    """The attributes of a BGP path. Instances are shared by the prefixes that have them ("attribute handle").

    `communities` are `(high, low)` pairs in ascending order. `unknown` holds transitive attributes that no rule
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

It does not depend on whether a route server hears it too. A gateway that is down or has nothing may be absent.
"""


@dataclass(frozen=True, slots=True)
class EffectiveRoute:
    """One row of a NIC's effective routes. ECMP is one row with several next hops, as in Azure's JSON."""

    source: RouteSource
    state: RouteState
    prefix: IPv4Network
    next_hop_type: NextHopType
    next_hops: tuple[IPv4Address, ...] = ()
