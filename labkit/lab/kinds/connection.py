"""Connections of gateways: to circuits, and through VPN tunnels to sites, NVAs and gateways of other networks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network
from itertools import count, product
from typing import ClassVar

from labkit.azure.model import Azure, Connection, InstanceId, LocalNetworkGateway
from labkit.azure.model.problem import Code, Problem
from labkit.lab.file.draft import Draft
from labkit.lab.file.yaml_source import Path
from labkit.lab.kinds.addresses import Addresses, Assignment, Slot
from labkit.lab.kinds.circuit import CIRCUITS, edge_routers, edges_unread
from labkit.lab.kinds.gateway import (
    EDGES,
    GATEWAYS,
    Gateway,
    GatewayConnection,
    GatewayType,
    edge_count,
    instances_unread,
)
from labkit.lab.kinds.internet import INTERNET
from labkit.lab.kinds.kind import AzureRefusal, Checking, Given, Joined, Kind
from labkit.lab.kinds.machine import machine_of
from labkit.lab.kinds.names import invalid_name
from labkit.lab.kinds.nouns import CIRCUIT, CIRCUIT_OF_TWO, GATEWAY, NVA, NVA_NIC, SITE, SITE_ROUTER
from labkit.lab.kinds.nva import NVAS
from labkit.lab.kinds.reachability import obstacle
from labkit.lab.kinds.site import LANS, FileRouter, site_routers
from labkit.lab.kinds.virtual_network import VIRTUAL_NETWORKS
from labkit.lab.model import Lab, Tunnel, TunnelEnd
from labkit.names import in_any_case, is_valid

APIPA = IPv4Network("169.254.0.0/16")
"""Addresses of links (RFC 3927)."""

_CUSTOM = (IPv4Network("169.254.21.0/24"), IPv4Network("169.254.22.0/24"))
"""Those of them that Azure takes for BGP through tunnels [vpn-apipa]."""

_REMOTES = {
    GatewayType.EXPRESSROUTE: (CIRCUIT, CIRCUIT_OF_TWO),
    GatewayType.VPN: (SITE, SITE_ROUTER, NVA, NVA_NIC, GATEWAY),
}

_OWN: Slot[dict[tuple[str, str], Mapping[int, IPv4Address]]] = Slot(dict)
"""The instances' addresses in tunnels to a device with a link's address, by gateway and what it connects to."""


@dataclass(frozen=True, slots=True)
class _Named:
    """A connection in the lab file: of a gateway, to what it names, at a place."""

    gateway: str
    remote: str
    options: GatewayConnection
    path: Path

    @property
    def device(self) -> str:
        """What it leads to: a NIC stands for its machine."""
        return machine_of(self.remote)

    @property
    def site_to_site(self) -> bool:
        """Whether each of two gateways has a local network gateway for the other one: some prefixes are given."""
        return bool(self.options.address_prefixes or self.options.remote_prefixes)


def _all(draft: Draft) -> Iterator[tuple[Gateway, _Named]]:
    for name, gateway in draft.file[GATEWAYS].items():
        for i, connection in enumerate(gateway.connects_to):
            for remote, options in connection.items():
                path: Path = ("gateways", name, "connects_to", i, remote)
                yield gateway, _Named(name, remote, options or GatewayConnection(), path)


def _place(draft: Draft, problem: Problem) -> tuple[Path, str]:
    """The last connection of the two objects: the one that is too much."""
    name, remote = problem.subjects
    ends = {(name, remote), (remote, name)}
    return next(n.path[:-1] for _, n in reversed([*_all(draft)]) if (n.gateway, n.device) in ends), f"gateway {name}: "


def _redeeming(draft: Draft, problem: Problem) -> tuple[Path, str]:
    """The last connection that redeems the authorization of the circuit."""
    circuit, authorization = problem.subjects
    redeeming = (
        n for _, n in _all(draft) if n.remote == circuit and in_any_case(n.options.authorization, [authorization])
    )
    named = [*redeeming][-1]
    return (*named.path, "authorization"), f"gateway {named.gateway}: "


class ConnectionKind(Kind):
    """Connections; they have no section of their own, and no links: tunnels go over the Internet."""

    refusals: ClassVar[Mapping[Code, AzureRefusal]] = {
        Code.CONNECTION_DUPLICATE: AzureRefusal("Azure refuses the second. Remove it.", _place),
        Code.AUTHORIZATION_IN_USE: AzureRefusal("Azure refuses the second. Give each one of its own.", _redeeming),
        Code.CONNECTION_ASN: AzureRefusal("They use external BGP with each other. Give one of them another.", _place),
    }

    def references(self, checking: Checking) -> None:
        """See `Kind`."""
        for name, gateway in checking.draft.file[GATEWAYS].items():
            called = "site, NVA or VPN gateway" if gateway.type is GatewayType.VPN else ""
            place: Path = ("gateways", name, "connects_to")
            checking.refer_links(place, gateway.connects_to, *_REMOTES[gateway.type], called=called)

    def joins(self, draft: Draft) -> Iterator[Joined]:
        """See `Kind`."""
        for _, named in _all(draft):
            for name in dict.fromkeys((named.device, *edge_routers(draft, named.device))):
                yield Joined(named.gateway, name, named.options.bgp)

    def given(self, draft: Draft) -> Iterator[Given]:
        """See `Kind`: of a device's address the first connection that has it."""
        seen: set[tuple[str, IPv4Address]] = set()
        for _, named in _all(draft):
            about, options = draft.subject(named.path)[0], named.options
            for key in ("edges", "next_hops"):
                for j, address in enumerate(getattr(options, key)):
                    yield Given(address, f"{key.removesuffix('s')} of {about}", (*named.path, key, j))
            address = options.bgp_peering_address
            if address is not None and (named.device, address) not in seen:
                seen.add((named.device, address))
                yield Given(address, f"bgp_peering_address of {about}", (*named.path, "bgp_peering_address"))

    def assign(self, assignment: Assignment) -> None:
        """See `Kind`."""
        for gateway, named in _all(assignment.draft):
            theirs = named.options.bgp_peering_address
            if theirs is None or theirs not in APIPA:
                continue
            own: dict[int, IPv4Address] = {}
            for i in _instances(gateway, named.options):
                near = (host for host in IPv4Network((theirs, 30), strict=False).hosts() if not own)
                address = assignment.first(near) or assignment.host(_CUSTOM[i])
                if address is None:
                    text = f"bgp_peering_address of {assignment.draft.subject(named.path)[0]}"
                    assignment.full(named.path, text, _CUSTOM[i], "Give some devices addresses outside of it.")
                else:
                    own[i] = address
            assignment.addresses[_OWN][named.gateway, named.remote] = own

    def azure(self, draft: Draft, addresses: Addresses, azure: Azure) -> Azure:
        """See `Kind`."""
        connections: list[Connection] = []
        devices: dict[str, LocalNetworkGateway] = {}
        routers = site_routers(draft)
        for gateway, named in _all(draft):
            title, instances = f"{named.gateway}-{named.device}", frozenset(named.options.instances)
            if named.gateway not in azure.gateway or named.remote == named.gateway:
                continue
            if named.remote in draft.file[CIRCUITS]:
                edges = addresses[EDGES].get((named.gateway, named.remote), ())
                weight, redeemed = named.options.routing_weight, named.options.authorization
                known = (each.authorization for each in connections if each.remote == named.remote)
                connections.append(
                    Connection(
                        title,
                        named.gateway,
                        named.remote,
                        edges=edges,
                        routing_weight=weight,
                        authorization=in_any_case(redeemed, known) or redeemed,
                    )
                )
            elif named.remote in azure.gateway:
                back = f"{named.remote}-{named.gateway}"
                if any(each.name == title for each in connections):  # the other one names this one, too
                    continue
                ends, bgp = {title: named.remote, back: named.gateway}, named.options.bgp
                if named.site_to_site:
                    spaces = _spaces(azure, named)
                    devices |= {n: LocalNetworkGateway(n, far, spaces[far]) for n, far in ends.items()}
                    ends = {name: name for name in ends}
                connections.append(Connection(title, named.gateway, ends[title], instances, bgp=bgp))
                connections.append(Connection(back, named.remote, ends[back], bgp=bgp))
            elif (named.device in routers or named.device in draft.file[NVAS]) and gateway.type is GatewayType.VPN:
                peering = _device_address(draft, addresses, azure, named) if named.options.bgp else None
                devices[title] = _local_network_gateway(draft, title, named, peering, routers.get(named.device))
                connections.append(Connection(title, named.gateway, title, instances, bgp=named.options.bgp))
        return replace(azure, connections=tuple(connections), local_network_gateways=tuple(devices.values()))

    def check(self, checking: Checking) -> None:
        """See `Kind`."""
        for gateway, named in _all(checking.draft):
            _check(checking, gateway, named)

    def lab(self, draft: Draft, addresses: Addresses, lab: Lab) -> Lab:
        """See `Kind`: VXLAN numbers count on from those of overlays."""
        vnis = count(1 + len(lab.overlays))
        vpns = [(gateway, named) for gateway, named in _all(draft) if named.remote not in draft.file[CIRCUITS]]
        tunnels = (
            Tunnel(near, far, next(vnis), named.options.bgp)
            for gateway, named in vpns
            for near, far in _ends(draft, addresses, lab, gateway, named)
        )
        return replace(lab, tunnels=tuple(tunnels))


