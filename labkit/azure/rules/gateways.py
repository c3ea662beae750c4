"""The gateways of a virtual network, and their BGP sessions inside Azure."""

from __future__ import annotations

from dataclasses import replace

from labkit.azure.model import Azure, BgpPeer, Circuit, Gateway, LocalNetworkGateway, PeerKind, RouteServer
from labkit.azure.rules.adjacency import programming_hub, server_in


def gateways_in(azure: Azure, virtual_network: str) -> tuple[Gateway, ...]:
    """The gateways of a virtual network, in file order: at most one of each kind in a valid model."""
    return tuple(g for g in azure.gateways if g.virtual_network == virtual_network)


def connected_circuits(azure: Azure, gateway: Gateway) -> tuple[Circuit, ...]:
    """The circuits that a gateway is connected to, in the order of its connections."""
    remotes = (c.remote for c in azure.connections if c.gateway == gateway.name)
    return tuple(azure.circuit[r] for r in remotes if r in azure.circuit)


def connected_devices(azure: Azure, gateway: Gateway, instance: int) -> tuple[LocalNetworkGateway, ...]:
    """The local network gateways to which an instance of a VPN gateway has tunnels, in the order of its connections."""
    mine = (c for c in azure.connections if c.gateway == gateway.name and instance in (c.instances or {instance}))
    return tuple(azure.local_network_gateway[c.remote] for c in mine if c.remote in azure.local_network_gateway)


def gateways_on(azure: Azure, circuit: Circuit) -> tuple[Gateway, ...]:
    """The gateways connected to a circuit, in the order of the connections."""
    return tuple(azure.gateway[c.gateway] for c in azure.connections if c.remote == circuit.name)


def gateway_of_user_routes(azure: Azure, virtual_network: str) -> Gateway | None:
    """The gateway to which user-defined routes with next hop type VirtualNetworkGateway lead [route-to-gateway].

    It is the VPN gateway of the virtual network, or of the hub whose gateways it uses. None, so that the routes lead
    nowhere, where there is no gateway, an ExpressRoute gateway, or one of either kind.
    """
    hub = programming_hub(azure, virtual_network)
    found = gateways_in(azure, hub) if hub is not None else ()
    return found[0] if [gateway.kind for gateway in found] == [PeerKind.VPN_GATEWAY] else None


def instance_peer(gateway: Gateway, instance: int) -> BgpPeer:
    """An instance of a gateway as the route server's peer. Nobody configures it, so its name is made up here."""
    return BgpPeer(f"{gateway.name}-{instance}", gateway.asn, gateway.instances[instance], gateway.kind)


def gateway_peers(azure: Azure, server: RouteServer) -> tuple[BgpPeer, ...]:
    """The gateway instances that a route server has sessions with, both of its own instances with each of them.

    The sessions exist by themselves, in the same virtual network, while branch-to-branch is on [b2b-sessions].
    They are not `bgpConnections`, so the limit of eight does not count them.
    """
    if not server.branch_to_branch:
        return ()
    return tuple(
        instance_peer(gateway, i)
        for gateway in gateways_in(azure, server.virtual_network)
        for i in range(len(gateway.instances))
    )


def with_gateway_peers(azure: Azure, server: RouteServer) -> RouteServer:
    """The route server with its gateway sessions among its peers, as its instances need it."""
    return replace(server, peers=(*server.peers, *gateway_peers(azure, server)))


def session_server(azure: Azure, gateway: Gateway) -> RouteServer | None:
    """The route server that a gateway has sessions with, None if it has none [b2b-sessions, b2b-toggle]."""
    server = server_in(azure, gateway.virtual_network)
    return server if server is not None and server.branch_to_branch else None
