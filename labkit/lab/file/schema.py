"""What a lab file may say, in Azure's words. What is not said gets Azure's default.

These models know shapes and words. What names refer to, and whether addresses and ranges fit together, is checked
in `labkit.lab.check`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field, model_validator
from pydantic.json_schema import WithJsonSchema

from labkit.azure.model import ROUTE_SERVER_ASN, HubRoutingPreference, NextHopType, OwnRangePolicy, VpnNvaTie
from labkit.lab.file.schema_captures import CaptureProof
from labkit.lab.file.schema_types import (
    Address,
    Asn,
    AsPath,
    AzureName,
    Communities,
    InstancedName,
    Mac,
    Named,
    NodeName,
    Part,
    Prefix,
    Prefixes,
    ShortPart,
    Sides,
    SiteName,
    Words,
    mistake,
    one_or_more,
)


class Subnet(ShortPart):
    """A subnet: its prefix alone, or the prefix and its route table."""

    prefix: Prefix
    """The subnet's range, inside the virtual network's address space."""
    route_table: str | None = None
    """The route table of the subnet."""


class VirtualNetwork(Part):
    """A virtual network."""

    address_space: Annotated[Prefixes, Field(min_length=1)]
    """The range of the virtual network, or a list of them."""
    subnets: dict[AzureName, Subnet] = Field(default_factory=dict)
    """Subnets by name. A route server needs one called RouteServerSubnet, /26 or larger."""


class Peering(Part):
    """A peering of two virtual networks, both directions. An option names the side that it is set on."""

    between: tuple[str, str]
    """The two virtual networks."""
    use_remote_gateways: Sides = False
    """The side that uses the other's route server ("use the remote virtual network's gateway or route server")."""
    allow_gateway_transit: Sides = False
    """The side that lets the other use its route server."""
    allow_forwarded_traffic: Sides = True
    """The side that accepts packets which the other side only forwards."""
    is_global: Annotated[bool, Field(alias="global")] = False
    """True: the two are in different regions."""


class RouteTable(Part):
    """A route table: user-defined routes for the subnets that name it."""

    routes: dict[Prefix, str] = Field(default_factory=dict)
    """Next hop by prefix: Internet, VnetLocal, None, or the name or address of an appliance or a load balancer."""
    disable_bgp_route_propagation: bool = False
    """True: the subnets' NICs get no routes from route servers."""


class PeerOptions(Part):
    """What a route server is told about a peer, where it is not what the NVA itself says."""

    asn: Asn | None = None
    """The ASN that the route server expects. Default: the NVA's."""
    address: Address | None = None
    """The address that the route server expects. Default: the NVA's."""


class RouteServer(Part):
    """A route server: two instances, ASN 65515."""

    virtual_network: str
    """The virtual network whose RouteServerSubnet it stands in."""
    peers: Named[PeerOptions] = Field(default_factory=list)
    """The NVAs it peers with, at most eight: names, or `{name: {asn: …}}`."""
    branch_to_branch: bool = False
    """True: what one peer or gateway says is passed to the others."""
    hub_routing_preference: HubRoutingPreference = HubRoutingPreference.EXPRESSROUTE
    """Which source of a route wins."""
    own_ranges: Annotated[OwnRangePolicy, WithJsonSchema({"enum": ["2026", "2021", 2026, 2021]})] = OwnRangePolicy.DROP
    """Received routes inside ranges that it originates itself: dropped (2026), or kept and shown (2021)."""
    routes_per_peer: Annotated[int, Field(ge=1, le=1_000_000)] = 4000
    """How many routes a peer may send before its session is torn down."""
    total_prefixes: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    """How many prefixes it has room for: its own ranges, and what its peers send. Who sends more is torn down."""
    instances: tuple[Address, Address] | None = None
    """The addresses of instance 0 and 1. Default: .4 and .5 of RouteServerSubnet."""


class Timers(Part):
    """BGP timers in seconds. Azure's own are 60 and 180; the lower hold time of the two sides counts."""

    keepalive: Annotated[int, Field(ge=1, le=65535)] = 60
    """Seconds between keepalives."""
    hold: Annotated[int, Field(le=65535)] = 180
    """Seconds of silence after which the peer is taken for dead."""


class Connection(ShortPart):
    """A link from an NVA or a circuit to a site, or from an NVA to another."""

    prefix: Prefix
    """The link's own range, /30 or /31. Default: a /30 of 100.64.0.0/16."""


class Machine(Part):
    """What has a NIC."""

    subnet: str
    """Where its NIC is: virtual-network/subnet."""
    address: Address | None = None
    """Its address. Default: the first free one of the subnet."""
    mac: Mac | None = None
    """Its NIC's MAC address. Default: made from its name."""
    ip_forwarding: bool = False
    """True: Azure lets through what is not to or from the NIC's own address."""


