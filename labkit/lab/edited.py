"""An edited lab file against the running lab, whose nodes and links stay: what of it no change can make. Pure.

Addresses are given out in order. So that what stays has those that it was built with, an edited file is read once more
with `freed_addresses` reserved.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from ipaddress import IPv4Address

from labkit.azure.changes.virtual_networks import peering_side
from labkit.azure.model import Azure
from labkit.lab.connections import connection_name, connection_names
from labkit.lab.model import Lab, Tunnel, TunnelEnd


def freed_addresses(lab: Lab, edited: Lab) -> frozenset[IPv4Address]:
    """The addresses that a running lab has for gateways and connections which an edited file of it has no more.

    While they stay reserved, everything else has the addresses that it was built with.
    """
    return _chosen(lab) - _chosen(_common(lab, edited))


def _chosen(lab: Lab) -> frozenset[IPv4Address]:
    """The addresses of gateways, of their ends of lines and tunnels, and those in the Internet."""
    gateways = lab.azure.gateways
    nodes = {i.node for gateway in gateways for i in gateway.instance_ids}
    found = {address for gateway in gateways for address in gateway.instances}
    found |= {address for gateway in lab.gateways for line in gateway.lines for address in (line.edge, line.next_hop)}
    found |= {end.address for tunnel in lab.tunnels for end in (tunnel.near, tunnel.far) if end.node in nodes}
    if lab.internet is not None:
        found |= {*lab.internet.public.values(), *lab.internet.translated.values()}
    return frozenset(found)


def _common(lab: Lab, other: Lab) -> Lab:
    """A lab with those of its gateways and connections alone that another one has, too."""
    kept, gateways = {each.name for each in other.azure.connections}, other.azure.gateway.keys()
    azure = replace(
        lab.azure,
        gateways=tuple(g for g in lab.azure.gateways if g.name in gateways),
        connections=tuple(c for c in lab.azure.connections if c.name in kept),
        local_network_gateways=tuple(d for d in lab.azure.local_network_gateways if d.name in kept),
    )
    gone = {i.node for g in lab.azure.gateways if g.name not in gateways for i in g.instance_ids}
    azure = replace(azure, nics=tuple(nic for nic in azure.nics if nic.machine not in gone))
    internet = lab.internet
    if internet is not None and other.internet is not None:
        public, translated = (
            {name: address for name, address in before.items() if name in after}
            for before, after in (
                (internet.public, other.internet.public),
                (internet.translated, other.internet.translated),
            )
        )
        internet = replace(internet, public=public, translated=translated)
    return replace(
        lab,
        azure=azure,
        gateways=tuple(
            replace(g, lines=tuple(line for line in g.lines if connection_name(g.name, line) in kept))
            for g in lab.gateways
            if g.name in gateways
        ),
        tunnels=tuple(tunnel for tunnel in lab.tunnels if kept.issuperset(connection_names(lab, tunnel))),
        internet=internet,
    )


def obstacles(lab: Lab, edited: Lab) -> tuple[str, ...]:
    """What of an edited lab file no change of the running lab can make, each as a sentence without a full stop.

    Gateways and connections may be gone; in `edited`, `freed_addresses` are nobody's.
    """
    built, known = _common(lab, edited), _common(edited, lab)
    new = [name for name in edited.azure.gateway if name not in lab.azure.gateway]
    there = {connection.name for connection in lab.azure.connections}
    found = [
        *(f"gateway {name} is new: it has no nodes in the running lab" for name in new),
        *(
            f"connection {each.name} is new: it has no line and no tunnel in the running lab"
            for each in edited.azure.connections
            if each.name not in there
        ),
        *_obstacles(built, known),
    ]
    if not found:  # addresses are given out in order: they may move although nothing is new
        found += _compared("NIC", built.azure.nic, known.azure.nic, {"ip_forwarding"})
        found += _compared("tunnel", _tunnels(built), _tunnels(known), {"vni"})
    return tuple(found)


def _tunnels(lab: Lab) -> dict[str, Tunnel]:
    """The tunnels by their ends; what an end sends by the address space of the other's network may change with that."""
    found = {}
    for tunnel in lab.tunnels:
        near, far = (_without_space(lab, *ends) for ends in ((tunnel.near, tunnel.far), (tunnel.far, tunnel.near)))
        found[f"{near.node} to {far.node}"] = replace(tunnel, near=near, far=far)
    return found


