"""The nodes of a lab by name, and the addresses that names stand for."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from ipaddress import IPv4Address
from itertools import permutations

from labkit.azure.model import Azure, InstanceId
from labkit.azure.rules.gateways import edge_med, nic_next_hop
from labkit.lab.model import Gateway, Lab, Line
from labkit.names import meant

CONTROLLER = "controller"
INSTANCES = (0, 1)
PROVIDER = IPv4Address("169.254.0.1")
"""What the routes of the Internet's legs point at: nobody has it, the fabric takes every packet by its destination."""
NIC = "eth0"
"""The primary NIC of a node in a virtual network, and a site's LAN interface."""


def lines(lab: Lab) -> Iterator[tuple[Gateway, Line]]:
    """The lines between gateways and circuits, each with its gateway."""
    return ((gateway, line) for gateway in lab.gateways for line in gateway.lines)


def beyond(lab: Lab, node: str, azure: Azure, idle: Collection[tuple[str, str]] = ()) -> tuple[IPv4Address, ...]:
    """Addresses for which the NIC of a gateway's instance gets packets in addition to its own; none for another node.

    They are Microsoft's edges at the far ends of its lines, and the next hops that NICs have for what lies behind it,
    where Azure has become `azure`. Of an edge at which both instances have lines one gets the packets: the instance of
    the edge's number [edge-by-instance], or the other one while that is `idle`. Those are instances that do not run, or
    have nothing of a circuit: their nodes, each with the circuit.
    """
    found = [
        address
        for gateway, line in lines(lab)
        if InstanceId(gateway.name, line.instance).node == node and _gets(lab, gateway, line, idle)
        for address in (line.edge, line.next_hop)
    ]
    for gateway in azure.gateways:
        found += (nic_next_hop(gateway, i.index) for i in gateway.instance_ids if i.node == node)
    own = {address for nic in lab.azure.nics_of(node) for address in nic.addresses} if found else set()
    return tuple(address for address in dict.fromkeys(found) if address not in own)


def _gets(lab: Lab, gateway: Gateway, line: Line, idle: Collection[tuple[str, str]]) -> bool:
    """Whether what is sent to the edge at the far end of a line gets to the instance at the near one."""
    known = lab.azure.gateway[gateway.name]
    sharing = [each.instance for each in gateway.lines if each.edge == line.edge]
    running = [i for i in sharing if (InstanceId(gateway.name, i).node, line.circuit) not in idle] or sharing
    return line.instance == min(running, key=lambda i: (edge_med(lab.azure, known, i, line.router) or 0, i))


def instance_addresses(lab: Lab, server: str) -> tuple[IPv4Address, IPv4Address]:
    """The addresses of both instances of a route server."""
    return lab.azure.route_server[server].instances


def addresses(lab: Lab) -> dict[str, IPv4Address]:
    """The address by which every node is known: NIC, instance, line's end, LAN of a site, its host, Internet host."""
    found = {nic.machine: nic.address for nic in reversed(lab.azure.nics)}
    for server in lab.azure.route_servers:
        found |= {i.node: server.instances[i.index] for i in server.instance_ids}
    for line in reversed([line for gateway in lab.gateways for line in gateway.lines]):
        found[line.router] = line.edge
    for site in lab.sites:
        found |= {router.name: router.lan[0].ip for router in site.routers}
        found[site.host.name] = site.host.address.ip
    if lab.internet is not None:
        found[lab.internet.name] = lab.internet.host
    return found


def frontends(lab: Lab) -> dict[IPv4Address, str]:
    """The load balancer that has each frontend's address; no node has it."""
    return {balancer.address: balancer.name for balancer in lab.azure.load_balancers}


def named(lab: Lab, text: str) -> str:
    """The name of a node, a site, a NIC or a load balancer that is meant by `text`; other texts stay as they are."""
    return meant(text, (*addresses(lab), *lab.site, *lab.azure.nic, *lab.azure.load_balancer)) or text


def address_of(lab: Lab, name: str) -> IPv4Address:
    """The address that the name of a node or a NIC, or an address written out, means.

    Raises:
        ValueError: it is neither a name nor an address.
    """
    nic = lab.azure.nic.get(name)
    known = addresses(lab).get(name) or (nic.address if nic is not None else None)
    return known if known is not None else IPv4Address(name)


def target_address(lab: Lab, target: str | IPv4Address) -> IPv4Address:
    """Where a packet to `target` goes: as `address_of`, but a site means its host, a load balancer its frontend."""
    if isinstance(target, IPv4Address):
        return target
    if target in lab.azure.load_balancer:
        return lab.azure.load_balancer[target].address
    site = lab.site.get(target)
    return site.host.address.ip if site is not None else address_of(lab, target)


def link_ends(lab: Lab) -> Iterator[tuple[str, IPv4Address, IPv4Address]]:
    """The ends of links, lines, tunnels and LANs: the node there, its own address, and the far one."""
    for link in lab.wan_links:
        near, far = link.router_address.ip, link.site_address.ip
        yield from ((link.router, near, far), (link.site, far, near))
    for overlay in lab.overlays:
        (one, other), (near, far) = overlay.nvas, (interface.ip for interface in overlay.addresses)
        yield from ((one, near, far), (other, far, near))
    for gateway in lab.gateways:
        for line in gateway.lines:
            own = lab.azure.gateway[gateway.name].instances[line.instance]
            yield InstanceId(gateway.name, line.instance).node, own, line.edge
            yield line.router, line.edge, own
    for end in (end for tunnel in lab.tunnels for end in (tunnel, tunnel.turned)):
        yield end.near.node, end.near.address, end.far.address
    for site in lab.sites:
        on_lan = [*((router.name, router.lan[0].ip) for router in site.routers), (site.host.name, site.host.address.ip)]
        yield from ((node, near, far) for (node, near), (_, far) in permutations(on_lan, 2))
    if lab.internet is not None:
        yield from ((node, address, lab.internet.host) for node, address in lab.internet.public.items())


def owners(lab: Lab) -> dict[IPv4Address, str]:
    """The node that owns each address: ends of links, lines and tunnels and a site's further LAN addresses included."""
    found = {address: nic.machine for nic in lab.azure.nics for address in nic.addresses}
    found |= {address: name for name, address in addresses(lab).items()}
    for router in lab.site_router.values():
        found |= {interface.ip: router.name for interface in router.lan}
    for line in (line for gateway in lab.gateways for line in gateway.lines):
        found |= {line.next_hop: line.router, line.edge: line.router}
    found |= {end.address: end.node for tunnel in lab.tunnels for end in (tunnel.near, tunnel.far)}
    if lab.internet is not None:
        found |= {address: node for node, address in lab.internet.public.items()}
        found |= {address: lab.azure.nic[nic].machine for nic, address in lab.internet.translated.items()}
    found |= {nva.loopback: nva.name for nva in lab.nvas if nva.loopback is not None}
    for overlay in lab.overlays:
        found |= {interface.ip: nva for nva, interface in zip(overlay.nvas, overlay.addresses, strict=True)}
    for link in lab.wan_links:
        found |= {link.router_address.ip: link.router, link.site_address.ip: link.site}
    return found