def _instances(gateway: Gateway, options: GatewayConnection) -> tuple[int, ...]:
    """The instances of a gateway that have a tunnel of a connection."""
    every = range(gateway.instance_count)
    return tuple(i for i in every if i in options.instances or not options.instances)


def _local_network_gateway(
    draft: Draft, title: str, named: _Named, peering: IPv4Address | None, router: FileRouter | None
) -> LocalNetworkGateway:
    """A device as a VPN gateway knows it: by its ASN with BGP; by prefixes without, and with BGP if they are given."""
    nva = draft.file[NVAS].get(named.device)
    site = router.of_site if router is not None else None
    asn = site.asn if site is not None else nva.asn if nva is not None else None
    prefixes = named.options.address_prefixes
    if site is not None and not named.options.bgp:
        prefixes = prefixes or site.prefixes
    return LocalNetworkGateway(title, named.device, prefixes, asn if named.options.bgp else None, peering)


def _ends(
    draft: Draft, addresses: Addresses, lab: Lab, gateway: Gateway, named: _Named
) -> Iterator[tuple[TunnelEnd, TunnelEnd]]:
    """The ends of a connection's tunnels: from each instance to the device, or to each instance of another gateway."""
    name, options = named.gateway, named.options
    mine = [lab.azure.gateway[name].instance_ids[i] for i in _instances(gateway, options)]
    if named.remote in lab.azure.gateway:
        spaces = {} if options.bgp else _spaces(lab.azure, named)
        into = {name: spaces.get(named.remote, ()), named.remote: spaces.get(name, ())}
        for pair in product(mine, lab.azure.gateway[named.remote].instance_ids):
            near, far = (TunnelEnd(i.node, i.name, _address(lab, i), into[i.name]) for i in pair)
            yield near, far
        return
    statics = lab.azure.local_network_gateway[f"{name}-{named.device}"].address_space
    back = options.remote_prefixes or draft.file[VIRTUAL_NETWORKS][gateway.virtual_network].address_space
    theirs = _device_address(draft, addresses, lab.azure, named)
    assert theirs is not None, "of a file without mistakes"
    own = addresses[_OWN].get((name, named.remote), {})
    for i in mine:
        near = TunnelEnd(i.node, name, own.get(i.index, _address(lab, i)), statics)
        yield near, TunnelEnd(named.device, named.device, theirs, () if options.bgp else back)


