"""Every interface and veth of a lab, with its MAC: what the plan draws and what fabrics switch, from one place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address

from labkit.azure.model import InstanceId, Nic
from labkit.azure.rules.addressing import ROUTE_SERVER_SUBNET
from labkit.azure.rules.adjacency import connected_peerings
from labkit.lab.kinds.addresses import derive_mac
from labkit.lab.model import Gateway, Lab, Line, WanLink
from labkit.lab.plan.model import Endpoint, Link
from labkit.lab.plan.nodes import INSTANCES, NIC

FABRIC_MAC = "12:34:56:78:9a:bc"
"""What answers every ARP request in a virtual network [arp-answer]."""


@dataclass(frozen=True, slots=True)
class WanWire:
    """A link between an NVA or a circuit and a site, with the interface of each."""

    link: WanLink
    router_interface: str
    site_interface: str


@dataclass(frozen=True, slots=True)
class LineWire:
    """The line between an instance of a gateway (`node`) and a circuit, with the interface of each."""

    gateway: Gateway
    node: str
    line: Line
    gateway_interface: str
    circuit_interface: str


def instance_nics(lab: Lab) -> tuple[Nic, ...]:
    """The NICs of the route server instances, which no user of Azure ever sees; named like the instances' nodes.

    A subnet of theirs takes neither a route table nor BGP routes [no-route-table], so
    that their effective routes are the system's.
    """
    taken = {FABRIC_MAC, *(nic.mac for nic in lab.azure.nics)}
    nics = []
    for server in lab.azure.route_servers:
        for index in INSTANCES:
            node = InstanceId(server.name, index).node
            mac = derive_mac(node, NIC, taken)
            taken.add(mac)
            nics.append(Nic(node, node, NIC, server.virtual_network, ROUTE_SERVER_SUBNET, server.instances[index], mac))
    return tuple(nics)


def nics(lab: Lab, virtual_network: str) -> tuple[Nic, ...]:
    """Every NIC in a virtual network: those of NVAs, virtual machines and gateways, then of route server instances."""
    return tuple(n for n in (*lab.azure.nics, *instance_nics(lab)) if n.virtual_network == virtual_network)


def further_nics(lab: Lab) -> Counter[str]:
    """How many NICs each machine has besides its primary one, which is eth0."""
    return Counter(nic.machine for nic in lab.azure.nics) - Counter({nic.machine: 1 for nic in lab.azure.nics})


def wan_wires(lab: Lab) -> tuple[WanWire, ...]:
    """The WAN links in their order; each side counts its interfaces on from its NICs, a site from its LAN."""
    used = further_nics(lab)
    wires = []
    for link in lab.wan_links:
        used.update((link.router, link.site))
        wires.append(WanWire(link, f"eth{used[link.router]}", f"eth{used[link.site]}"))
    return tuple(wires)


def line_wires(lab: Lab) -> tuple[LineWire, ...]:
    """The lines of gateways in their order; a circuit counts its interfaces on from its link to the site."""
    used = further_nics(lab) + Counter(link.router for link in lab.wan_links)
    wires = []
    for gateway in lab.gateways:
        for line in gateway.lines:
            node = InstanceId(gateway.name, line.instance).node
            used.update((node, line.circuit))
            wires.append(LineWire(gateway, node, line, f"eth{used[node]}", f"eth{used[line.circuit]}"))
    return tuple(wires)


@dataclass(frozen=True, slots=True)
class PublicWire:
    """The link of a node with the Internet, with the interface of each and the node's address there."""

    node: str
    address: IPv4Address
    interface: str
    internet_interface: str


def public_wires(lab: Lab) -> tuple[PublicWire, ...]:
    """The links of VPN gateways' instances and sites with the Internet, which counts on from its legs."""
    if lab.internet is None:
        return ()
    used = further_nics(lab) + Counter(link.site for link in lab.wan_links)
    return tuple(
        PublicWire(node, address, f"eth{used[node] + 1}", leg_interface(position))
        for position, (node, address) in enumerate(lab.internet.public.items(), len(lab.internet.legs))
    )


def leg_interface(position: int) -> str:
    """The Internet node's interface into the virtual network of its leg at `position`."""
    return f"eth{position}"


def wires(lab: Lab) -> tuple[Link, ...]:
    """Every veth of the lab. MACs are unique; those of NICs are the NICs' own, the others hashed from the names.

    The order, and with it every MAC, follows from the lab alone: NICs and Internet leg of each virtual network, then
    peerings, WAN links, lines, links with the Internet and LANs.
    """
    own = {(nic.machine, nic.interface): nic.mac for nic in (*lab.azure.nics, *instance_nics(lab))}
    taken = {FABRIC_MAC, *own.values()}

    def end(node: str, interface: str) -> Endpoint:
        mac = own.get((node, interface))
        if mac is None:
            mac = derive_mac(node, interface, taken)
            taken.add(mac)
        return Endpoint(node, interface, mac)

    return tuple(Link(end(*a), end(*b)) for a, b in _pairs(lab))


_End = tuple[str, str]


def _pairs(lab: Lab) -> Iterator[tuple[_End, _End]]:
    networks = [network.name for network in lab.azure.virtual_networks]
    legs = lab.internet.legs if lab.internet is not None else ()
    for network in networks:
        for nic in nics(lab, network):
            yield (network, nic.name), (nic.machine, nic.interface)
        for position, leg in enumerate(legs):
            if lab.internet is not None and leg.virtual_network == network:
                yield (network, lab.internet.name), (lab.internet.name, leg_interface(position))
    for position, network in enumerate(networks):
        for peering in connected_peerings(lab.azure, network):
            if networks.index(peering.remote) > position:
                yield (network, peering.remote), (peering.remote, network)
    for wire in wan_wires(lab):
        yield (wire.link.router, wire.router_interface), (wire.link.site, wire.site_interface)
    for line in line_wires(lab):
        yield (line.node, line.gateway_interface), (line.line.circuit, line.circuit_interface)
    for public in public_wires(lab):
        yield (public.node, public.interface), (lab.internet.name if lab.internet else "", public.internet_interface)
    for site in lab.sites:
        yield (site.name, NIC), (site.host.name, NIC)
