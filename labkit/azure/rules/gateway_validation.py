"""What Azure refuses of gateways and their connections, and what it accepts although it does not work."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from labkit.azure.model import (
    ROUTE_SERVER_ASN,
    Azure,
    Connection,
    Gateway,
    PeerKind,
    RouteTable,
    Subnet,
)
from labkit.azure.model.problem import Code, Problem
from labkit.azure.rules.addressing import GATEWAY_SUBNET, is_usable
from labkit.azure.rules.adjacency import server_in
from labkit.azure.rules.asn import reserved_asn
from labkit.azure.rules.gateways import diverting, gateways_in, instances_cut, session_server

_MAX_INSTANCES = 2


def gateway_problems(azure: Azure) -> tuple[Problem, ...]:
    """What Azure refuses, in the order of the lab file."""
    return (
        *(p for gateway in azure.gateways for p in _gateway_problems(azure, gateway)),
        *(p for gateway in azure.gateways for p in _standby_problems(azure, gateway)),
        *_subnet_problems(azure),
        *_connection_problems(azure),
        *_remote_problems(azure),
        *_authorization_problems(azure),
    )


def gateway_warnings(azure: Azure) -> tuple[Problem, ...]:
    """What Azure accepts although it does not work, in the order of the lab file."""
    return tuple(
        problem
        for gateway in azure.gateways
        for problem in (
            *_transit_problems(azure, gateway),
            *_cut_off_problems(azure, gateway),
            *_instances_cut_problems(azure, gateway),
        )
    )


def _gateway_problems(azure: Azure, gateway: Gateway) -> Iterator[Problem]:
    """At most one gateway of each kind [gateway-subnet], in its own subnet, with sound instances and ASN."""
    network = gateway.virtual_network
    first = next(g for g in gateways_in(azure, network) if g.kind is gateway.kind)
    if first.name != gateway.name:
        text = f"virtual network {network} already has a gateway of this kind, {first.name}"
        yield Problem(Code.GATEWAY_SECOND, text, (gateway.name, first.name))
    subnet = _gateway_subnet(azure, network)
    if subnet is None:
        text = f"virtual network {network} has no {GATEWAY_SUBNET} for {gateway.name}"
        yield Problem(Code.GATEWAY_SUBNET, text, (gateway.name, network))
    for text in _instance_texts(azure, gateway, subnet):
        yield Problem(Code.GATEWAY_INSTANCES, text, (gateway.name,))
    why = _gateway_asn(gateway)
    if why is not None:
        yield Problem(Code.GATEWAY_ASN, why, (gateway.name,))


def _instance_texts(azure: Azure, gateway: Gateway, subnet: Subnet | None) -> Iterator[str]:
    count = len(gateway.instances)
    if not 1 <= count <= _MAX_INSTANCES:
        yield f"gateway {gateway.name} has {count} instances, it must have one or two"
    elif gateway.kind is PeerKind.VPN_GATEWAY and gateway.active_active != (count == _MAX_INSTANCES):
        mode = "active-active" if gateway.active_active else "not active-active"
        yield f"gateway {gateway.name} is {mode} but has {count} instance addresses"
    converge = Counter(
        address for g in azure.gateways if g.virtual_network == gateway.virtual_network for address in g.instances
    )
    for address in gateway.instances:
        if subnet is not None and not is_usable(subnet.prefix, address):
            yield f"{address} of gateway {gateway.name} is not a usable address of {GATEWAY_SUBNET} {subnet.prefix}"
        if converge[address] > 1:
            yield f"{address} of gateway {gateway.name} is another gateway instance's too"


def _gateway_asn(gateway: Gateway) -> str | None:
    """An ExpressRoute gateway is always 65515; a VPN gateway may have another ASN that nobody reserves.

    Facts: [msee-asns, vpn-own-asn].
    """
    if gateway.asn == ROUTE_SERVER_ASN:
        return None
    if gateway.kind is PeerKind.EXPRESSROUTE_GATEWAY:
        return f"ExpressRoute gateway {gateway.name} has ASN {gateway.asn}, it can only be {ROUTE_SERVER_ASN}"
    return reserved_asn(gateway.asn)


def _subnet_problems(azure: Azure) -> Iterator[Problem]:
    """Route tables that a GatewaySubnet can't have.

    The propagation flag is never off there [gateway-subnet-propagation], and a user-defined 0/0 is unsupported
    [gateway-subnet-default].
    """
    for network in azure.virtual_networks:
        subnet = _gateway_subnet(azure, network.name)
        table = _table(azure, subnet)
        if subnet is None or table is None:
            continue
        where = f"{GATEWAY_SUBNET} of {network.name}"
        if table.disable_bgp_route_propagation:
            text = f"route table {table.name} disables BGP route propagation, which {where} needs"
            yield Problem(Code.GATEWAY_PROPAGATION, text, (network.name, table.name))
        if any(route.prefix.prefixlen == 0 for route in table.routes):
            text = f"route table {table.name} has a route for 0.0.0.0/0, which {where} can't have"
            yield Problem(Code.GATEWAY_DEFAULT_ROUTE, text, (network.name, table.name))


def _connection_problems(azure: Azure) -> Iterator[Problem]:
    """A connection joins an ExpressRoute gateway with a circuit, a VPN gateway with a local network gateway or another.

    Once, and where it has BGP, the ASNs of both ends differ [connection-asns].
    """
    vpn = {gateway.name for gateway in azure.gateways if gateway.kind is PeerKind.VPN_GATEWAY}
    for connection in azure.connections:
        gateway = azure.gateway[connection.gateway]
        if gateway.kind is PeerKind.EXPRESSROUTE_GATEWAY:
            remotes, wanted = {*azure.circuit}, "an ExpressRoute circuit"
        else:
            others = vpn - {gateway.name}
            remotes, wanted = {*azure.local_network_gateway, *others}, "a local network gateway or another VPN gateway"
        if connection.remote not in remotes:
            text = f"connection {connection.name} of {gateway.name} needs {wanted}; {connection.remote} is not one"
            yield Problem(Code.CONNECTION_REMOTE, text, (connection.name, connection.remote))
            continue
        far, asn = _far_end(azure, connection)
        reserved = far not in azure.gateway and reserved_asn(gateway.asn) is not None  # that is noted below
        if asn == gateway.asn and not reserved:
            text = f"{gateway.name} and {far} both have ASN {asn}"
            yield Problem(Code.CONNECTION_ASN, text, (gateway.name, far))
    ends = Counter((c.gateway, _far_end(azure, c)[0]) for c in azure.connections)
    for (gateway_name, remote), n in ends.items():
        if n > 1:
            text = f"there are {n} connections from {gateway_name} to {remote}"
            yield Problem(Code.CONNECTION_DUPLICATE, text, (gateway_name, remote))


def _authorization_problems(azure: Azure) -> Iterator[Problem]:
    """An authorization that a connection redeems must exist, and is for one connection [circuit-authorization]."""
    redeemed = Counter((c.remote, c.authorization) for c in azure.connections if c.authorization)
    for (name, authorization), n in redeemed.items():
        if name not in azure.circuit or authorization not in azure.circuit[name].authorizations:
            text = f"{name} has no authorization {authorization}"
            yield Problem(Code.AUTHORIZATION_MISSING, text, (name, authorization))
        elif n > 1:
            text = f"{n} connections redeem authorization {authorization} of {name}, which is for one"
            yield Problem(Code.AUTHORIZATION_IN_USE, text, (name, authorization))


def _far_end(azure: Azure, connection: Connection) -> tuple[str, int | None]:
    """What a connection leads to by name, and its ASN: None where there is no BGP, or nothing."""
    remote = connection.remote
    if remote in azure.local_network_gateway:
        device = azure.local_network_gateway[remote]
        return device.device, device.asn
    return remote, azure.gateway[remote].asn if remote in azure.gateway and connection.bgp else None


def _remote_problems(azure: Azure) -> Iterator[Problem]:
    """ASNs that on-premises can't have: 65515 first of all [no-65515-on-premises].

    The other reserved ones are taken to be those of a route server's peers, for circuits too: our inference.
    """
    asns = list(dict.fromkeys((each.device, each.asn) for each in azure.local_network_gateways))
    asns += [(circuit.name, circuit.peer_asn) for circuit in azure.circuits]
    for name, asn in asns:
        why = None if asn is None else reserved_asn(asn)
        if why is not None:
            yield Problem(Code.REMOTE_ASN, why, (name,))


def _standby_problems(azure: Azure, gateway: Gateway) -> Iterator[Problem]:
    """In the network of a route server, a VPN gateway must be active-active, whichever comes first [vpn-standby]."""
    server = server_in(azure, gateway.virtual_network)
    if gateway.kind is PeerKind.VPN_GATEWAY and server is not None and not gateway.active_active:
        text = f"gateway {gateway.name} is not active-active, as it must be in the virtual network of {server.name}"
        yield Problem(Code.GATEWAY_STANDBY, text, (gateway.name, server.name))


def _transit_problems(azure: Azure, gateway: Gateway) -> Iterator[Problem]:
    """With a route server, a VPN gateway should have ASN 65515 [vpn-asn-of-transit].

    Labs with other ASNs worked in part [vpn-own-asn], so Azure does not refuse it.
    """
    server = server_in(azure, gateway.virtual_network)
    if gateway.kind is PeerKind.VPN_GATEWAY and server is not None and gateway.asn != ROUTE_SERVER_ASN:
        why = f"has ASN {gateway.asn} instead of {ROUTE_SERVER_ASN}"
        text = f"gateway {gateway.name} {why}, so transit through {server.name} is not supported"
        yield Problem(Code.GATEWAY_NO_TRANSIT, text, (gateway.name, server.name))


def _cut_off_problems(azure: Azure, gateway: Gateway) -> Iterator[Problem]:
    """A user-defined route on GatewaySubnet that takes the route server's addresses.

    Fact: [spare-route-server-subnet].
    """
    server = session_server(azure, gateway)
    table = _table(azure, _gateway_subnet(azure, gateway.virtual_network))
    if server is None or table is None:
        return
    for address in server.instances:
        if diverting(azure, gateway, address) is not None:
            text = f"route table {table.name} diverts traffic of {gateway.name} to {address} of {server.name}"
            yield Problem(Code.GATEWAY_CUT_OFF, text, (gateway.name, table.name))
            return


def _instances_cut_problems(azure: Azure, gateway: Gateway) -> Iterator[Problem]:
    """A user-defined route on GatewaySubnet that takes the addresses of gateways' instances [gateway-subnet-cut]."""
    table = _table(azure, _gateway_subnet(azure, gateway.virtual_network))
    if table is not None and instances_cut(azure, gateway):
        text = f"route table {table.name} diverts what gateway {gateway.name} sends to instances of gateways"
        yield Problem(Code.GATEWAY_INSTANCES_CUT, text, (gateway.name, table.name))


def _gateway_subnet(azure: Azure, virtual_network: str) -> Subnet | None:
    return next((s for s in azure.virtual_network[virtual_network].subnets if s.name == GATEWAY_SUBNET), None)


def _table(azure: Azure, subnet: Subnet | None) -> RouteTable | None:
    return None if subnet is None or subnet.route_table is None else azure.route_table[subnet.route_table]
