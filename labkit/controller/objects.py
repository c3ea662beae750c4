"""Azure's objects as the API shows them: the fields of Azure's own JSON, as far as labkit has them. Pure."""

from __future__ import annotations

from typing import TypedDict

from labkit.azure.changes.circuits import redeemed_by
from labkit.azure.changes.route_tables import subnets_with
from labkit.azure.changes.virtual_networks import peering_state, peering_sync_level
from labkit.azure.model import (
    Azure,
    BgpPeer,
    Connection,
    Gateway,
    Peering,
    PeerKind,
    RouteServer,
    RouteTable,
    VirtualNetwork,
)

PROVISIONED = "Succeeded"
"""Azure's `provisioningState` of what has been created: a lab does so at once. It is not the state of a BGP session."""


class RouteServerJson(TypedDict):
    """A route server, as `az network routeserver show` prints it."""

    name: str
    allowBranchToBranchTraffic: bool
    hubRoutingPreference: str
    virtualRouterIps: list[str]
    provisioningState: str


class PeerJson(TypedDict):
    """A peer of a route server, as `az network routeserver peering show` prints it."""

    name: str
    peerAsn: int
    peerIp: str
    provisioningState: str


class SubnetJson(TypedDict):
    """A subnet, as `az network vnet subnet show` prints it, with the name of its route table."""

    name: str
    addressPrefix: str
    routeTable: str | None


class VirtualNetworkJson(TypedDict):
    """A virtual network, as `az network vnet show` prints it."""

    name: str
    addressPrefixes: list[str]
    subnets: list[SubnetJson]


class PeeringJson(TypedDict):
    """A side of a peering, as `az network vnet peering show` prints it, with the names of its two ends."""

    virtualNetwork: str
    remoteVirtualNetwork: str
    peeringState: str
    peeringSyncLevel: str
    useRemoteGateways: bool
    allowGatewayTransit: bool
    allowForwardedTraffic: bool


class GatewayJson(TypedDict):
    """A gateway, as `az network vnet-gateway show` prints it, with the addresses of its instances."""

    name: str
    virtualNetwork: str
    gatewayType: str
    activeActive: bool
    asn: int
    ipAddresses: list[str]
    provisioningState: str


class ConnectionJson(TypedDict):
    """A gateway's connection: `remote` is a circuit, a local network gateway or another gateway."""

    name: str
    virtualNetworkGateway: str
    remote: str
    enableBgp: bool
    provisioningState: str


class AuthorizationJson(TypedDict):
    """A circuit's authorization, as `az network express-route auth show` prints it, with the names of the objects.

    `authorizationUseStatus` is Available or InUse, by `connection`.
    """

    name: str
    circuit: str
    authorizationUseStatus: str
    connection: str | None
    provisioningState: str


class RouteJson(TypedDict):
    """A route of a route table, as `az network route-table route show` prints it."""

    addressPrefix: str
    nextHopType: str
    nextHopIpAddress: str | None


class RouteTableJson(TypedDict):
    """A route table, as `az network route-table show` prints it; `subnets` are names such as `hub/workload`."""

    name: str
    disableBgpRoutePropagation: bool
    routes: list[RouteJson]
    subnets: list[str]


def route_server_json(server: RouteServer) -> RouteServerJson:
    """A route server with its settings."""
    return {
        "name": server.name,
        "allowBranchToBranchTraffic": server.branch_to_branch,
        "hubRoutingPreference": str(server.hub_routing_preference),
        "virtualRouterIps": [str(address) for address in server.instances],
        "provisioningState": PROVISIONED,
    }


def peer_json(peer: BgpPeer) -> PeerJson:
    """A peer of a route server."""
    return {
        "name": peer.name,
        "peerAsn": peer.asn,
        "peerIp": str(peer.address),
        "provisioningState": PROVISIONED,
    }


def virtual_network_json(network: VirtualNetwork) -> VirtualNetworkJson:
    """A virtual network with its subnets."""
    return {
        "name": network.name,
        "addressPrefixes": [str(prefix) for prefix in network.address_space],
        "subnets": [
            {"name": s.name, "addressPrefix": str(s.prefix), "routeTable": s.route_table} for s in network.subnets
        ],
    }


def peering_json(azure: Azure, peering: Peering) -> PeeringJson:
    """A side of a peering with its state."""
    return {
        "virtualNetwork": peering.local,
        "remoteVirtualNetwork": peering.remote,
        "peeringState": peering_state(azure, peering),
        "peeringSyncLevel": peering_sync_level(azure, peering),
        "useRemoteGateways": peering.use_remote_gateways,
        "allowGatewayTransit": peering.allow_gateway_transit,
        "allowForwardedTraffic": peering.allow_forwarded_traffic,
    }


def gateway_json(gateway: Gateway) -> GatewayJson:
    """A gateway."""
    return {
        "name": gateway.name,
        "virtualNetwork": gateway.virtual_network,
        "gatewayType": "Vpn" if gateway.kind is PeerKind.VPN_GATEWAY else "ExpressRoute",
        "activeActive": gateway.active_active,
        "asn": gateway.asn,
        "ipAddresses": [str(address) for address in gateway.instances],
        "provisioningState": PROVISIONED,
    }


def connection_json(connection: Connection) -> ConnectionJson:
    """A gateway's connection."""
    return {
        "name": connection.name,
        "virtualNetworkGateway": connection.gateway,
        "remote": connection.remote,
        "enableBgp": connection.bgp,
        "provisioningState": PROVISIONED,
    }


def authorizations_json(azure: Azure) -> list[AuthorizationJson]:
    """The authorizations of all circuits."""
    found: list[AuthorizationJson] = []
    for circuit in azure.circuits:
        for name in circuit.authorizations:
            connection = redeemed_by(azure, circuit.name, name)
            found.append(
                {
                    "name": name,
                    "circuit": circuit.name,
                    "authorizationUseStatus": "Available" if connection is None else "InUse",
                    "connection": None if connection is None else connection.name,
                    "provisioningState": PROVISIONED,
                }
            )
    return found


def route_table_json(azure: Azure, table: RouteTable) -> RouteTableJson:
    """A route table with its routes and the subnets that have it."""
    return {
        "name": table.name,
        "disableBgpRoutePropagation": table.disable_bgp_route_propagation,
        "routes": [
            {
                "addressPrefix": str(route.prefix),
                "nextHopType": str(route.next_hop_type),
                "nextHopIpAddress": None if route.next_hop is None else str(route.next_hop),
            }
            for route in table.routes
        ],
        "subnets": list(subnets_with(azure, table.name)),
    }