class Nva(Machine):
    """A network virtual appliance: an FRR router with one NIC."""

    asn: Asn
    """Its ASN."""
    advertises: Prefixes = ()
    """Prefixes that it originates."""
    snat: bool = False
    """True: what it forwards to public addresses carries its own address."""
    stateful: bool = False
    """True: it forwards nothing of a TCP connection whose beginning went another way."""
    connects_to: Named[Connection] = Field(default_factory=list)
    """Sites behind it, each over a link of its own: names, or `{site: prefix of the link}`."""
    overlays: Named[Connection] = Field(default_factory=list)
    """NVAs that it has a VXLAN tunnel with, and BGP through it: names, or `{nva: prefix of the link}`."""
    ip_forwarding: bool = True
    """False: Azure drops what is not to or from the NIC's own address."""
    timers: Timers = Timers()
    """Its BGP timers."""
    prepend: Annotated[int, Field(ge=0, le=10)] = 0
    """How many times more it puts its own ASN into the paths that it sends, to route servers and sites alike."""
    as_override: bool = False
    """True: in the paths that it sends to route servers, its own ASN takes the place of their 65515."""
    strip_route_server_asn: bool = False
    """True: in the paths that it sends to route servers, their 65515 is missing. Instead of as_override."""
    requires_policy: bool = False
    """True: FRR's own default, `bgp ebgp-requires-policy`, without any policy: sessions, and no route in or out."""
    ebgp_multihop: bool = True
    """False: its sessions with route servers lack `ebgp-multihop`."""
    communities: Communities = ()
    """Communities on all that it says to route servers, such as no-advertise or 65001:100."""
    next_hop: str | None = None
    """The next hop of all that it says to route servers: another NVA, a load balancer, or an address. Default: its own.
    """
    tracks: str | None = None
    """While this does not answer, it withdraws what it `advertises`: a site (its host), internet, or an address."""


class Site(Part):
    """A branch or data centre: an FRR router and a host."""

    asn: Asn
    """The router's ASN."""
    prefixes: Annotated[Prefixes, Field(min_length=1)]
    """The site's ranges. The host stands in the first."""
    router: Address | None = None
    """The router's address in the first range. Default: .1."""
    host: Address | None = None
    """The host's address, in the first range. Default: .10."""
    prepend: dict[str, Annotated[int, Field(ge=0, le=10)]] = Field(default_factory=dict)
    """How many times more the router puts its own ASN into the paths that it sends, by NVA or circuit."""


class GatewayType(StrEnum):
    """Azure's `gatewayType`."""

    EXPRESSROUTE = "ExpressRoute"
    VPN = "Vpn"


class GatewayConnection(Part):
    """A gateway's connection: an ExpressRoute gateway's to a circuit, a VPN gateway's to a site."""

    edges: Annotated[tuple[Address, ...], BeforeValidator(one_or_more)] = ()
    """To a circuit: the addresses of Microsoft's edge, one for each instance. Default: of 100.65.0.0/16."""
    bgp: bool = True
    """To a site: false for static routes in place of BGP, as with a local network gateway's address space."""
    remote_prefixes: Prefixes = ()
    """To a site without BGP: what the site sends into the tunnels. Default: the virtual network's ranges."""


class Gateway(Part):
    """A virtual network gateway: FRR routers in GatewaySubnet, one for each instance."""

    type: GatewayType
    """ExpressRoute, which always has two instances, or Vpn."""
    virtual_network: str
    """The virtual network whose GatewaySubnet it stands in."""
    connects_to: Named[GatewayConnection] = Field(default_factory=list)
    """Its circuits, or a VPN gateway's sites: names, or `{circuit: {edges: …}}`, `{site: {bgp: false}}`."""
    active_active: bool = False
    """True: a VPN gateway has two instances, each with its own tunnels, as it must beside a route server."""
    asn: Asn = ROUTE_SERVER_ASN
    """A VPN gateway's ASN."""
    instances: Annotated[tuple[Address, ...], BeforeValidator(one_or_more), Field(max_length=2)] = ()
    """The addresses of its instances. Default: the first free ones of GatewaySubnet."""
    timers: Timers = Timers()
    """Its BGP timers."""

    @property
    def instance_count(self) -> int:
        """How many instances it has."""
        return len(self.instances) or (2 if self.active_active or self.type is GatewayType.EXPRESSROUTE else 1)


class Circuit(Part):
    """An ExpressRoute circuit with private peering; Microsoft's edge router, ASN 12076, is its node."""

    connects_to: Named[Connection] = Field(default_factory=list)
    """The site at its customer's end: a name, or `{site: prefix of the link}`."""
    premium: bool = False
    """True: the premium add-on, which takes more of the customer's routes."""


