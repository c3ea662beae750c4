"""What Azure takes without a question although packets are lost by it: next hops and peers that don't forward."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address

from labkit.azure.model import Azure, NextHopType, PeerKind
from labkit.azure.model.problem import Code, Problem
from labkit.azure.rules.addressing import reserved_addresses
from labkit.azure.rules.adjacency import programming_hub
from labkit.azure.rules.gateways import gateway_of_user_routes, gateways_in


def next_hop_warnings(azure: Azure) -> Iterator[Problem]:
    """Next hops of user-defined routes, and peers, that are no NIC's address [none-next-hop], or don't forward.

    A NIC without IP forwarding drops what is not to or from its own address [ip-forwarding].
    """
    owners = {address: nic for nic in azure.nics for address in nic.addresses}
    known = owners.keys() | {balancer.address for balancer in azure.load_balancers}
    for table in azure.route_tables:
        for route in table.routes:
            if route.next_hop is not None and route.next_hop not in known:
                whose = azures_own(azure, route.next_hop) or "no NIC has it"
                text = f"the next hop {route.next_hop} of route {route.prefix} of route table {table.name} forwards "
                text += f"nothing: {whose}"
                yield Problem(Code.NEXT_HOP_NOBODYS, text, (table.name, str(route.prefix)))
    yield from _routes_to_no_gateway(azure)
    for server in azure.route_servers:
        for peer in server.peers:
            if peer.kind is PeerKind.NVA and peer.address not in known and azures_own(azure, peer.address) is None:
                text = f"no NIC has the address of peer {peer.name} of {server.name}, {peer.address}"
                yield Problem(Code.PEER_NOBODYS, text, (server.name, peer.name))
    for address, what in _leading(azure):
        nic = owners.get(address)
        if nic is not None and not nic.ip_forwarding:
            which = f"{nic.name}'s NIC" if nic.name == nic.machine else f"NIC {nic.name}"
            text = f"IP forwarding is off on {which}, and {what} leads packets there that it drops"
            yield Problem(Code.NIC_NOT_FORWARDING, text, (nic.name,))


def _routes_to_no_gateway(azure: Azure) -> Iterator[Problem]:
    """User-defined routes to a gateway that a subnet with their table does not have, each once [route-to-gateway]."""
    found: dict[tuple[str, str], Problem] = {}
    for network in azure.virtual_networks:
        for subnet in network.subnets:
            if subnet.route_table is None or gateway_of_user_routes(azure, network.name) is not None:
                continue
            hub = programming_hub(azure, network.name)
            kinds = {gateway.kind for gateway in gateways_in(azure, hub)} if hub is not None else set()
            why = "there is no VPN gateway" if not kinds else "Azure has no such routes with an ExpressRoute gateway"
            for route in azure.route_table[subnet.route_table].routes:
                if route.next_hop_type is NextHopType.VIRTUAL_NETWORK_GATEWAY:
                    text = f"route {route.prefix} of route table {subnet.route_table} is None in subnet {subnet.name} "
                    subjects = (subnet.route_table, str(route.prefix))
                    text += f"of {network.name}: {why}"
                    found.setdefault(subjects, Problem(Code.ROUTE_TO_NO_GATEWAY, text, subjects))
    yield from found.values()


def azures_own(azure: Azure, address: IPv4Address) -> str | None:
    """Why no appliance can have an address: whose it is, in a clause; None if one can [reserved-addresses]."""
    for server in azure.route_servers:
        if address in server.instances:
            return f"it is an instance of route server {server.name}"
    for gateway in azure.gateways:
        if address in gateway.instances:
            return f"it is an instance of gateway {gateway.name}"
    for network in azure.virtual_networks:
        for subnet in network.subnets:
            if address in reserved_addresses(subnet.prefix):
                return f"Azure keeps it for itself in subnet {subnet.name} of {network.name}"
    return None


def _leading(azure: Azure) -> Iterator[tuple[IPv4Address, str]]:
    """Where routes, route servers and load balancers lead packets, each address once, with the first that does."""
    found: dict[IPv4Address, str] = {}
    for table in azure.route_tables:
        for route in table.routes:
            if route.next_hop is not None:
                found.setdefault(route.next_hop, f"route {route.prefix} of route table {table.name}")
    for server in azure.route_servers:
        for peer in server.peers:
            found.setdefault(peer.address, f"route server {server.name}, whose peer it is,")
    for balancer in azure.load_balancers:
        # What is for the frontend itself has the backend's address when it gets there.
        for backend in balancer.backends if balancer.address in found else ():
            found.setdefault(azure.nic[backend].address, f"load balancer {balancer.name}")
    yield from found.items()
