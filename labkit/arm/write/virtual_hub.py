"""Route servers: `virtualHubs` with their ipConfigurations and bgpConnections."""

from __future__ import annotations

from collections.abc import Iterator

from labkit.arm.resource import Json, Resource
from labkit.arm.write.scope import Scope, region_of
from labkit.azure.model import ROUTE_SERVER_ASN, Azure
from labkit.azure.rules.addressing import ROUTE_SERVER_SUBNET


def virtual_hubs(azure: Azure, scope: Scope) -> Iterator[Resource]:
    """Each route server, then its place and its peers."""
    for server in azure.route_servers:
        id_ = scope.id("virtualHubs", server.name)
        location = region_of(azure, server.virtual_network)
        addresses: list[Json] = [str(address) for address in server.instances]
        properties: dict[str, Json] = {
            "sku": "Standard",
            "virtualRouterAsn": ROUTE_SERVER_ASN,
            "virtualRouterIps": addresses,
            "allowBranchToBranchTraffic": server.branch_to_branch,
            "hubRoutingPreference": str(server.hub_routing_preference),
            "routingState": "Provisioned",
        }
        yield Resource(id_, location, properties=properties)
        subnet = scope.reference("virtualNetworks/subnets", server.virtual_network, ROUTE_SERVER_SUBNET)
        yield Resource(id_.child("ipConfigurations", "Default"), properties={"subnet": subnet})
        for peer in server.peers:
            session: dict[str, Json] = {"peerIp": str(peer.address), "peerAsn": peer.asn}
            yield Resource(id_.child("bgpConnections", peer.name), properties=session)