class Assumptions(Part):
    """What to take for granted where nobody knows for sure what Azure does. Defaults have more evidence."""

    route_server_subnet_minimum: Annotated[int, Field(ge=26, le=27)] = 27
    """The smallest RouteServerSubnet: 27 warns of a /27, as old labs have one; 26 refuses it, as the documentation."""
    peers_need_remote_gateways: bool = False
    """True: a peer in a peered virtual network is refused unless that one uses the route server's gateways (2026)."""
    spoke_community: bool = True
    """False: the ranges of spokes don't carry the community 65518:65518 towards NVAs."""
    nva_relay_community: bool = True
    """False: what goes from NVA to NVA doesn't get the community 65517:65517."""
    honours_no_export: bool = True
    """False: route servers pass on to NVAs what has the community no-export."""
    expressroute_wins_ties: bool = True
    """False: under hub_routing_preference ASPath, ExpressRoute shares with VPN and NVA paths of the same length."""
    vpn_nva_tie: VpnNvaTie = VpnNvaTie.SHARED
    """VPN and NVA paths of the same length: shared, or one of them wins."""
    preference_needs_branch_to_branch: bool = False
    """True: with branch_to_branch off, ExpressRoute wins on NICs whatever hub_routing_preference says."""


class Internet(ShortPart):
    """The simulated Internet: its range alone, or the range and the address of its host."""

    prefix: Prefix
    """A documentation range, such as 198.51.100.0/24."""
    host: Address | None = None
    """The address of the host that answers. Default: .10."""


class Probe(Part):
    """A load balancer's health probe: a TCP connection from 168.63.129.16."""

    port: Annotated[int, Field(ge=1, le=65535)]
    """The port that a backend which is up listens on, such as 179, FRR's BGP."""
    interval: Annotated[int, Field(ge=1, le=3600)] = 5
    """Seconds between two probes of a backend. Azure's shortest is 5."""
    count: Annotated[int, Field(ge=1, le=100)] = 2
    """After so many failures in a row a backend is down; one success brings it up."""


class LoadBalancer(Part):
    """An internal Standard Load Balancer with a rule for all ports ("HA ports"): a next hop of `nvas` and routes."""

    subnet: str
    """Where its frontend is: virtual-network/subnet."""
    address: Address | None = None
    """Its frontend's address. Default: the first free one of the subnet, after all NICs."""
    backends: Annotated[Words, Field(min_length=1)]
    """The NVAs or virtual machines behind it, in its virtual network."""
    probe: Probe
    """How it sees which backends are up."""


class VirtualMachine(Machine, ShortPart):
    """A virtual machine: its subnet alone, or the subnet and more."""


class SessionProof(Part):
    """The BGP sessions between the two are Established."""

    on: str
    with_: Annotated[str, Field(alias="with")]


class LearnedRouteProof(Part):
    """A route server, an NVA or a site has the prefix from a neighbour."""

    on: str
    prefix: Prefix
    from_: Annotated[str, Field(alias="from")]
    as_path: AsPath | None = None


class AdvertisedRouteProof(Part):
    """A route server advertises the prefix to a peer."""

    by: str
    to: str
    prefix: Prefix
    as_path: AsPath | None = None


class EffectiveRouteProof(Part):
    """The NIC of an NVA or a virtual machine has the prefix as an Active effective route."""

    on: str
    prefix: Prefix
    type: NextHopType | None = None
    via: Words | None = None


class LearnedRoutesProof(Part):
    """A route server, a gateway, an NVA or a site has these prefixes from a neighbour, and no others."""

    on: str
    from_: Annotated[str, Field(alias="from")]
    rows: dict[Prefix, AsPath]


class AdvertisedRoutesProof(Part):
    """A route server advertises these prefixes to a peer, and no others."""

    by: str
    to: str
    rows: dict[Prefix, AsPath]


class EffectiveRoutesProof(Part):
    """A NIC has these prefixes as Active effective routes, and no others, apart from those of type None."""

    on: str
    rows: dict[Prefix, Words]


class KernelRouteProof(Part):
    """The node's own kernel has the prefix."""

    on: str
    prefix: Prefix
    via: Words | None = None


class PingProof(Part):
    """The target answers. A site stands for its host."""

    from_: Annotated[str, Field(alias="from")]
    to: str


class PathProof(Part):
    """A traceroute gets there, through these nodes in this order and never through those."""

    from_: Annotated[str, Field(alias="from")]
    to: str
    through: Words = ()
    never: Words = ()


class Rows(Part):
    """The claims that may be denied; exactly one is given."""

    session: SessionProof | None = None
    learned_route: LearnedRouteProof | None = None
    advertised_route: AdvertisedRouteProof | None = None
    effective_route: EffectiveRouteProof | None = None
    kernel_route: KernelRouteProof | None = None
    ping: PingProof | None = None


