"""The nodes that route: NVAs and sites (FRR), and the hosts behind the sites."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from labkit.azure.model import ROUTE_SERVER_ASN, InstanceId
from labkit.azure.rules.addressing import ROUTE_SERVER_SUBNET, gateway_address
from labkit.azure.rules.asn import MICROSOFT_ASN
from labkit.lab.model import PRIVATE, BgpTimers, Lab, Nva, Site
from labkit.lab.plan.common import (
    NET_ADMIN,
    Planned,
    environment,
    interface_up,
    nftables,
    node_file,
    ready,
    sysctls,
    tunnel,
)
from labkit.lab.plan.model import Bind, File, Node, Role
from labkit.lab.plan.nodes import INSTANCES, NIC
from labkit.lab.plan.platform import nic_interface, subnet_of
from labkit.lab.plan.tunnels import internet_commands, sites_tunnels, tunnel_commands
from labkit.lab.plan.wires import wan_wires
from labkit.lab.sessions import router_id

FRR_SERVICES = ("mgmtd", "zebra", "staticd", "bgpd")
FRR_CAPABILITIES = ("NET_ADMIN", "SYS_ADMIN")
"""FRR refuses to start without SYS_ADMIN, though it does nothing here that needs it."""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A BGP neighbour in an FRR configuration: a node, its address, and the router's `own` address towards it.

    `route_server`: an instance, several hops away, fed through a filter. `circuit`: an edge router, which is not
    told what has its ASN in the path, as customers' routers do. `prepend`: times that the own ASN is put into
    paths to it beyond the usual one.
    """

    name: str
    address: IPv4Address
    own: IPv4Address
    asn: int
    timers: BgpTimers
    route_server: bool = False
    circuit: bool = False
    prepend: int = 0


@dataclass(frozen=True, slots=True)
class StaticRoute:
    """A static route in an FRR configuration."""

    prefix: IPv4Network
    via: IPv4Address


def plan_nva(lab: Lab, nva: Nva) -> Planned:
    """A network virtual appliance: FRR behind one NIC, with a WAN interface to each of its sites."""
    nic = lab.azure.nic[nva.name]
    wires = [w for w in wan_wires(lab) if w.link.router == nva.name]
    overlays = _overlays(lab, nva)
    conf, conf_bind = _frr(
        nva.name,
        nva.asn,
        router_id(lab, nva.name),
        neighbours=nva_neighbours(lab, nva),
        networks=nva.advertises,
        static_routes=_nva_routes(lab, nva),
        as_override=nva.as_override,
        strip_route_server_asn=nva.strip_route_server_asn,
        requires_policy=nva.requires_policy,
        ebgp_multihop=nva.ebgp_multihop,
        communities=nva.communities,
        next_hop=nva.next_hop,
    )
    files: list[File] = [conf]
    binds: list[Bind] = [conf_bind]
    commands: list[str] = []
    if nva.snat or nva.stateful:
        file, bind, load = nftables(
            nva.name,
            "nftables-nva.conf.j2",
            address=nic.address,
            own=(nic.address, *(w.link.router_address.ip for w in wires), *(o.address.ip for o in overlays)),
            private=PRIVATE,
            snat=nva.snat,
            stateful=nva.stateful,
        )
        files.append(file)
        binds.append(bind)
        commands.append(load)
    commands += interface_up(NIC, nic_interface(lab.azure, nic))
    for wire in wires:
        commands += interface_up(wire.router_interface, wire.link.router_address)
    for overlay in overlays:
        commands.append(tunnel(overlay.interface, overlay.vni, nic.address, lab.azure.nic[overlay.far.name].address))
        commands += interface_up(overlay.interface, overlay.address)
    router = frr_node(lab, nva.name, Role.NVA, binds, commands)
    return Planned(router if nva.tracks is None else _tracking(router, nva), tuple(files))


def plan_site(lab: Lab, site: Site) -> Planned:
    """A site's router: FRR between its LAN and the NVAs, circuits and VPN gateways it is linked to."""
    wires = [w for w in wan_wires(lab) if w.link.site == site.name]
    tunnels = tuple(sites_tunnels(lab, site.name))
    conf, bind = _frr(
        site.name,
        site.asn,
        router_id(lab, site.name),
        neighbours=site_neighbours(lab, site),
        networks=[interface.network for interface in site.lan],
        static_routes=[
            StaticRoute(prefix, address) for _, address, _, each in tunnels for prefix in each.remote_prefixes
        ],
        source=site.lan[0].ip,
    )
    commands = [*interface_up(NIC, *site.lan)]
    for wire in wires:
        commands += interface_up(wire.site_interface, wire.link.site_address)
    commands += internet_commands(lab, site.name)
    for _, _, _, each in tunnels:
        commands += tunnel_commands(lab, site.name, each)
    return Planned(frr_node(lab, site.name, Role.SITE, [bind], commands), (conf,))


def nva_neighbours(lab: Lab, nva: Nva) -> tuple[Neighbour, ...]:
    """Whom an NVA speaks BGP with: instances of route servers, its sites, the far ends of its overlays."""
    address = lab.azure.nic[nva.name].address
    found = [
        Neighbour(
            InstanceId(server, i).node,
            lab.azure.route_server[server].instances[i],
            address,
            ROUTE_SERVER_ASN,
            nva.timers,
            route_server=True,
            prepend=nva.prepend,
        )
        for server in nva.peers_with
        for i in INSTANCES
    ]
    for link in lab.wan_links:
        if link.router == nva.name:
            asn, own = lab.site[link.site].asn, link.router_address.ip
            found.append(Neighbour(link.site, link.site_address.ip, own, asn, nva.timers, prepend=nva.prepend))
    for end in _overlays(lab, nva):
        far, own = end.far, end.address.ip
        found.append(Neighbour(far.name, end.far_address.ip, own, far.asn, nva.timers, prepend=nva.prepend))
    return tuple(found)


