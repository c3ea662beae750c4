"""The BGP speakers of a lab, whatever their daemons: what their configurations and predictions are made from. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from itertools import chain

from labkit.azure.model import ROUTE_SERVER_ASN, Appliance, Azure, InstanceId, Nic, PeerKind
from labkit.azure.rules.acceptance import originated_in
from labkit.azure.rules.addressing import ROUTE_SERVER_SUBNET, gateway_address
from labkit.azure.rules.adjacency import local_and_adjacent_ranges, server_in
from labkit.azure.rules.asn import MICROSOFT_ASN
from labkit.azure.rules.effective import DEFAULT_ROUTE
from labkit.azure.rules.gateways import (
    edge_med,
    possible_internal_peers,
    routing_weight,
    session_server,
    static_remotes,
)
from labkit.azure.rules.limits import (
    CUSTOMER_TO_CIRCUIT_ROUTES,
    GATEWAY_TO_CIRCUIT_ROUTES,
    PREMIUM_CUSTOMER_TO_CIRCUIT_ROUTES,
)
from labkit.daemons.speaker import (
    AZURE_TIMERS,
    BgpTimers,
    CustomerSpeaker,
    EdgeGateway,
    EdgeSpeaker,
    GatewaySpeaker,
    Neighbour,
    StaticRoute,
    StaticRouter,
)
from labkit.lab.connections import unconnected
from labkit.lab.model import Gateway, Lab, Line, Nva, SiteRouter
from labkit.lab.plan.addressing import subnet_of
from labkit.lab.plan.nic_tables import nic_table
from labkit.lab.plan.nodes import INSTANCES, lines
from labkit.lab.plan.tunnels import public_address
from labkit.lab.sessions import end_of_session, router_id

BMP_PORT = 11019
"""Where a gateway's daemon reports to the service in its node what it receives (RFC 7854)."""


INTERNAL_TIMERS = BgpTimers(3, 9)
"""Between instances of gateways, as Azure's platform notices the end of one sooner than BGP does; and between the
routers of a site."""

EDGE_TIMERS = BgpTimers(3, 9)
"""Of circuits' edge routers: in Azure BFD notices a dead line or router sooner [circuit-bfd]."""


def nva_speaker(lab: Lab, nva: Nva, appliance: Appliance) -> CustomerSpeaker:
    """An NVA with BGP as a speaker, which advertises what `appliance` has."""
    return CustomerSpeaker(
        nva.name,
        router_asn(lab, nva.name),
        router_id(lab, nva.name),
        neighbours=tuple(_nva_neighbours(lab, nva)),
        networks=appliance.advertises,
        static_routes=_static_routes(lab, nva),
        exports=appliance.exports,
        requires_policy=nva.requires_policy,
        ebgp_multihop=nva.ebgp_multihop,
        redistributed=tuple(_redistributed(lab, nva)),
        subnets=(*(subnet_of(lab.azure, nic) for nic in lab.azure.nics_of(nva.name)), *_links(lab, nva.name)),
        loopback=nva.loopback,
    )


def _redistributed(lab: Lab, nva: Nva) -> Iterator[StaticRoute]:
    """The static routes of the lab file that an NVA originates as well."""
    own = {prefix for prefix, _ in nva.static_routes} if nva.redistribute_static else ()
    yield from (StaticRoute(route.prefix, route.via) for route in nva_routes(lab, nva) if route.prefix in own)


def static_router(lab: Lab, nva: Nva) -> StaticRouter:
    """An NVA without BGP."""
    return StaticRouter(nva.name, _static_routes(lab, nva))


def _static_routes(lab: Lab, nva: Nva) -> tuple[StaticRoute, ...]:
    return (*(StaticRoute(route.prefix, route.via) for route in nva_routes(lab, nva)), *_by_policy(lab, nva))


