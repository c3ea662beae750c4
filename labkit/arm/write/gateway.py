"""Virtual network gateways, and what they connect to."""

from __future__ import annotations

from collections.abc import Iterator

from labkit.arm.resource import Json, Resource
from labkit.arm.write.scope import REGIONS, Scope, region_of
from labkit.azure.model import Azure, Circuit, Connection, Gateway, LocalNetworkGateway, PeerKind
from labkit.azure.rules.addressing import GATEWAY_SUBNET


def gateways(azure: Azure, scope: Scope) -> Iterator[Resource]:
    """Gateways, circuits, local network gateways, and the connections between them."""
    yield from (_gateway(azure, gateway, scope) for gateway in azure.gateways)
    for circuit in azure.circuits:
        yield from _circuit(circuit, scope)
    yield from (_local_network_gateway(gateway, scope) for gateway in azure.local_network_gateways)
    yield from (_connection(azure, connection, scope) for connection in azure.connections)


def _gateway(azure: Azure, gateway: Gateway, scope: Scope) -> Resource:
    vpn = gateway.kind is PeerKind.VPN_GATEWAY
    subnet = scope.reference("virtualNetworks/subnets", gateway.virtual_network, GATEWAY_SUBNET)
    names = [f"instance{index}" for index, _ in enumerate(gateway.instances)]
    ids = [scope.part("virtualNetworkGateways", gateway.name, "ipConfigurations", name) for name in names]
    configurations: list[Json] = [
        {"id": id_, "name": name, "properties": {"subnet": subnet, "privateIPAllocationMethod": "Dynamic"}}
        for id_, name in zip(ids, names, strict=True)
    ]
    peering: list[Json] = [
        {"ipconfigurationId": id_, "defaultBgpIpAddresses": [str(address)]}
        for id_, address in zip(ids, gateway.instances, strict=True)
    ]
    return Resource(
        scope.id("virtualNetworkGateways", gateway.name),
        region_of(azure, gateway.virtual_network),
        properties={
            "gatewayType": "Vpn" if vpn else "ExpressRoute",
            "vpnType": "RouteBased",
            "activeActive": gateway.active_active,
            "enableBgp": True,
            "sku": {"name": "VpnGw2AZ", "tier": "VpnGw2AZ"} if vpn else {"name": "ErGw1AZ", "tier": "ErGw1AZ"},
            "bgpSettings": {
                "asn": gateway.asn,
                "bgpPeeringAddress": ",".join(map(str, gateway.instances)),
                "bgpPeeringAddresses": peering,
            },
            "ipConfigurations": configurations,
        },
    )


def _circuit(circuit: Circuit, scope: Scope) -> Iterator[Resource]:
    id_ = scope.id("expressRouteCircuits", circuit.name)
    tier = "Premium" if circuit.premium else "Standard"
    yield Resource(
        id_,
        REGIONS[0],
        properties={"circuitProvisioningState": "Enabled", "serviceProviderProvisioningState": "Provisioned"},
        extra={"sku": {"name": f"{tier}_MeteredData", "tier": tier, "family": "MeteredData"}},
    )
    asn: dict[str, Json] = {} if circuit.peer_asn is None else {"peerASN": circuit.peer_asn}
    peering: dict[str, Json] = {"peeringType": "AzurePrivatePeering", "azureASN": 12076, "state": "Enabled", **asn}
    yield Resource(id_.child("peerings", "AzurePrivatePeering"), properties=peering)
    for name in circuit.authorizations:
        yield Resource(id_.child("authorizations", name), properties={"authorizationUseStatus": "Available"})


def _local_network_gateway(gateway: LocalNetworkGateway, scope: Scope) -> Resource:
    space: list[Json] = [str(prefix) for prefix in gateway.address_space]
    properties: dict[str, Json] = {"localNetworkAddressSpace": {"addressPrefixes": space}}
    if gateway.asn is not None:
        properties["bgpSettings"] = {"asn": gateway.asn, "bgpPeeringAddress": str(gateway.bgp_peering_address)}
    return Resource(scope.id("localNetworkGateways", gateway.name), REGIONS[0], properties=properties)


def _connection(azure: Azure, connection: Connection, scope: Scope) -> Resource:
    if connection.remote in azure.circuit:
        kind, peer = "ExpressRoute", {"peer": scope.reference("expressRouteCircuits", connection.remote)}
    elif connection.remote in azure.gateway:
        remote = scope.reference("virtualNetworkGateways", connection.remote)
        kind, peer = "Vnet2Vnet", {"virtualNetworkGateway2": remote}
    else:
        remote = scope.reference("localNetworkGateways", connection.remote)
        kind, peer = "IPsec", {"localNetworkGateway2": remote}
    return Resource(
        scope.id("connections", connection.name),
        region_of(azure, azure.gateway[connection.gateway].virtual_network),
        properties={
            "connectionType": kind,
            "virtualNetworkGateway1": scope.reference("virtualNetworkGateways", connection.gateway),
            **peer,
            "enableBgp": connection.bgp,
            "routingWeight": connection.routing_weight,
        },
    )
