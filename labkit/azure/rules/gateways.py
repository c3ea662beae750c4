"""The gateways of a virtual network, and their BGP sessions inside Azure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

from labkit.azure.model import (
    Azure,
    BgpPeer,
    Circuit,
    Connection,
    Gateway,
    InstanceId,
    LocalNetworkGateway,
    NextHopType,
    PeerKind,
    RouteServer,
    UserRoute,
)
from labkit.azure.rules.addressing import GATEWAY_SUBNET
from labkit.azure.rules.adjacency import local_and_adjacent_ranges, programming_hub, server_in


def gateways_in(azure: Azure, virtual_network: str) -> tuple[Gateway, ...]:
    """The gateways of a virtual network, in file order: at most one of each kind in a valid model."""
    return tuple(g for g in azure.gateways if g.virtual_network == virtual_network)


def is_instance(azure: Azure, instance: InstanceId) -> bool:
    """Whether this is an instance of a gateway that there is."""
    gateway = azure.gateway.get(instance.name)
    return gateway is not None and instance in gateway.instance_ids


def connected_circuits(azure: Azure, gateway: Gateway) -> tuple[Circuit, ...]:
    """The circuits that a gateway is connected to, in the order of its connections."""
    remotes = (c.remote for c in azure.connections if c.gateway == gateway.name)
    return tuple(azure.circuit[r] for r in remotes if r in azure.circuit)


def connected_devices(azure: Azure, gateway: Gateway, instance: int) -> tuple[LocalNetworkGateway, ...]:
    """The local network gateways to which an instance of a VPN gateway has tunnels, in the order of its connections."""
    mine = (c for c in azure.connections if c.gateway == gateway.name and instance in (c.instances or {instance}))
    return tuple(azure.local_network_gateway[c.remote] for c in mine if c.remote in azure.local_network_gateway)


def static_remotes(azure: Azure, gateway: Gateway, instance: int) -> Iterator[tuple[str, tuple[IPv4Network, ...]]]:
    """What an instance of a VPN gateway sends into its tunnels without BGP: by what they lead to, in order.

    Of a local network gateway that is its address space; of another gateway without BGP that of its virtual network, as
    it is now, but for ranges that a peering leads to [static-prefixes, vnet-to-vnet-without-bgp].
    """
    adjacent = local_and_adjacent_ranges(azure, gateway.virtual_network)
    for connection in azure.connections:
        device, far = azure.local_network_gateway.get(connection.remote), azure.gateway.get(connection.remote)
        if connection.gateway != gateway.name or instance not in _with_tunnel(connection, gateway):
            continue
        if device is not None:
            yield device.device, device.address_space
        elif far is not None and not connection.bgp:
            space = azure.virtual_network[far.virtual_network].address_space
            yield far.name, tuple(prefix for prefix in space if prefix not in adjacent)


def device_of(azure: Azure, connection: Connection) -> str:
    """What is at the other end of a connection: a circuit, a customer's device, or a gateway."""
    local = azure.local_network_gateway.get(connection.remote)
    return connection.remote if local is None else local.device


def gateways_on(azure: Azure, circuit: Circuit) -> tuple[Gateway, ...]:
    """The gateways connected to a circuit, in the order of the connections."""
    return tuple(azure.gateway[c.gateway] for c in azure.connections if c.remote == circuit.name)


def routing_weight(azure: Azure, gateway: Gateway, remote: str) -> int:
    """The routing weight of a gateway's connection to a circuit; 0 for anything else [connection-weight]."""
    found = (c.routing_weight for c in azure.connections if (c.gateway, c.remote) == (gateway.name, remote))
    return next(found, 0)


def edge_med(azure: Azure, gateway: Gateway, instance: int, router: str) -> int | None:
    """The MED that an instance of a gateway sets on what it has from an edge router; None for none.

    Of two edge routers each instance sends by that of its own number while it can, and by the other one else
    [edge-by-instance].
    """
    number = azure.edge_router[router].edge_routers.index(router)
    return None if number % len(gateway.instances) == instance or azure.edge_router[router].edges == 1 else 1


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


def nic_next_hop(gateway: Gateway, instance: int) -> IPv4Address:
    """What NICs have as next hop of what lies behind an instance of a VPN gateway.

    Of the only one that is the public address [single-instance-next-hop], of two the private ones.
    """
    public = gateway.public_addresses if len(gateway.instances) == 1 else ()
    return public[0] if public else gateway.instances[instance]


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