def site_neighbours(lab: Lab, site: Site) -> tuple[Neighbour, ...]:
    """Whom a site's router speaks BGP with: NVAs and circuits that it is linked to, and instances of VPN gateways."""
    found = [
        Neighbour(
            link.router,
            link.router_address.ip,
            link.site_address.ip,
            router_asn(lab, link.router),
            BgpTimers(),
            circuit=link.router in lab.azure.circuit,
            prepend=site.prepend.get(link.router, 0),
        )
        for link in lab.wan_links
        if link.site == site.name
    ]
    for node, address, asn, tunnel_end in sites_tunnels(lab, site.name):
        if tunnel_end.bgp:
            found.append(Neighbour(node, address, tunnel_end.far, asn, BgpTimers()))
    return tuple(found)


def router_asn(lab: Lab, name: str) -> int:
    """The ASN of the NVA or the circuit of this name."""
    return lab.nva[name].asn if name in lab.nva else MICROSOFT_ASN


def plan_host(lab: Lab, site: Site) -> Planned:
    """The host on a site's LAN."""
    node = Node(
        name=site.host.name,
        role=Role.HOST,
        env=environment(lab.name, site.host.name),
        exec=(
            *interface_up(NIC, site.host.address),
            f"ip route replace default via {site.lan[0].ip} dev {NIC}",
        ),
        sysctls=sysctls(forward=False),
        cap_add=NET_ADMIN,
    )
    return Planned(node)


@dataclass(frozen=True, slots=True)
class _OverlayEnd:
    """An NVA's end of an overlay, and the NVA at the far one."""

    interface: str
    vni: int
    address: IPv4Interface
    far: Nva
    far_address: IPv4Interface


def _overlays(lab: Lab, nva: Nva) -> tuple[_OverlayEnd, ...]:
    ends = []
    for overlay in lab.overlays:
        if nva.name in overlay.nvas:
            mine = overlay.nvas.index(nva.name)
            far = lab.nva[overlay.nvas[1 - mine]]
            address, far_address = overlay.addresses[mine], overlay.addresses[1 - mine]
            ends.append(_OverlayEnd(f"vxlan{overlay.vni}", overlay.vni, address, far, far_address))
    return tuple(ends)


def _nva_routes(lab: Lab, nva: Nva) -> tuple[StaticRoute, ...]:
    """What an NVA knows without BGP: the default route that Azure's DHCP hands out, and the way to its route servers.

    And the way to the far ends of its overlays, which BGP would lead into the tunnel itself. Without the second the
    route servers' own prefix, whose next hop they are, would resolve through itself
    [static-routes-to-instances].
    """
    gateway = gateway_address(subnet_of(lab.azure, lab.azure.nic[nva.name]))
    servers = (lab.azure.route_server[name] for name in nva.peers_with)
    subnets = (
        subnet.prefix
        for server in servers
        for subnet in lab.azure.virtual_network[server.virtual_network].subnets
        if subnet.name == ROUTE_SERVER_SUBNET
    )
    tunnels = (IPv4Network(lab.azure.nic[o.far.name].address) for o in _overlays(lab, nva))
    return tuple(StaticRoute(prefix, gateway) for prefix in (IPv4Network("0.0.0.0/0"), *subnets, *tunnels))


def _frr(
    name: str,
    asn: int,
    router_id: IPv4Address,
    *,
    neighbours: Sequence[Neighbour],
    networks: Iterable[IPv4Network],
    static_routes: Iterable[StaticRoute] = (),
    source: IPv4Address | None = None,
    as_override: bool = False,
    strip_route_server_asn: bool = False,
    requires_policy: bool = False,
    ebgp_multihop: bool = True,
    communities: Iterable[tuple[int, int]] = (),
    next_hop: IPv4Address | None = None,
) -> tuple[File, Bind]:
    return node_file(
        name,
        "frr.conf",
        "/etc/frr/frr.conf",
        "frr.conf.j2",
        hostname=name,
        asn=asn,
        router_id=router_id,
        neighbours=tuple(neighbours),
        networks=tuple(networks),
        static_routes=tuple(static_routes),
        source=source,
        as_override=as_override,
        strip_route_server_asn=strip_route_server_asn,
        requires_policy=requires_policy,
        ebgp_multihop=ebgp_multihop,
        communities=[f"{high}:{low}" for high, low in communities],
        next_hop=next_hop,
        route_server_asn=ROUTE_SERVER_ASN,
    )


def _tracking(router: Node, nva: Nva) -> Node:
    """The NVA's router with its tracker beside FRR."""
    env = {
        "LABKIT_TRACK": str(nva.tracks),
        "LABKIT_TRACK_ASN": str(nva.asn),
        "LABKIT_TRACK_PREFIXES": " ".join(map(str, nva.advertises)),
    }
    return replace(router, services=(*router.services, "tracker"), env={**router.env, **env})


def frr_node(lab: Lab, name: str, role: Role, binds: Iterable[Bind], commands: Iterable[str]) -> Node:
    """A node that FRR routes in."""
    return Node(
        name=name,
        role=role,
        services=FRR_SERVICES,
        env=environment(lab.name, name),
        binds=tuple(binds),
        exec=tuple(commands),
        sysctls=sysctls(forward=True),
        cap_add=FRR_CAPABILITIES,
        healthcheck=ready(FRR_SERVICES),
    )