class Proof(Rows):
    """One claim about the running lab, and how many seconds it may take to hold."""

    path: PathProof | None = None
    learned_routes: LearnedRoutesProof | None = None
    advertised_routes: AdvertisedRoutesProof | None = None
    effective_routes: EffectiveRoutesProof | None = None
    capture: CaptureProof | None = None
    absent: Rows | None = None
    within: Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)] = 30.0
    not_in: Words = ()


class Variant(Part):
    """A patch in the lab file's own shape: mappings merge, null removes, the rest replaces; proofs are added."""

    # What the patch says is checked in the lab that it leads to (labkit.lab.file.variants).
    model_config = ConfigDict(extra="allow")

    description: str = ""
    """What the variant shows, in a sentence."""


def _not_empty(value: object) -> object:
    if value is None:
        raise mistake("the prefix is missing", "Write a documentation range, such as 198.51.100.0/24.")
    return value


class LabFile(Part):
    """A labkit lab: Azure virtual networks, route servers and appliances, and the world around them."""

    name: Annotated[
        str, Field(json_schema_extra={"pattern": "^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?$", "maxLength": 24})
    ]
    """The lab's name."""
    virtual_networks: dict[NodeName, VirtualNetwork] = Field(default_factory=dict)
    """Virtual networks by name."""
    peerings: list[Peering] = Field(default_factory=list)
    """Virtual network peerings."""
    route_tables: dict[AzureName, RouteTable] = Field(default_factory=dict)
    """Route tables by name."""
    route_servers: dict[InstancedName, RouteServer] = Field(default_factory=dict)
    """Route servers by name."""
    nvas: dict[NodeName, Nva] = Field(default_factory=dict)
    """Network virtual appliances by name."""
    load_balancers: dict[NodeName, LoadBalancer] = Field(default_factory=dict)
    """Internal load balancers by name."""
    gateways: dict[InstancedName, Gateway] = Field(default_factory=dict)
    """Virtual network gateways by name."""
    circuits: dict[NodeName, Circuit] = Field(default_factory=dict)
    """ExpressRoute circuits by name."""
    sites: dict[SiteName, Site] = Field(default_factory=dict)
    """Branches and data centres by name."""
    internet: Annotated[Internet | None, BeforeValidator(_not_empty)] = None
    """The simulated Internet; without it there is none."""
    virtual_machines: dict[NodeName, VirtualMachine] = Field(default_factory=dict)
    """Virtual machines by name."""
    assumptions: Assumptions = Assumptions()
    """What to take for granted where nobody knows for sure what Azure does."""
    proofs: list[Proof] = Field(default_factory=list)
    """What must hold in the running lab, in order. `not_in` names the variants in which a proof does not hold."""
    variants: dict[NodeName, Variant] = Field(default_factory=dict)
    """Variants of this lab by name: labkit up LAB --variant NAME."""

    @model_validator(mode="before")
    @classmethod
    def _empty_sections(cls, value: object) -> object:
        """A section whose entries are all commented out is an empty one."""
        if isinstance(value, dict):
            return {k: v for k, v in value.items() if v is not None or k in {"name", "internet"}}
        return value

    def links(self) -> Iterator[tuple[str, str, str, Sequence[Mapping[str, Connection | None]]]]:
        """What has links with a range of their own: section, name, key and links, to sites first, then overlays."""
        yield from ((section, name, "connects_to", links) for section, name, links in self.wan())
        yield from (("nvas", name, "overlays", nva.overlays) for name, nva in self.nvas.items())

    def wan(self) -> Iterator[tuple[str, str, Sequence[Mapping[str, Connection | None]]]]:
        """What connects to sites by links of their own: section, name and links of every NVA and circuit."""
        yield from (("nvas", name, nva.connects_to) for name, nva in self.nvas.items())
        yield from (("circuits", name, circuit.connects_to) for name, circuit in self.circuits.items())


Claim = (
    SessionProof
    | LearnedRouteProof
    | AdvertisedRouteProof
    | EffectiveRouteProof
    | LearnedRoutesProof
    | AdvertisedRoutesProof
    | EffectiveRoutesProof
    | CaptureProof
    | KernelRouteProof
    | PingProof
    | PathProof
)


def claims(part: Rows) -> dict[str, Any]:
    """The claims that a proof or an `absent` states, by key. A valid one states exactly one."""
    keys = (k for k in type(part).model_fields if k not in {"within", "not_in"})
    return {k: v for k in keys if (v := getattr(part, k)) is not None}


def machines(file: LabFile) -> dict[str, Machine]:
    """Everything with a NIC by name: NVAs first, then virtual machines."""
    return {**file.nvas, **file.virtual_machines}
