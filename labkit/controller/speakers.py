"""The configurations that instances of route servers and gateways receive. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address

from labkit.azure.model import Azure, BgpPeer, InstanceId, PeerKind
from labkit.azure.rules.acceptance import Originated, originated, originated_in
from labkit.azure.rules.addressing import GATEWAY_SUBNET, gateway_address
from labkit.azure.rules.adjacency import local_and_adjacent_ranges, server_in
from labkit.azure.rules.gateways import is_instance, possible_internal_peers, session_server, with_gateway_peers
from labkit.controller.platform import Platform
from labkit.feed.bgp import GatewayConfig, GatewayLink, RouteServerConfig
from labkit.lab.connections import unconnected
from labkit.lab.plan.speakers import into_tunnels
from labkit.lab.plan.tunnels import tunnel_interface


def instance_config(platform: Platform, instance: InstanceId) -> RouteServerConfig:
    """The configuration of an instance of a route server. One of a deleted route server has no sessions."""
    azure = platform.azure
    server = azure.route_server.get(instance.name)
    if server is None:
        server = replace(platform.declared.azure.route_server[instance.name], peers=())
        ranges = Originated(())
        neighbours: tuple[BgpPeer, ...] = ()
    else:
        ranges = originated(azure, server.name)
        # Gateways may always come; whether they do, branch-to-branch decides.
        neighbours = with_gateway_peers(azure, replace(server, branch_to_branch=True)).peers
        server = with_gateway_peers(azure, server)
    return RouteServerConfig(instance.index, server, neighbours, ranges)


def gateway_config(platform: Platform, instance: InstanceId) -> GatewayConfig:
    """The configuration of an instance of a gateway. One of a deleted gateway has no sessions outside."""
    azure = platform.azure
    there = is_instance(azure, instance)
    gateway = (azure if there else platform.declared.azure).gateway[instance.name]
    network = gateway.virtual_network
    built = server_in(platform.declared.azure, network)
    mine = originated_in(azure, network)
    subnet = next(s.prefix for s in azure.virtual_network[network].subnets if s.name == GATEWAY_SUBNET)
    return GatewayConfig(
        asn=gateway.asn,
        route_servers=built.instances if built is not None else (),
        sessions=there and session_server(azure, gateway) is not None,
        gateways=_of_other_gateways(platform.declared.azure, instance),
        with_gateways=there and server_in(azure, network) is None,
        no_sessions=_no_sessions(azure, network) if there else "the gateway is deleted",
        vpn=gateway.kind is PeerKind.VPN_GATEWAY,
        subnet_gateway=gateway_address(subnet),
        originated=(*mine.own, *mine.spokes),
        adjacent=tuple(dict.fromkeys(local_and_adjacent_ranges(azure, network))),
        links=tuple(_links(platform, instance)),
        built_routes=tuple(
            (prefix, tunnel.far.address)
            for tunnel in platform.declared.tunnels_of(instance.node)
            for prefix in tunnel.near.static_prefixes
        ),
        static_routes=tuple(
            (route.prefix, route.via) for route in into_tunnels(platform.declared, instance.node, azure)
        ),
    )


def _no_sessions(azure: Azure, network: str) -> str:
    return "branch-to-branch is off" if server_in(azure, network) else "the route server is deleted"


def _of_other_gateways(azure: Azure, instance: InstanceId) -> tuple[IPv4Address, ...]:
    """The addresses of an instance's internal neighbours that are instances of other gateways."""
    others = (i for i in possible_internal_peers(azure, instance) if i.name != instance.name)
    return tuple(azure.gateway[i.name].instances[i.index] for i in others)


def _links(platform: Platform, instance: InstanceId) -> Iterator[GatewayLink]:
    """The lines and tunnels of a gateway's instance."""
    lab, closed = platform.declared, unconnected(platform.declared, platform.azure)
    for wire in platform.built_links:
        for near, far in ((wire.a, wire.b), (wire.b, wire.a)):
            for line in lab.gateway[instance.name].lines if near.node == instance.node else ():
                if (line.instance, line.router) == (instance.index, far.node):
                    connected = frozenset((near.node, far.node)) not in closed
                    yield GatewayLink(near.interface, line.edge, True, connected)
    for tunnel in lab.tunnels_of(instance.node):
        connected = frozenset((tunnel.near.node, tunnel.far.node)) not in closed
        yield GatewayLink(tunnel_interface(tunnel), tunnel.far.address, tunnel.bgp, connected)