def site_speaker(lab: Lab, router: SiteRouter) -> CustomerSpeaker:
    """A site's router as a BGP speaker."""
    lans = tuple(interface.network for interface in router.lan)
    links = _wan_links(lab, router.name) if router.advertise_links else ()
    return CustomerSpeaker(
        router.name,
        router.asn,
        router_id(lab, router.name),
        neighbours=tuple(_site_neighbours(lab, router)),
        networks=tuple(dict.fromkeys((*lans, *router.advertises, *links))),
        static_routes=site_routes(lab, router),
        discarded=discarded(lab, router),
        exports=router.exports,
        source=router.lan[0].ip,
        subnets=(*lans, *_links(lab, router.name)),
        transit=router.transit,
    )


def site_routes(lab: Lab, router: SiteRouter) -> tuple[StaticRoute, ...]:
    """The static routes of a site's router, and what it sends into tunnels without BGP."""
    static = [StaticRoute(prefix, _next_to_site(lab, router, hop)) for prefix, hop in router.static_routes]
    own = {route.prefix for route in static}
    return (*static, *(route for route in into_tunnels(lab, router.name) if route.prefix not in own))


def discarded(lab: Lab, router: SiteRouter) -> tuple[IPv4Network, ...]:
    """What a site's router advertises and has no route to, which it discards as with a route to Null0.

    On customers' routers that route is what makes BGP originate a range of which there are but parts.
    """
    there = {*(route.prefix for route in site_routes(lab, router)), *(interface.network for interface in router.lan)}
    return tuple(prefix for prefix in router.advertises if prefix not in there)


def _next_to_site(lab: Lab, router: SiteRouter, hop: str | IPv4Address) -> IPv4Address:
    """The address of a static route's next hop: at the far end of a link, or on the LAN."""
    if isinstance(hop, IPv4Address):
        return hop
    if hop in lab.site_router and lab.site_router[hop].site == router.site:
        return lab.site_router[hop].lan[0].ip
    ends = ((link.router, link.router_address, link.site) for link in lab.wan_links)
    back = ((link.site, link.site_address, link.router) for link in lab.wan_links)
    return next(address.ip for name, address, far in (*ends, *back) if (name, far) == (hop, router.name))


def _wan_links(lab: Lab, name: str) -> Iterator[IPv4Network]:
    """The networks of a router's links."""
    yield from (link.site_address.network for link in lab.wan_links if name in {link.router, link.site})


def _links(lab: Lab, name: str) -> Iterator[IPv4Network]:
    """The networks of the links, overlays and tunnels of an NVA or a site's router."""
    yield from _wan_links(lab, name)
    yield from (overlay.addresses[0].network for overlay in lab.overlays if name in overlay.nvas)
    yield from (IPv4Network(tunnel.far.address) for tunnel in lab.tunnels_of(name))


def into_tunnels(lab: Lab, node: str, azure: Azure | None = None) -> Iterator[StaticRoute]:
    """What a node sends into its tunnels without BGP: into all of those to the first that a prefix leads to.

    `azure` is what Azure has become, to which a gateway keeps; by default it is as the lab was built.
    """
    azure = lab.azure if azure is None else azure
    instance = next((i for gateway in azure.gateways for i in gateway.instance_ids if i.node == node), None)
    sent = dict(static_remotes(azure, azure.gateway[instance.name], instance.index)) if instance is not None else {}
    closed = unconnected(lab, azure)
    first: dict[IPv4Network, str] = {}
    for tunnel in lab.tunnels_of(node):
        far = tunnel.far
        prefixes = tunnel.near.static_prefixes if tunnel.near.name not in lab.gateway else sent.get(far.name, ())
        for prefix in prefixes if frozenset((node, far.node)) not in closed else ():
            if first.setdefault(prefix, far.name) == far.name:
                yield StaticRoute(prefix, far.address)