def internal_peers(azure: Azure, instance: InstanceId) -> tuple[InstanceId, ...]:
    """The gateways' instances with which an instance has sessions of internal BGP, and can have them.

    The two instances of a VPN gateway with each other [instances-exchange]. Where there is no route server in the
    virtual network, those of its gateways of different types as well, if their ASNs are equal [gateways-exchange]. Not
    those from which a route table keeps it [gateway-subnet-cut].
    """
    apart = server_in(azure, azure.gateway[instance.name].virtual_network) is None
    return tuple(
        other
        for other in possible_internal_peers(azure, instance)
        if (apart or other.name == instance.name) and not _cut(azure, instance) and not _cut(azure, other)
    )


def possible_internal_peers(azure: Azure, instance: InstanceId) -> tuple[InstanceId, ...]:
    """The same, whether there is a route server or not, and whatever route tables say."""
    gateway, other_one = azure.gateway[instance.name], sibling(azure, instance)
    beside = (g for g in gateways_in(azure, gateway.virtual_network) if g.kind is not gateway.kind)
    others = (i for other in beside if other.asn == gateway.asn for i in other.instance_ids)
    return (*others, *((other_one,) if other_one is not None else ()))


def sibling(azure: Azure, instance: InstanceId) -> InstanceId | None:
    """The other one of a VPN gateway's two instances; None if there is none.

    Those of an ExpressRoute gateway have nothing to do with each other [instances-exchange].
    """
    gateway = azure.gateway[instance.name]
    two = gateway.kind is PeerKind.VPN_GATEWAY and len(gateway.instances) > 1
    return instance.other if two else None


def instances_cut(azure: Azure, gateway: Gateway) -> bool:
    """Whether a route table keeps an instance of a gateway from another one [gateway-subnet-cut]."""
    return any(_cut(azure, other) for i in gateway.instance_ids for other in possible_internal_peers(azure, i))


def diverting(azure: Azure, gateway: Gateway, address: IPv4Address) -> UserRoute | None:
    """The user-defined route of GatewaySubnet that a gateway's packets to an address of its virtual network follow.

    None if the system's own route wins, or one to VnetLocal.
    """
    network = azure.virtual_network[gateway.virtual_network]
    table = next((s.route_table for s in network.subnets if s.name == GATEWAY_SUBNET), None)
    shortest = max((prefix.prefixlen for prefix in network.address_space if address in prefix), default=0)
    routes = azure.route_table[table].routes if table is not None else ()
    matching = (route for route in routes if address in route.prefix and route.prefix.prefixlen >= shortest)
    found = max(matching, key=lambda route: route.prefix.prefixlen, default=None)
    return None if found is None or found.next_hop_type is NextHopType.VNET_LOCAL else found


def _cut(azure: Azure, instance: InstanceId) -> bool:
    """Whether a user-defined route of GatewaySubnet leads away from an instance in it, to where nobody forwards.

    Through an appliance that forwards, sessions come up.
    """
    gateway = azure.gateway[instance.name]
    route = diverting(azure, gateway, gateway.instances[instance.index])
    if route is None:
        return False
    return not any(nic.ip_forwarding and route.next_hop in nic.addresses for nic in azure.nics)


def neighbour_addresses(azure: Azure, instance: InstanceId) -> dict[IPv4Network, str]:
    """The addresses of a VPN gateway's BGP neighbours in the tunnels of an instance, with what they are, as prefixes.

    Those are customers' devices, and the instances of other gateways. Circuits have none [bgp-neighbour-routes].
    """
    gateway = azure.gateway[instance.name]
    found: dict[IPv4Network, str] = {}
    for device in connected_devices(azure, gateway, instance.index):
        if device.bgp_peering_address is not None:
            found.setdefault(IPv4Network(device.bgp_peering_address), device.device)
    for connection in azure.connections:
        far = azure.gateway.get(connection.remote)
        if far is None or not connection.bgp or connection.gateway != gateway.name:
            continue
        if instance.index not in _with_tunnel(connection, gateway):
            continue
        back = (c for c in azure.connections if (c.gateway, c.remote) == (far.name, gateway.name))
        found |= {IPv4Network(far.instances[i]): far.name for c in back for i in _with_tunnel(c, far)}
    return found


def stands_alone(azure: Azure, gateway: Gateway) -> bool:
    """Whether there is neither a route server nor another gateway in a gateway's virtual network."""
    network = gateway.virtual_network
    return server_in(azure, network) is None and len(gateways_in(azure, network)) == 1


def _with_tunnel(connection: Connection, gateway: Gateway) -> Iterable[int]:
    return connection.instances or range(len(gateway.instances))
