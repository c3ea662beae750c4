"""The BGP sessions of a lab: between whom, at which address, by which daemon."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address

from labkit.azure.model import InstanceId
from labkit.daemons.protocol import Daemon
from labkit.daemons.registry import DAEMONS
from labkit.lab.model import Lab
from labkit.names import meant


@dataclass(frozen=True, slots=True)
class SessionEnd:
    """One end of a BGP session: a node, its own address, and the seconds between its keepalives.

    `daemon` is empty for an instance of a route server, and for a router with an image of the user's own.
    """

    node: str
    address: IPv4Address
    daemon: str
    keepalive: int


@dataclass(frozen=True, slots=True)
class BgpSession:
    """A BGP session for which two nodes are configured, with the hold time that they agree on, in seconds."""

    ends: tuple[SessionEnd, SessionEnd]
    hold: int

    def __str__(self) -> str:
        return " - ".join(end.node for end in self.ends)

    def far(self, end: SessionEnd) -> SessionEnd:
        """The other end than `end`."""
        return self.ends[1] if end == self.ends[0] else self.ends[0]


def router_id(lab: Lab, node: str) -> IPv4Address:
    """The BGP identifier of an NVA, a site's router, an edge router or a gateway's instance: the lower breaks a tie."""
    if node in lab.site_router:
        return lab.site_router[node].lan[0].ip
    if lab.azure.nics_of(node):
        loopback = lab.nva[node].loopback if node in lab.nva else None
        return loopback if loopback is not None else lab.azure.primary_nic(node).address
    edges = [line.edge for gateway in lab.gateways for line in gateway.lines if line.router == node]
    return min(edges or (link.router_address.ip for link in lab.wan_links if link.router == node))


def end_of_session(lab: Lab, nva: str, nic: str) -> IPv4Address:
    """The address of an NVA in a session with another one by this NIC: its loopback's, if it has one."""
    loopback = lab.nva[nva].loopback
    return loopback if loopback is not None else lab.azure.nic[nic].address


def router_daemons(lab: Lab) -> dict[str, str]:
    """The name of the BGP daemon of every node that has one: NVAs, instances of gateways, edge routers, sites.

    A router with an image of the user's own has none that labkit knows of.
    """
    instances = {i.node: g for g in lab.gateways for i in lab.azure.gateway[g.name].instance_ids}
    return {
        **{nva.name: nva.daemon for nva in lab.bgp_nvas if nva.container is None},
        **{node: gateway.daemon for node, gateway in instances.items()},
        **{router: each.daemon for each in lab.circuits for router in lab.azure.circuit[each.name].edge_routers},
        **{name: router.daemon for name, router in lab.site_router.items()},
    }


def daemon_of(lab: Lab, node: str) -> Daemon:
    """The BGP daemon of a router's node.

    Raises:
        KeyError: the node is not a router.
    """
    return DAEMONS[router_daemons(lab)[node]]


def peer_names(lab: Lab, server: str, peer: str) -> tuple[str, ...]:
    """The names under which a route server has an NVA, or each instance of a gateway, as its peer.

    An NVA by a NIC that its session does not use is none.
    """
    if peer in lab.azure.gateway:
        return tuple(i.node for i in lab.azure.gateway[peer].instance_ids)
    return (_router(lab, peer),) if _goes_by(lab, peer, server) else ()


def nic_of_session(lab: Lab, nva: str, far: str) -> str | None:
    """The NIC by which an NVA has its session with a route server or another NVA; None over a link, or without one."""
    if far in lab.azure.route_server:
        address = next((peer.address for peer in lab.azure.route_server[far].peers if peer.name == nva), None)
        return next((nic.name for nic in lab.azure.nics_of(nva) if address in nic.addresses), None)
    by_overlay = (o.nics[o.nvas.index(nva)] for o in lab.overlays if {nva, far} == set(o.nvas))
    by_itself = (peer.nic for peer in lab.nva[nva].peers if peer.name == far)
    return next(by_overlay, None) or next(by_itself, None)


def _router(lab: Lab, name: str) -> str:
    """The router that a name means: a NIC's is its machine."""
    return lab.azure.nic[name].machine if name in lab.azure.nic else name


def _goes_by(lab: Lab, name: str, far: str) -> bool:
    """Whether the session of what has the name goes by it, where that is one of several NICs."""
    router = _router(lab, name)
    return router == name or nic_of_session(lab, router, far) == name


def peer_name(lab: Lab, name: str) -> str:
    """The name under which a route server has what is meant by `name`: an NVA's NIC means the NVA."""
    known = meant(name, (*lab.nva, *lab.azure.nic)) or name
    nic = lab.azure.nic.get(known)
    return nic.machine if nic is not None and nic.machine in lab.nva else known


def speakers(lab: Lab, near: str, far: str) -> tuple[tuple[str, IPv4Address], ...]:
    """The sessions between `near`, which is not a route server, and `far`: `near`'s node, `far`'s address.

    By the NIC of an NVA only the session that uses it is meant.
    """
    ends = _router(lab, near), _router(lab, far)
    if not _goes_by(lab, near, ends[1]) or not _goes_by(lab, far, ends[0]):
        return ()
    return tuple(dict.fromkeys(_speakers(lab, *ends)))


def _speakers(lab: Lab, near: str, far: str) -> Iterator[tuple[str, IPv4Address]]:
    nodes = peer_names(lab, far, near)
    if far in lab.azure.route_server:
        yield from ((node, address) for node in nodes for address in lab.azure.route_server[far].instances)
    near_routers, far_routers = _edge_routers(lab, near), _edge_routers(lab, far)
    for link in lab.wan_links:
        if link.router in near_routers and link.site == far:
            yield link.router, link.site_address.ip
        if link.router in far_routers and link.site == near:
            yield near, link.router_address.ip
    for overlay in lab.overlays:
        if {near, far} == set(overlay.nvas):
            yield near, overlay.addresses[overlay.nvas.index(far)].ip
    if near in lab.site_router and far in lab.site_router and lab.site_router[near].site == lab.site_router[far].site:
        yield near, lab.site_router[far].lan[0].ip
    if near in lab.nva:
        yield from ((near, end_of_session(lab, far, p.far_nic)) for p in lab.nva[near].peers if p.name == far)
    for tunnel in (tunnel for node in nodes for tunnel in lab.tunnels_of(node)):
        if tunnel.bgp and tunnel.far.name == far:
            yield tunnel.near.node, tunnel.far.address
    for gateway in lab.gateways:
        for line in gateway.lines:
            if gateway.name == near and line.router in far_routers:
                yield InstanceId(near, line.instance).node, line.edge
            if gateway.name == far and line.router in near_routers:
                yield line.router, lab.azure.gateway[far].instances[line.instance]


def _edge_routers(lab: Lab, name: str) -> tuple[str, ...]:
    """The edge routers of a circuit; what has another name is itself."""
    return lab.azure.circuit[name].edge_routers if name in lab.azure.circuit else (name,)