def _spaces(azure: Azure, named: _Named) -> dict[str, tuple[IPv4Network, ...]]:
    """What lies behind either one of two gateways that are connected without BGP, as the other one has it."""
    ends = {named.remote: named.options.address_prefixes, named.gateway: named.options.remote_prefixes}
    return {
        name: given or azure.virtual_network[azure.gateway[name].virtual_network].address_space
        for name, given in ends.items()
    }


def _address(lab: Lab, instance: InstanceId) -> IPv4Address:
    return lab.azure.gateway[instance.name].instances[instance.index]


def _device_address(draft: Draft, addresses: Addresses, azure: Azure, named: _Named) -> IPv4Address | None:
    """The address of a site's router, or an NVA's, in BGP with a gateway; None until its file is mended."""
    given = named.options.bgp_peering_address
    if given is not None:
        return given
    lan = addresses[LANS].get(named.device)
    if lan is not None:
        return lan[0].ip if lan else None
    loopback = draft.file[NVAS][named.device].loopback
    if loopback is not None and named.remote == named.device:
        return loopback
    known = named.remote in azure.nic or azure.nics_of(named.remote)
    return azure.find_nic(named.remote).address if known else None


def _check(checking: Checking, gateway: Gateway, named: _Named) -> None:
    """What an option means nothing to, or contradicts."""
    draft, options, path = checking.draft, named.options, named.path
    about = draft.subject(path)[0]
    vpn = gateway.type is GatewayType.VPN
    device = vpn and named.remote not in draft.file[GATEWAYS]
    for key in ("edges", "next_hops"):
        if vpn and getattr(options, key):
            draft.error((*path, key), f"{about}: {key} are for connections to circuits only.", f"Remove {key}.")
    for key in ("routing_weight", "authorization"):
        if vpn and getattr(options, key):
            draft.error((*path, key), f"{about}: {key} is for connections to circuits only.", f"Remove {key}.")
    if options.authorization and not is_valid(options.authorization):
        draft.error((*path, "authorization"), *invalid_name(f"authorization of {about}", options.authorization))
    if not vpn and not options.bgp:
        draft.error((*path, "bgp"), f"{about}: ExpressRoute always uses BGP.", "Remove bgp.")
    if options.bgp_peering_address and not device:
        text = f"{about}: bgp_peering_address is for connections to sites and NVAs only."
        draft.error((*path, "bgp_peering_address"), text, "Remove bgp_peering_address.")
    if options.address_prefixes and not vpn:
        text = f"{about}: address_prefixes are for connections of VPN gateways only."
        draft.error((*path, "address_prefixes"), text, "Remove address_prefixes.")
    if vpn and not device:
        _check_gateways(draft, named, about)
    if options.remote_prefixes and (options.bgp or not vpn) and not draft.broken((*path, "bgp")):
        text = f"{about}: remote_prefixes are for tunnels without BGP."
        draft.error((*path, "remote_prefixes"), text, "Add bgp: false, or remove remote_prefixes.")
    _check_instances(draft, gateway, named, about)
    if device:
        _check_device(draft, named, about)
    if vpn and named.device in draft.file[NVAS]:
        _check_way(checking, named, about)