def _through_tunnels(lab: Lab, node: str, timers: BgpTimers = AZURE_TIMERS) -> Iterator[Neighbour]:
    """The neighbours at the far ends of a node's tunnels."""
    for tunnel in lab.tunnels_of(node):
        far = tunnel.far
        if tunnel.bgp:
            asn, identifier = router_asn(lab, far.name), router_id(lab, far.node)
            yield Neighbour(far.node, far.address, tunnel.near.address, asn, identifier, timers, peer=far.name)


def _nva_neighbours(lab: Lab, nva: Nva) -> Iterator[Neighbour]:
    """The instances of an NVA's route servers, its sites, the far ends of its overlays, the NVAs that it peers with."""
    for server, nic in nva.route_servers.items():
        for i in INSTANCES:
            address = lab.azure.route_server[server].instances[i]
            yield Neighbour(
                InstanceId(server, i).node,
                address,
                _with_server(lab, nva, server, lab.azure.nic[nic]),
                ROUTE_SERVER_ASN,
                address,
                nva.timers,
                route_server=True,
                peer=server,
            )
    for link in lab.wan_links:
        if link.router == nva.name:
            asn, own, identifier = router_asn(lab, link.site), link.router_address.ip, router_id(lab, link.site)
            address = link.site_address.ip
            yield Neighbour(link.site, address, own, asn, identifier, nva.timers, peer=link.site)
    yield from _through_tunnels(lab, nva.name, nva.timers)
    for end in overlays(lab, nva):
        far, asn, identifier = end.far.name, router_asn(lab, end.far.name), router_id(lab, end.far.name)
        yield Neighbour(far, end.far_address.ip, end.address.ip, asn, identifier, nva.timers, peer=far)
    for peer in nva.peers:
        yield Neighbour(
            peer.name,
            end_of_session(lab, peer.name, peer.far_nic),
            end_of_session(lab, nva.name, peer.nic),
            router_asn(lab, peer.name),
            router_id(lab, peer.name),
            nva.timers,
            peer=peer.name,
            nva=True,
            route_reflector_client=peer.route_reflector_client,
            next_hop_self=peer.next_hop_self,
        )


def _with_server(lab: Lab, nva: Nva, server: str, nic: Nic) -> IPv4Address:
    """The address with which an NVA peers with a route server: the peer's, which may be a secondary one of its NIC."""
    peers = (peer.address for peer in lab.azure.route_server[server].peers if peer.name == nva.name)
    return next((address for address in peers if address in nic.addresses), nic.address)


def _site_neighbours(lab: Lab, router: SiteRouter) -> Iterator[Neighbour]:
    """What a site's router is linked to (NVA, circuit, other site), instances of VPN gateways, its site's routers."""
    for link in lab.wan_links:
        ends = (link.site, link.site_address.ip), (link.router, link.router_address.ip)
        for (name, own), (far, address) in (ends, ends[::-1]):
            if name == router.name:
                circuit = lab.azure.edge_router.get(far)
                yield Neighbour(
                    far,
                    address,
                    own,
                    router_asn(lab, far),
                    router_id(lab, far),
                    circuit=circuit is not None,
                    peer=far if circuit is None else circuit.name,
                )
    yield from _through_tunnels(lab, router.name)
    for other in lab.site[router.site].routers:
        if other != router:
            address, own = other.lan[0].ip, router.lan[0].ip
            identifier = router_id(lab, other.name)
            yield Neighbour(
                other.name, address, own, other.asn, identifier, INTERNAL_TIMERS, peer=other.name, next_hop_self=True
            )


