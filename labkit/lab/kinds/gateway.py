"""Virtual network gateways, with their connections to circuits and sites."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network
from typing import Annotated, ClassVar

from pydantic import BeforeValidator, Field

from labkit.azure import model as azure_model
from labkit.azure.model import ROUTE_SERVER_ASN, Azure, InstanceId, Nic, PeerKind
from labkit.azure.model.problem import Code
from labkit.azure.rules.addressing import GATEWAY_SUBNET, SUBNET_LONGEST, gateway_address
from labkit.azure.rules.gateways import sibling
from labkit.daemons.registry import DAEMONS
from labkit.daemons.speaker import BgpTimers
from labkit.lab import model
from labkit.lab.file.draft import Draft
from labkit.lab.file.references import Reference
from labkit.lab.file.schema import Section
from labkit.lab.file.schema_types import (
    Address,
    Asn,
    AzureName,
    Named,
    Part,
    Prefixes,
    Timers,
    one_or_more,
)
from labkit.lab.file.yaml_source import Path
from labkit.lab.kinds.addresses import Addresses, Assignment, Slot
from labkit.lab.kinds.circuit import CIRCUITS, edge_routers
from labkit.lab.kinds.kind import AzureRefusal, Checking, Given, Kind, at
from labkit.lab.kinds.names import Declared, declared_with_instances
from labkit.lab.kinds.nouns import GATEWAY, GATEWAY_INSTANCE
from labkit.lab.kinds.timers import check_timers
from labkit.lab.kinds.virtual_network import VIRTUAL_NETWORKS, find_subnet
from labkit.lab.model import Lab
from labkit.lab.plan.addressing import subnet_of
from labkit.lab.plan.common import Planned, nftables, platform_channel, point_to_point, ready
from labkit.lab.plan.gateway_inbound import MARK, SIBLING, rule_commands, sibling_commands
from labkit.lab.plan.model import Role
from labkit.lab.plan.nodes import NIC, lines
from labkit.lab.plan.router_node import router_node, speaker_files
from labkit.lab.plan.speakers import BMP_PORT, gateway_speaker
from labkit.lab.plan.tunnels import tunnel_commands
from labkit.lab.plan.wires import Interfaces, Wire, WireEnd, Wiring

SERVICE = "gateway"
"""What reports of the daemon of an instance."""

PLATFORM = IPv4Network("100.65.0.0/16")
"""The addresses of Microsoft's edges on NICs: in Azure they belong to nothing that a customer sees [edge-addresses]."""

NOWHERE = IPv4Address(0)
"""The instances of a gateway without a subnet, until its file is mended."""

_ADDRESSES: Slot[dict[str, tuple[IPv4Address, ...]]] = Slot(dict)

EDGES: Slot[dict[tuple[str, str], tuple[azure_model.Edge, ...]]] = Slot(dict)
"""The edges by gateway and circuit: one for each instance of the gateway; of a circuit with two edges, one for each."""


class GatewayType(StrEnum):
    """Azure's `gatewayType`."""

    EXPRESSROUTE = "ExpressRoute"
    VPN = "Vpn"


_KINDS = {GatewayType.EXPRESSROUTE: PeerKind.EXPRESSROUTE_GATEWAY, GatewayType.VPN: PeerKind.VPN_GATEWAY}


class GatewayConnection(Part):
    """A gateway's connection: an ExpressRoute gateway's to a circuit; a VPN gateway's to a site, NVA or VPN gateway."""

    edges: Annotated[tuple[Address, ...], BeforeValidator(one_or_more)] = ()
    """To a circuit: the addresses of Microsoft's edges as the gateway has them, the primary one's first; of an only
    edge, one for each instance. Default: the first free ones of GatewaySubnet."""
    next_hops: Annotated[tuple[Address, ...], BeforeValidator(one_or_more)] = ()
    """To a circuit: the next hops that NICs have in place of `edges`, as many. Default: of 100.65.0.0/16."""
    routing_weight: Annotated[int, Field(ge=0, le=32000)] = 0
    """To a circuit: of several circuits with the same prefix, the connection with the highest weight is used."""
    authorization: AzureName = ""
    """To a circuit of another subscription: the name of the circuit's authorization that the connection redeems."""
    bgp: bool = True
    """Of a VPN gateway: false for static routes alone, those of `address_prefixes`."""
    address_prefixes: Prefixes = ()
    """Of a VPN gateway: the local network gateway's address space, which it sends into the tunnels, to a site or an NVA
    with BGP or without. Default without BGP: a site's prefixes, the ranges of another gateway's virtual network."""
    bgp_peering_address: Address | None = None
    """To a site or an NVA: its address in BGP, such as a loopback's or 169.254.21.2; towards one of 169.254.0.0/16 the
    gateway has such addresses, too. Default: a site's router; an NVA's loopback, else its NIC."""
    instances: Annotated[tuple[Annotated[int, Field(ge=0, le=1)], ...], BeforeValidator(one_or_more)] = ()
    """Of a VPN gateway: the instances that have a tunnel. Default: all."""
    remote_prefixes: Prefixes = ()
    """Without BGP: what the site, the NVA or the other gateway sends into the tunnels. Default: the virtual network's
    ranges."""


