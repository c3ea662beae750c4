"""What the instances of route servers and gateways are told of their surroundings, as messages of their feeds. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pydantic import TypeAdapter

from labkit.azure.model import BgpPeer, InstanceId, PeerKind, RouteServer
from labkit.azure.rules.acceptance import Originated, originated, originated_in
from labkit.azure.rules.addressing import GATEWAY_SUBNET, gateway_address
from labkit.azure.rules.adjacency import local_and_adjacent_ranges, server_in
from labkit.azure.rules.gateways import session_server, with_gateway_peers
from labkit.controller.platform import Platform

_SERVER: TypeAdapter[RouteServer] = TypeAdapter(RouteServer)
_PEERS: TypeAdapter[tuple[BgpPeer, ...]] = TypeAdapter(tuple[BgpPeer, ...])


def instance_config(platform: Platform, instance: InstanceId) -> dict[str, Any]:
    """What an instance of a route server is told. One of a deleted route server speaks with nobody."""
    azure = platform.azure
    server = azure.route_server.get(instance.name)
    if server is None:
        server = replace(platform.declared.azure.route_server[instance.name], peers=())
        ranges = Originated(())
        speaks_with: tuple[BgpPeer, ...] = ()
    else:
        ranges = originated(azure, server.name)
        # Gateways may always come; whether they do, branch-to-branch decides.
        speaks_with = with_gateway_peers(azure, replace(server, branch_to_branch=True)).peers
        server = with_gateway_peers(azure, server)
    return {
        "type": "config",
        "instance": instance.index,
        "server": _SERVER.dump_python(server, mode="json"),
        "speaks_with": _PEERS.dump_python(speaks_with, mode="json"),
        "originated": {"own": [str(p) for p in ranges.own], "spokes": [str(p) for p in ranges.spokes]},
    }


def gateway_config(platform: Platform, instance: InstanceId) -> dict[str, Any]:
    """What an instance of a gateway is told. `route_servers` are those that it was built beside, deleted or not."""
    azure = platform.azure
    gateway = azure.gateway[instance.name]
    network = gateway.virtual_network
    built = server_in(platform.declared.azure, network)
    mine = originated_in(azure, network)
    subnet = next(s.prefix for s in azure.virtual_network[network].subnets if s.name == GATEWAY_SUBNET)
    return {
        "type": "config",
        "asn": gateway.asn,
        "route_servers": [str(address) for address in built.instances] if built is not None else [],
        "sessions": session_server(azure, gateway) is not None,
        "no_sessions": "branch-to-branch is off" if server_in(azure, network) else "the route server is deleted",
        "vpn": gateway.kind is PeerKind.VPN_GATEWAY,
        "subnet_gateway": str(gateway_address(subnet)),
        "originated": [str(prefix) for prefix in (*mine.own, *mine.spokes)],
        "adjacent": [str(prefix) for prefix in dict.fromkeys(local_and_adjacent_ranges(azure, network))],
    }