def _check_way(checking: Checking, named: _Named, about: str) -> None:
    """Notes tunnels to an NVA whose packets get nowhere: they go into the Internet, by its primary NIC."""
    draft, azure = checking.draft, checking.azure
    internet = draft.file[INTERNET]
    if not checking.sound or internet is None:
        return
    found = obstacle(draft, azure, azure.primary_nic(named.device), internet.prefix[1], None)
    if found is not None:
        text = f"{about}: packets of its tunnels don't get from {named.device} into the Internet: {found}."
        draft.error(named.path, text, "Give its subnet a route table with 0.0.0.0/0: Internet.")


def _check_gateways(draft: Draft, named: _Named, about: str) -> None:
    """A connection of two gateways: VPN gateways of two virtual networks; one of them has it in the file."""
    far = draft.file[GATEWAYS][named.remote]
    if named.remote == named.gateway or far.virtual_network == draft.file[GATEWAYS][named.gateway].virtual_network:
        draft.error(named.path, f"{about}: both ends are in one virtual network.", "Name a gateway of another one.")
    elif far.type is not GatewayType.VPN:
        text = f"{about}: {named.remote} is not a VPN gateway."
        draft.error(named.path, text, "Name a VPN gateway; ExpressRoute gateways meet at a circuit.")
    elif any(named.gateway == n for n, _ in far.connections) and named.gateway > named.remote:
        text = f"{about}: {named.remote} names {named.gateway}, too."
        draft.error(named.path, text, "One side stands for both of Azure's connections: remove the other.")
    if named.options.bgp and named.options.address_prefixes and not draft.broken((*named.path, "bgp")):
        text = f"{about}: with BGP, two gateways have no static prefixes here."
        draft.error((*named.path, "address_prefixes"), text, "Add bgp: false, or remove address_prefixes.")