class Gateway(Part):
    """A virtual network gateway: BGP routers in GatewaySubnet, one for each instance."""

    type: GatewayType
    """ExpressRoute, which always has two instances, or Vpn."""
    virtual_network: Reference
    """The virtual network that has its GatewaySubnet."""
    connects_to: Named[GatewayConnection] = Field(default_factory=list)
    """Its circuits, or a VPN gateway's sites, NVAs (`fw`, `fw/outside`) and gateways of other virtual networks, which
    name it in turn no more: names, or `{circuit: {edges: …}}`, `{site: {bgp: false}}`."""
    active_active: bool = False
    """True: a VPN gateway has two instances, each with its own tunnels, as it must in the network of a route server."""
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

    @property
    def connections(self) -> tuple[tuple[str, GatewayConnection], ...]:
        """What it connects to by name, each with its options, in order."""
        return tuple((n, options or GatewayConnection()) for each in self.connects_to for n, options in each.items())


GATEWAYS: Section[dict[str, Gateway]] = Section(
    "gateways",
    "gateway",
    dict[AzureName, Gateway],
    "Virtual network gateways by name.",
    dict,
    parts={"connects_to": 'connection of gateway {0} to "{1}"'},
    hints={"type": "Add its type, such as type: ExpressRoute."},
)


def edge_count(draft: Draft, gateway: Gateway, circuit: str) -> int:
    """How many edges, each with an address of its own, a gateway has at a circuit."""
    routers = len(edge_routers(draft, circuit))
    return gateway.instance_count if routers == 1 else routers


def instances_unread(draft: Draft, name: str) -> bool:
    """Whether a mistake hides how many instances a gateway has."""
    return any(draft.broken(("gateways", name, key)) for key in ("instances", "active_active"))


