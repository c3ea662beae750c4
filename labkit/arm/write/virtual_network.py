"""Virtual networks with their subnets and peerings."""

from __future__ import annotations

from collections.abc import Iterator

from labkit.arm.resource import Json, Resource
from labkit.arm.write.scope import Scope, region_of
from labkit.azure.model import Azure, Peering, Subnet
from labkit.azure.rules.adjacency import connected_peerings


def virtual_networks(azure: Azure, scope: Scope) -> Iterator[Resource]:
    """Each virtual network, then its subnets and its side of each peering."""
    for network in azure.virtual_networks:
        id_ = scope.id("virtualNetworks", network.name)
        space: Json = [str(prefix) for prefix in network.address_space]
        location = region_of(azure, network.name)
        yield Resource(id_, location, properties={"addressSpace": {"addressPrefixes": space}})
        for subnet in network.subnets:
            yield Resource(id_.child("subnets", subnet.name), properties=_subnet(subnet, scope))
        for peering in azure.peerings:
            if peering.local == network.name:
                properties = _peering(azure, peering, scope)
                name = f"{network.name}-to-{peering.remote}"
                yield Resource(id_.child("virtualNetworkPeerings", name), properties=properties)


def _subnet(subnet: Subnet, scope: Scope) -> dict[str, Json]:
    table = subnet.route_table
    return {
        "addressPrefix": str(subnet.prefix),
        **({"routeTable": scope.reference("routeTables", table)} if table is not None else {}),
    }


def _peering(azure: Azure, peering: Peering, scope: Scope) -> dict[str, Json]:
    today = azure.virtual_network[peering.remote].address_space
    space: list[Json] = [str(prefix) for prefix in peering.remote_address_space or today]
    connected = any(p.remote == peering.remote for p in connected_peerings(azure, peering.local))
    state = "Disconnected" if peering.disconnected else "Connected" if connected else "Initiated"
    return {
        "remoteVirtualNetwork": scope.reference("virtualNetworks", peering.remote),
        "allowVirtualNetworkAccess": True,
        "allowForwardedTraffic": peering.allow_forwarded_traffic,
        "allowGatewayTransit": peering.allow_gateway_transit,
        "useRemoteGateways": peering.use_remote_gateways,
        "peeringState": state,
        "peeringSyncLevel": "FullyInSync" if peering.remote_address_space is None else "LocalNotInSync",
        "remoteAddressSpace": {"addressPrefixes": space},
        "remoteVirtualNetworkAddressSpace": {"addressPrefixes": [str(prefix) for prefix in today]},
    }