def gateway_speaker(lab: Lab, gateway: Gateway, index: int) -> GatewaySpeaker:
    """An instance of a gateway as a BGP speaker."""
    azure = lab.azure.gateway[gateway.name]
    nic = lab.azure.nic[InstanceId(gateway.name, index).node]
    server = server_in(lab.azure, azure.virtual_network)
    mine = originated_in(lab.azure, azure.virtual_network)
    lines = [line for line in gateway.lines if line.instance == index]
    own, timers = nic.address, gateway.timers
    internal = tuple(_internal(lab, InstanceId(gateway.name, index)))
    return GatewaySpeaker(
        InstanceId(gateway.name, index).node,
        azure.asn,
        own,
        vpn=azure.kind is PeerKind.VPN_GATEWAY,
        originated=(*mine.own, *mine.spokes),
        adjacent=tuple(dict.fromkeys(local_and_adjacent_ranges(lab.azure, azure.virtual_network))),
        hosts=_others_edges(lab, gateway, index),
        subnet_gateway=gateway_address(subnet_of(lab.azure, nic)),
        route_servers=tuple(
            Neighbour(
                InstanceId(server.name, i).node, address, own, ROUTE_SERVER_ASN, address, timers, route_server=True
            )
            for i, address in enumerate(server.instances)
        )
        if server is not None
        else (),
        sessions=session_server(lab.azure, azure) is not None,
        sibling=next((each for each in internal if each.peer == gateway.name), None),
        gateways=tuple(each for each in internal if each.peer != gateway.name),
        with_gateways=server is None,
        neighbours=(
            *(
                Neighbour(
                    line.router,
                    line.edge,
                    own,
                    MICROSOFT_ASN,
                    router_id(lab, line.router),
                    timers,
                    circuit=True,
                    peer=line.circuit,
                    weight=routing_weight(lab.azure, azure, line.circuit),
                    med=edge_med(lab.azure, azure, index, line.router),
                )
                for line in lines
            ),
            *_through_tunnels(lab, nic.machine, timers),
        ),
        static_routes=tuple(into_tunnels(lab, nic.machine)),
        timers=timers,
        bmp_port=BMP_PORT,
    )


def _internal(lab: Lab, instance: InstanceId) -> Iterator[Neighbour]:
    """The instances of gateways with which an instance of one may have sessions of internal BGP."""
    gateways = lab.azure.gateway
    own = gateways[instance.name].instances[instance.index]
    for other in possible_internal_peers(lab.azure, instance):
        address = gateways[other.name].instances[other.index]
        asn = gateways[other.name].asn
        yield Neighbour(other.node, address, own, asn, address, INTERNAL_TIMERS, peer=other.name)


def edge_speaker(lab: Lab, router: str) -> EdgeSpeaker:
    """An edge router of a circuit as a BGP speaker. It has no session with the circuit's other one [circuit-edges]."""
    circuit = lab.azure.edge_router[router]
    found = [(gateway, line) for gateway, line in lines(lab) if line.router == router]
    return EdgeSpeaker(
        router,
        MICROSOFT_ASN,
        router_id(lab, router),
        gateways=tuple(
            EdgeGateway(
                name,
                lab.azure.gateway[name].asn,
                tuple(_instance(lab, gateway, line) for gateway, line in found if gateway.name == name),
            )
            for name in dict.fromkeys(gateway.name for gateway, _ in found)
        ),
        customers=tuple(
            Neighbour(
                link.site,
                link.site_address.ip,
                link.router_address.ip,
                router_asn(lab, link.site),
                router_id(lab, link.site),
                _edge_timers(AZURE_TIMERS),
            )
            for link in lab.wan_links
            if link.router == router
        ),
        most_from_gateway=GATEWAY_TO_CIRCUIT_ROUTES,
        most_from_customer=PREMIUM_CUSTOMER_TO_CIRCUIT_ROUTES if circuit.premium else CUSTOMER_TO_CIRCUIT_ROUTES,
    )


def _edge_timers(timers: BgpTimers) -> BgpTimers:
    """The timers of an edge router towards a neighbour that has these."""
    return min(timers, EDGE_TIMERS, key=lambda each: each.hold) if timers.hold else timers