class GatewayKind(Kind):
    """Gateways; each instance is a node, with a line to each edge router and a tunnel to each site."""

    section = GATEWAYS
    noun = GATEWAY
    refusals: ClassVar[Mapping[Code, AzureRefusal]] = {
        Code.GATEWAY_SECOND: AzureRefusal(
            "Azure allows one of each type in a virtual network. Remove one.", at("gateways", 0, about="gateway {0}: ")
        ),
        Code.GATEWAY_SUBNET: AzureRefusal(
            "Azure refuses it. Add one of /27 to its subnets, such as GatewaySubnet: 10.1.255.0/27.",
            at("gateways", 0),
            lambda draft, problem: draft.broken(("virtual_networks", problem.subjects[1], "subnets")),
        ),
        Code.GATEWAY_PROPAGATION: AzureRefusal(
            "Azure refuses it: remove disable_bgp_route_propagation there.",
            at("virtual_networks", 0, "subnets", GATEWAY_SUBNET, "route_table"),
        ),
        Code.GATEWAY_DEFAULT_ROUTE: AzureRefusal(
            "Azure refuses it. Remove the route, or the route table from GatewaySubnet.",
            at("virtual_networks", 0, "subnets", GATEWAY_SUBNET, "route_table"),
        ),
        Code.GATEWAY_ASN: AzureRefusal(
            "Azure refuses it. Omit asn, or give a VPN gateway another private ASN, such as 65501.",
            at("gateways", 0, "asn", about="gateway {0}: "),
        ),
        Code.GATEWAY_STANDBY: AzureRefusal(
            "Azure refuses it. Set active_active: true, or remove the route server.",
            at("gateways", 0),
            lambda draft, problem: instances_unread(draft, problem.subjects[0]),
        ),
        Code.GATEWAY_NO_TRANSIT: AzureRefusal("To have transit, remove its asn.", at("gateways", 0)),
        Code.GATEWAY_CUT_OFF: AzureRefusal(
            "Give the route table a route for the RouteServerSubnet to VnetLocal.", at("gateways", 0)
        ),
        Code.GATEWAY_INSTANCES_CUT: AzureRefusal(
            "They have no sessions then. Give the route table a route for GatewaySubnet to VnetLocal.",
            at("gateways", 0),
        ),
    }

    def names(self, draft: Draft) -> Iterator[Declared]:
        """See `Kind`."""
        yield from declared_with_instances(draft, "gateways", GATEWAY, GATEWAY_INSTANCE)

    def references(self, checking: Checking) -> None:
        """See `Kind`."""
        for name, gateway in checking.draft.file[GATEWAYS].items():
            checking.refer_network(("gateways", name), f"gateway {name}", gateway.virtual_network)

    def given(self, draft: Draft) -> Iterator[Given]:
        """See `Kind`."""
        for name, gateway in draft.file[GATEWAYS].items():
            found = find_subnet(draft, f"{gateway.virtual_network}/{GATEWAY_SUBNET}")
            prefix, where = found[2].prefix if found else None, f"{GATEWAY_SUBNET} of {gateway.virtual_network}"
            for i, address in enumerate(gateway.instances):
                whose = f"instance {i} of gateway {name}"
                yield Given(address, whose, ("gateways", name, "instances", i), prefix, where, azure=True)

    def assign(self, assignment: Assignment) -> None:
        """See `Kind`."""
        addresses = assignment.addresses
        for name, gateway in assignment.draft.file[GATEWAYS].items():
            instances = gateway.instances or _free_instances(assignment, name, gateway)
            if not instances:
                continue
            addresses[_ADDRESSES][name] = instances
            for index in range(len(instances)):
                node = InstanceId(name, index).node
                addresses.macs[node] = assignment.mac(node)
        for name, gateway in assignment.draft.file[GATEWAYS].items():
            for circuit, options in gateway.connections if name in addresses[_ADDRESSES] else ():
                if circuit in assignment.draft.file[CIRCUITS]:
                    count = edge_count(assignment.draft, gateway, circuit)
                    edges = (_edge(assignment, gateway, options, i) for i in range(count))
                    addresses[EDGES][name, circuit] = tuple(edge for edge in edges if edge is not None)

    def azure(self, draft: Draft, addresses: Addresses, azure: Azure) -> Azure:
        """See `Kind`."""
        found = {n: g for n, g in draft.file[GATEWAYS].items() if g.virtual_network in draft.file[VIRTUAL_NETWORKS]}
        gateways = tuple(
            azure_model.Gateway(
                name,
                gateway.virtual_network,
                _KINDS[gateway.type],
                addresses[_ADDRESSES].get(name, (NOWHERE,) * gateway.instance_count),
                asn=gateway.asn,
                active_active=gateway.type is GatewayType.VPN and gateway.instance_count > 1,
            )
            for name, gateway in found.items()
        )
        return replace(azure, nics=(*azure.nics, *_nics(draft, addresses)), gateways=gateways)

    def check(self, checking: Checking) -> None:
        """See `Kind`."""
        for name, gateway in checking.draft.file[GATEWAYS].items():
            _check(checking.draft, name, gateway)

    def lab(self, draft: Draft, addresses: Addresses, lab: Lab) -> Lab:
        """See `Kind`."""
        gateways = tuple(_built(draft, addresses, name, gateway) for name, gateway in draft.file[GATEWAYS].items())
        return replace(lab, gateways=gateways)

    def wires(self, lab: Lab, interfaces: Interfaces) -> Iterator[Wire]:
        """See `Kind`: the lines to circuits."""
        for gateway, line in lines(lab):
            node = InstanceId(gateway.name, line.instance).node
            inside = lab.azure.gateway[gateway.name].instances[line.instance]
            one, other = WireEnd(node, interfaces.take(node)), WireEnd(line.router, interfaces.take(line.router))
            one_up = point_to_point(one.interface, inside, line.edge)
            yield Wire(one, other, one_up, point_to_point(other.interface, line.edge, inside))

    def nodes(self, lab: Lab, wiring: Wiring) -> Iterator[Planned]:
        """See `Kind`."""
        for gateway in lab.gateways:
            for instance in lab.azure.gateway[gateway.name].instance_ids:
                yield _instance(lab, wiring, gateway, instance.index)


def _free_instances(assignment: Assignment, name: str, gateway: Gateway) -> tuple[IPv4Address, ...]:
    network = gateway.virtual_network
    found = find_subnet(assignment.draft, f"{network}/{GATEWAY_SUBNET}")
    if found is None or found[2].prefix.prefixlen > SUBNET_LONGEST:
        return ()
    prefix = found[2].prefix
    instances = tuple(a for _ in range(gateway.instance_count) if (a := assignment.usable(prefix)) is not None)
    if len(instances) < gateway.instance_count:
        path: Path = ("virtual_networks", network, "subnets", GATEWAY_SUBNET)
        remedy = f"Widen it: gateway {name} has {gateway.instance_count} in it."
        assignment.full(path, f"{GATEWAY_SUBNET} of {network}", prefix, remedy)
    return instances


