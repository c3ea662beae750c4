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
    """The BGP identifier of an NVA, a site, a circuit or an instance of a gateway: the lower one breaks a tie."""
    if node in lab.site:
        return lab.site[node].lan[0].ip
    if lab.azure.nics_of(node):
        loopback = lab.nva[node].loopback if node in lab.nva else None
        return loopback if loopback is not None else lab.azure.primary_nic(node).address
    edges = [line.edge for gateway in lab.gateways for line in gateway.lines if line.circuit == node]
    return min(edges or (link.router_address.ip for link in lab.wan_links if link.router == node))


def end_of_session(lab: Lab, nva: str, nic: str) -> IPv4Address:
    """The address of an NVA in a session with another one by this NIC: its loopback's, if it has one."""
    loopback = lab.nva[nva].loopback
    return loopback if loopback is not None else lab.azure.nic[nic].address


def router_daemons(lab: Lab) -> dict[str, str]:
    """The name of the BGP daemon of every node that has one: NVAs, instances of gateways, circuits, sites.

    A router with an image of the user's own has none that labkit knows of.
    """
    instances = {i.node: g for g in lab.gateways for i in lab.azure.gateway[g.name].instance_ids}
    return {
        **{nva.name: nva.daemon for nva in lab.bgp_nvas if nva.container is None},
        **{node: gateway.daemon for node, gateway in instances.items()},
        **{circuit.name: circuit.daemon for circuit in lab.circuits},
        **{name: site.daemon for name, site in lab.site.items()},
    }


def daemon_of(lab: Lab, node: str) -> Daemon:
    """The BGP daemon of a router's node.

    Raises:
        KeyError: the node is not a router.
    """
    return DAEMONS[router_daemons(lab)[node]]


def peer_names(lab: Lab, peer: str) -> tuple[str, ...]:
    """The names under which a route server has an NVA, or each instance of a gateway, as its peer."""
    if peer not in lab.azure.gateway:
        return (peer,)
    return tuple(i.node for i in lab.azure.gateway[peer].instance_ids)


def peer_name(lab: Lab, name: str) -> str:
    """The name under which a route server has what is meant by `name`: an NVA's NIC means the NVA."""
    known = meant(name, (*lab.nva, *lab.azure.nic)) or name
    nic = lab.azure.nic.get(known)
    return nic.machine if nic is not None and nic.machine in lab.nva else known


def speakers(lab: Lab, near: str, far: str) -> tuple[tuple[str, IPv4Address], ...]:
    """The sessions between `near`, which is not a route server, and `far`: `near`'s node, `far`'s address."""
    return tuple(dict.fromkeys(_speakers(lab, near, far)))


def _speakers(lab: Lab, near: str, far: str) -> Iterator[tuple[str, IPv4Address]]:
    nodes = peer_names(lab, near)
    if far in lab.azure.route_server:
        yield from ((node, address) for node in nodes for address in lab.azure.route_server[far].instances)
    for link in lab.wan_links:
        if (link.router, link.site) == (near, far):
            yield near, link.site_address.ip
        if (link.site, link.router) == (near, far):
            yield near, link.router_address.ip
    for overlay in lab.overlays:
        if {near, far} == set(overlay.nvas):
            yield near, overlay.addresses[overlay.nvas.index(far)].ip
    if near in lab.nva:
        yield from ((near, end_of_session(lab, far, p.far_nic)) for p in lab.nva[near].peers if p.name == far)
    for gateway in lab.gateways:
        for tunnel in gateway.tunnels:
            if tunnel.bgp and (gateway.name, tunnel.site) == (near, far):
                yield InstanceId(near, tunnel.instance).node, tunnel.far
            if tunnel.bgp and (tunnel.site, gateway.name) == (near, far):
                yield near, lab.azure.gateway[far].instances[tunnel.instance]
        for line in gateway.lines:
            if (gateway.name, line.circuit) == (near, far):
                yield InstanceId(near, line.instance).node, line.edge
            if (line.circuit, gateway.name) == (near, far):
                yield near, lab.azure.gateway[far].instances[line.instance]