def _instance(lab: Lab, gateway: Gateway, line: Line) -> Neighbour:
    """An instance of a gateway at the far end of a line, as the edge router's neighbour."""
    azure, node = lab.azure.gateway[gateway.name], InstanceId(gateway.name, line.instance).node
    address = azure.instances[line.instance]
    return Neighbour(node, address, line.edge, azure.asn, address, _edge_timers(gateway.timers))


def static_prefixes(lab: Lab, node: str, azure: Azure | None = None) -> frozenset[IPv4Network]:
    """The prefixes of the static routes in the main table of a router: NVA, site, edge or instance of a gateway.

    `azure` is what Azure has become, to which a gateway keeps; by default it is as the lab was built.
    """
    if node in lab.nva:
        return frozenset(route.prefix for route in nva_routes(lab, lab.nva[node]))
    if node in lab.azure.edge_router:
        return frozenset()
    if node not in lab.site_router:
        return frozenset(route.prefix for route in into_tunnels(lab, node, azure))
    router = lab.site_router[node]
    return frozenset((*(route.prefix for route in site_routes(lab, router)), *discarded(lab, router)))


@dataclass(frozen=True, slots=True)
class OverlayEnd:
    """An NVA's end of an overlay with its NIC and its address in it, and those of the NVA at the far one.

    `sent_to` is where the tunnel's packets go: the address of the far NIC, or its public one.
    """

    interface: str
    vni: int
    nic: Nic
    address: IPv4Interface
    far: Nva
    far_nic: Nic
    far_address: IPv4Interface
    sent_to: IPv4Address


def overlays(lab: Lab, nva: Nva) -> tuple[OverlayEnd, ...]:
    """An NVA's ends of its overlays."""
    ends = []
    for overlay in lab.overlays:
        if nva.name in overlay.nvas:
            mine = overlay.nvas.index(nva.name)
            far = lab.nva[overlay.nvas[1 - mine]]
            nic, far_nic = (lab.azure.nic[overlay.nics[end]] for end in (mine, 1 - mine))
            address, far_address = overlay.addresses[mine], overlay.addresses[1 - mine]
            name, to = f"vxlan{overlay.vni}", far_nic.address
            if overlay.public and lab.internet is not None:
                to = lab.internet.translated[far_nic.name]
            ends.append(OverlayEnd(name, overlay.vni, nic, address, far, far_nic, far_address, to))
    return tuple(ends)


@dataclass(frozen=True, slots=True)
class NvaRoute:
    """What an NVA reaches without BGP: by its NIC `nic`, or without one over a link, each through `via`."""

    prefix: IPv4Network
    via: IPv4Address
    nic: Nic | None


def nva_routes(lab: Lab, nva: Nva) -> tuple[NvaRoute, ...]:
    """What an NVA knows without BGP: its static routes, and what it needs for its sessions.

    That are the default route, which Azure's DHCP hands out to the primary NIC alone, and the way to its route servers.
    And the way to the far ends of its overlays and VPN tunnels, which BGP would lead into these themselves. And to
    whatever may be the next hop of what it learns from NVAs that it peers with: their subnets, their route servers.
    Without the second the route servers' own prefix, whose next hop they are, would resolve through itself
    [static-routes-to-instances].
    """
    found = {prefix: _static(lab, nva, prefix, hop) for prefix, hop in nva.static_routes}
    ends = [(IPv4Network(end.sent_to), end.nic) for end in overlays(lab, nva)]
    primary = lab.azure.primary_nic(nva.name)
    ends += ((IPv4Network(public_address(lab, t.far.node)), primary) for t in lab.tunnels_of(nva.name))
    default = (DEFAULT_ROUTE, primary)
    for prefix, nic in (default, *_to_route_servers(lab, nva), *ends, *_to_peers(lab, nva)):
        found.setdefault(prefix, _by_gateway(lab, prefix, nic))
    for route in into_tunnels(lab, nva.name):
        found.setdefault(route.prefix, NvaRoute(route.prefix, route.via, None))
    connected = {subnet_of(lab.azure, nic) for nic in lab.azure.nics_of(nva.name)}
    return tuple(route for prefix, route in found.items() if prefix not in connected)