def _edge(assignment: Assignment, gateway: Gateway, options: GatewayConnection, number: int) -> azure_model.Edge | None:
    """An edge at the far ends of lines; where GatewaySubnet is full, its address is the platform's."""
    found = find_subnet(assignment.draft, f"{gateway.virtual_network}/{GATEWAY_SUBNET}")
    next_hop = options.next_hops[number] if number < len(options.next_hops) else assignment.host(PLATFORM)
    given = options.edges[number] if number < len(options.edges) else None
    free = assignment.usable(found[2].prefix) if given is None and found is not None else given
    return azure_model.Edge(free or next_hop, next_hop) if next_hop is not None else None


def _nics(draft: Draft, addresses: Addresses) -> Iterator[Nic]:
    """The NICs of gateways' instances, which no user of Azure ever sees, named like the instances' nodes."""
    for name, instances in addresses[_ADDRESSES].items():
        network = draft.file[GATEWAYS][name].virtual_network
        for index, address in enumerate(instances):
            node = InstanceId(name, index).node
            if find_subnet(draft, f"{network}/{GATEWAY_SUBNET}") is not None:
                mac = addresses.macs[node]
                yield Nic(node, node, NIC, network, GATEWAY_SUBNET, address, mac, ip_forwarding=True)


def _built(draft: Draft, addresses: Addresses, name: str, gateway: Gateway) -> model.Gateway:
    lines = (
        line
        for circuit, _ in gateway.connections
        if circuit in draft.file[CIRCUITS]
        for line in _lines(circuit, edge_routers(draft, circuit), gateway, addresses[EDGES][name, circuit])
    )
    timers = BgpTimers(gateway.timers.keepalive, gateway.timers.hold)
    return model.Gateway(name, tuple(lines), timers)


def _lines(
    circuit: str, routers: tuple[str, ...], gateway: Gateway, edges: tuple[azure_model.Edge, ...]
) -> Iterator[model.Line]:
    """The lines of a gateway to a circuit: from each instance to each edge router."""
    for instance in range(gateway.instance_count):
        for router, edge in zip(routers, edges if len(routers) > 1 else edges[instance:], strict=False):
            yield model.Line(instance, circuit, router, edge.address, edge.next_hop)


def _check(draft: Draft, name: str, gateway: Gateway) -> None:
    place: Path = ("gateways", name)
    check_timers(draft, place, gateway.timers)
    connected = {far for each in draft.file[GATEWAYS].values() for far, _ in each.connections}
    if not gateway.connects_to and name not in connected and not draft.broken((*place, "connects_to")):
        draft.warn(place, f"gateway {name} has no connection.", "Name its circuits: connects_to: [circuit1].")


def _instance(lab: Lab, wiring: Wiring, gateway: model.Gateway, index: int) -> Planned:
    """An instance of a gateway: a daemon between its NIC and its lines, and the service that reports of it."""
    instance = InstanceId(gateway.name, index)
    node = instance.node
    files, binds = speaker_files(gateway.daemon, gateway_speaker(lab, gateway, index))
    azure = lab.azure.gateway[gateway.name]
    vpn, own, other = azure.kind is PeerKind.VPN_GATEWAY, azure.instances[index], sibling(lab.azure, instance)
    hidden, hidden_bind, load = nftables(
        node, "nftables-gateway.conf.j2", nic=NIC, mark=MARK, vpn=vpn, sibling=SIBLING if other is not None else ""
    )
    keep, channel = platform_channel(node)
    subnet = subnet_of(lab.azure, lab.azure.nic[node])
    public = lab.internet.public.get(node) if lab.internet is not None else None
    commands = [load, *wiring.up(node), *rule_commands(NIC, gateway_address(subnet), public)]
    if other is not None:
        commands += sibling_commands(NIC, own, azure.instances[other.index])
    for tunnel in lab.tunnels_of(node):
        commands += tunnel_commands(lab, tunnel)
    router = router_node(lab, node, gateway.daemon, Role.GATEWAY, [channel, *binds, hidden_bind], commands)
    services = (*router.services, SERVICE)
    env = {
        **router.env,
        **DAEMONS[gateway.daemon].services.monitored,
        "LABKIT_DAEMON": gateway.daemon,
        "LABKIT_BMP_PORT": str(BMP_PORT),
    }
    return Planned(
        replace(router, services=services, env=env, healthcheck=ready(services)),
        (keep, *files, hidden),
    )