def _without_space(lab: Lab, end: TunnelEnd, other: TunnelEnd) -> TunnelEnd:
    gateway = lab.azure.gateway.get(other.name)
    space = () if gateway is None else lab.azure.virtual_network[gateway.virtual_network].address_space
    return replace(end, static_prefixes=()) if end.static_prefixes == space else end


def _obstacles(lab: Lab, edited: Lab) -> Iterator[str]:
    one, other = lab.azure, edited.azure
    if lab.name != edited.name:
        yield f"the file is of lab {edited.name}, and this is lab {lab.name}"
    if one.reserved_blocks != other.reserved_blocks:
        yield "assumptions: reserved_blocks differs, which no change configures"
    yield from _compared("virtual network", one.virtual_network, other.virtual_network, {"address_space", "subnets"})
    for name in [name for name in one.virtual_network if name in other.virtual_network]:
        had, has = ({f"{name}/{s.name}": s for s in a.virtual_network[name].subnets} for a in (one, other))
        yield from _compared("subnet", had, has, {"route_table"})
    changeable = {"peers", "branch_to_branch", "hub_routing_preference"}
    gone = one.route_server.keys() - other.route_server.keys()
    kept = {name: server for name, server in one.route_server.items() if name not in gone}
    yield from _compared("route server", kept, other.route_server, changeable)
    yield from _peerings(one, other)
    yield from _compared("NVA", lab.nva, edited.nva, {"route_servers"})
    machines = [{machine.name: machine for machine in each.virtual_machines} for each in (lab, edited)]
    yield from _compared("virtual machine", *machines)
    yield from _compared("site", lab.site, edited.site, {"routers"})
    sites = {*lab.site} & {*edited.site}
    routers = [{name: each for name, each in lab.site_router.items() if each.site in sites} for lab in (lab, edited)]
    yield from _compared("router", *routers)
    yield from _compared("gateway", one.gateway, other.gateway)
    yield from _compared("gateway", lab.gateway, edited.gateway)
    yield from _compared("circuit", one.circuit, other.circuit, {"authorizations"})
    yield from _compared("local network gateway", one.local_network_gateway, other.local_network_gateway)
    connections = ({c.name: c for c in one.connections}, {c.name: c for c in other.connections})
    yield from _compared("connection", *connections, {"authorization"})
    yield from _compared("firewall", one.firewall, other.firewall, {"rules"})
    yield from _compared("load balancer", one.load_balancer, other.load_balancer)
    links = [{f"{link.router} to {link.site}": link for link in each.wan_links} for each in (lab, edited)]
    yield from _compared("link", *links)
    overlays = [{" to ".join(overlay.nvas): overlay for overlay in each.overlays} for each in (lab, edited)]
    yield from _compared("overlay", *overlays)
    internet = [{each.internet.name: each.internet} if each.internet is not None else {} for each in (lab, edited)]
    yield from _compared("network", *internet)


def _peerings(before: Azure, after: Azure) -> Iterator[str]:
    for peering in {frozenset((p.local, p.remote)): p for p in reversed(after.peerings)}.values():
        built = peering_side(before, peering.local, peering.remote)
        ends = f"the peering of {peering.local} and {peering.remote}"
        if built is None:
            yield f"{ends} is new: it needs a link"
        elif built.is_global != peering.is_global:
            yield f"{ends}: global differs, which no change configures"


def _compared(
    kind: str, before: Mapping[str, object], after: Mapping[str, object], changeable: Iterable[str] = ()
) -> Iterator[str]:
    """What is new, gone or otherwise among objects of a kind, their `changeable` fields left out."""
    for name in dict.fromkeys((*before, *after)):
        if name not in before:
            yield f"{kind} {name} is new: it has no node or link in the running lab"
        elif name not in after:
            yield f"{kind} {name} is gone: no change removes its node or link"
        else:
            for what in _fields(before[name], after[name], changeable):
                yield f"{kind} {name}: {what} differs, which no change configures"


def _fields(before: object, after: object, changeable: Iterable[str]) -> Iterator[str]:
    assert is_dataclass(before)
    assert not isinstance(before, type)
    for field in fields(before):
        if field.name not in changeable and getattr(before, field.name) != getattr(after, field.name):
            yield field.name