def _to_route_servers(lab: Lab, nva: Nva) -> Iterator[tuple[IPv4Network, Nic]]:
    for name, nic in nva.route_servers.items():
        network = lab.azure.virtual_network[lab.azure.route_server[name].virtual_network]
        subnets = (subnet.prefix for subnet in network.subnets if subnet.name == ROUTE_SERVER_SUBNET)
        yield from ((prefix, lab.azure.nic[nic]) for prefix in subnets)


def _to_peers(lab: Lab, nva: Nva) -> Iterator[tuple[IPv4Network, Nic]]:
    """The way to the NVAs whose routes an NVA may learn by `peers_with`, through others too."""
    seen = {nva.name}
    ways = [(peer, lab.azure.nic[peer.nic]) for peer in nva.peers]
    for peer, nic in ways:
        yield subnet_of(lab.azure, lab.azure.nic[peer.far_nic]), nic
        loopback = lab.nva[peer.name].loopback
        if loopback is not None and peer.name != nva.name:
            yield IPv4Network(loopback), nic
        if peer.name not in seen:
            seen.add(peer.name)
            far = lab.nva[peer.name]
            yield from ((prefix, nic) for prefix, _ in _to_route_servers(lab, far))
            ways += [(each, nic) for each in far.peers]


def _by_gateway(lab: Lab, prefix: IPv4Network, nic: Nic) -> NvaRoute:
    return NvaRoute(prefix, gateway_address(subnet_of(lab.azure, nic)), nic)


def _static(lab: Lab, nva: Nva, prefix: IPv4Network, hop: str | IPv4Address) -> NvaRoute:
    if isinstance(hop, IPv4Address):
        near = (nic for nic in lab.azure.nics_of(nva.name) if hop in subnet_of(lab.azure, nic))
        return NvaRoute(prefix, hop, next(near, None))
    own = lab.azure.nic.get(hop)
    if own is not None and own.machine == nva.name:  # the only NIC of another NVA has that one's name
        return _by_gateway(lab, prefix, own)
    sites = (link.site_address.ip for link in lab.wan_links if (link.router, link.site) == (nva.name, hop))
    ends = (end.far_address.ip for end in overlays(lab, nva) if end.far.name == hop)
    return NvaRoute(prefix, next(chain(sites, ends)), None)


def _by_policy(lab: Lab, nva: Nva) -> Iterator[StaticRoute]:
    """The default routes of the tables of an NVA's NICs (`nic_tables`)."""
    for number, nic in enumerate(lab.azure.nics_of(nva.name) if nva.name in lab.policy_routed else ()):
        yield StaticRoute(DEFAULT_ROUTE, gateway_address(subnet_of(lab.azure, nic)), nic_table(number))


def router_asn(lab: Lab, name: str) -> int:
    """The ASN of the NVA with BGP, the site's router, the gateway or the circuit of this name."""
    if name in lab.nva:
        asn = lab.nva[name].asn
        assert asn is not None
        return asn
    if name in lab.site_router:
        return lab.site_router[name].asn
    return lab.azure.gateway[name].asn if name in lab.azure.gateway else MICROSOFT_ASN


def _others_edges(lab: Lab, gateway: Gateway, index: int) -> tuple[IPv4Address, ...]:
    """The far ends of other instances' lines in its network: next hops of what the route server advertises.

    Those to which it has a line itself are none of them.
    """
    network = lab.azure.gateway[gateway.name].virtual_network
    beside = [each for each in lab.gateways if lab.azure.gateway[each.name].virtual_network == network]
    own = {line.edge for line in gateway.lines if line.instance == index}
    return tuple(dict.fromkeys(line.edge for each in beside for line in each.lines if line.edge not in own))