def _check_instances(draft: Draft, gateway: Gateway, named: _Named, about: str) -> None:
    """The instances of a connection, and the edges of its lines."""
    options, path, every = named.options, named.path, gateway.instance_count
    if instances_unread(draft, named.gateway):
        return
    if options.instances and gateway.type is not GatewayType.VPN:
        text = f"{about}: each instance of an ExpressRoute gateway has a line."
        draft.error((*path, "instances"), text, "Remove instances.")
    elif any(i >= every for i in options.instances):
        text = f"{about}: the gateway has no instance {max(options.instances)}."
        draft.error((*path, "instances"), text, "Set active_active: true, or remove instances.")
    two = len(edge_routers(draft, named.remote)) > 1
    wanted = edge_count(draft, gateway, named.remote)
    whose = "the circuit has 2 edges" if two else f"the gateway has {every} instance{'s' * (every > 1)}"
    for key, one in (("edges", "one edge"), ("next_hops", "one next hop")):
        n = len(getattr(options, key))
        if n not in {0, wanted} and gateway.type is GatewayType.EXPRESSROUTE and not edges_unread(draft, named.remote):
            text = f"{about}: {one if n == 1 else f'{n} {key}'}, but {whose}."
            why = "Both edges have an address" if two else "Each instance has a line of its own"
            draft.error((*path, key), text, f"{why}: give as many addresses.")


def _check_device(draft: Draft, named: _Named, about: str) -> None:
    """What a site or an NVA needs for the connection, and its address in BGP."""
    options, path, nva = named.options, named.path, draft.file[NVAS].get(named.device)
    if nva is not None and options.bgp and nva.asn is None and not draft.broken(("nvas", named.device, "asn")):
        text = f"{about}: the connection has BGP, and {named.device} has none."
        draft.error(path, text, f"Add asn: 65001 to {named.device}, or bgp: false and address_prefixes here.")
    if nva is not None and not options.bgp and not options.address_prefixes:
        text = f"{about}: without BGP, the gateway sends nothing to {named.device}."
        draft.error(path, text, "Add address_prefixes: what lies behind it.")
    address = options.bgp_peering_address
    if address is None:
        return
    place = (*path, "bgp_peering_address")
    if not options.bgp:
        draft.error(place, f"{about}: bgp_peering_address needs BGP.", "Remove bgp: false, or bgp_peering_address.")
    elif address in APIPA and not any(address in each for each in _CUSTOM):
        text = f"{about}: Azure does not take {address} for BGP."
        draft.error(place, text, f"Use one of {_CUSTOM[0][0]} to {_CUSTOM[1][-1]}, or outside {APIPA}.")
