"""The nodes of a site: its routers, its host, and the switch of its LAN where there are several routers."""

from __future__ import annotations

from collections.abc import Iterator

from labkit.lab import model
from labkit.lab.model import Lab
from labkit.lab.plan.common import NET_ADMIN, Planned, environment, interface_up, nftables, sysctls
from labkit.lab.plan.model import Node, Role
from labkit.lab.plan.nodes import NIC, link_ends
from labkit.lab.plan.router_node import router_node, speaker_files
from labkit.lab.plan.speakers import site_speaker
from labkit.lab.plan.tunnels import tunnel_commands
from labkit.lab.plan.wires import Interfaces, Wire, WireEnd, Wiring

_BRIDGE = "lan"
_NEW_BRIDGE = f"ip link add {_BRIDGE} type bridge stp_state 0 mcast_snooping 0 forward_delay 0"


def lan_wires(site: model.Site, interfaces: Interfaces) -> Iterator[Wire]:
    """The links of a site's LAN: from its router to its host, or from each of them to its switch."""
    host, up = WireEnd(site.host.name, NIC), interface_up(NIC, site.host.address)
    if site.switch is None:
        yield Wire(WireEnd(site.gateway.name, NIC), host, b_up=up)
        return
    ends = [*((WireEnd(router.name, NIC), ()) for router in site.routers), (host, up)]
    for end, commands in ends:
        port = interfaces.take(site.switch)
        yield Wire(end, WireEnd(site.switch, port), commands, _port_up(port))


def _port_up(port: str) -> tuple[str, ...]:
    return (f"ip link set dev {port} master {_BRIDGE}", f"ip link set dev {port} up")


def site_nodes(lab: Lab, wiring: Wiring, site: model.Site) -> Iterator[Planned]:
    """The routers of a site, its switch and its host."""
    for router in site.routers:
        yield _router(lab, wiring, router)
    if site.switch is not None:
        yield Planned(_switch(lab, wiring, site.switch))
    yield Planned(_host(lab, wiring, site))


def _router(lab: Lab, wiring: Wiring, router: model.SiteRouter) -> Planned:
    """A router of a site: between its LAN and what it has links and tunnels to."""
    files, binds = speaker_files(router.daemon, site_speaker(lab, router))
    commands: list[str] = []
    if router.snat:
        assert lab.internet is not None
        public = lab.internet.public[router.name]
        own = [own for node, own, _ in link_ends(lab) if node == router.name]
        own += [interface.ip for interface in router.lan]
        file, bind, load = nftables(
            router.name,
            "nftables-nva.conf.j2",
            sources=[(wiring.interface(router.name, lab.internet.name), public, ())],
            own=sorted({*own}),
            stateful=False,
        )
        files.append(file)
        binds.append(bind)
        commands.append(load)
    commands += [*interface_up(NIC, *router.lan), *wiring.up(router.name)]
    for tunnel in lab.tunnels_of(router.name):
        commands += tunnel_commands(lab, tunnel)
    return Planned(router_node(lab, router.name, router.daemon, Role.SITE, binds, commands), tuple(files))


def _switch(lab: Lab, wiring: Wiring, name: str) -> Node:
    """The switch that joins the routers of a site and its host: an ordinary bridge, which learns and floods."""
    make = f"sh -c 'ip link show dev {_BRIDGE} >/dev/null 2>&1 || {_NEW_BRIDGE}'"
    return Node(
        name=name,
        role=Role.LAN,
        env=environment(lab.name, name),
        exec=(make, f"ip link set dev {_BRIDGE} up", *wiring.up(name)),
        sysctls=sysctls(forward=False),
        cap_add=NET_ADMIN,
    )


def _host(lab: Lab, wiring: Wiring, site: model.Site) -> Node:
    """The host on a site's LAN."""
    return Node(
        name=site.host.name,
        role=Role.HOST,
        env=environment(lab.name, site.host.name),
        exec=(
            *wiring.up(site.host.name),
            f"ip route replace default via {site.gateway.lan[0].ip} dev {NIC}",
        ),
        sysctls=sysctls(forward=False),
        cap_add=NET_ADMIN,
    )
