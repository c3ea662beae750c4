"""Azure's refusals that depend on several objects. Each finding is a value; callers decide how to show it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from ipaddress import IPv4Network
from itertools import combinations

from labkit.azure.model import Azure, BgpPeer, Peering, PeerKind, RouteServer, RouteTable
from labkit.azure.model.problem import Code, Problem
from labkit.azure.model.ranges import Ranges
from labkit.azure.rules.addressing import ROUTE_SERVER_SUBNET
from labkit.azure.rules.adjacency import connected_peerings, gateway_hub, remote_ranges, server_in
from labkit.azure.rules.asn import reserved_asn
from labkit.azure.rules.firewalls import firewall_problems
from labkit.azure.rules.gateway_validation import gateway_problems, gateway_warnings
from labkit.azure.rules.gateways import gateways_in
from labkit.azure.rules.limits import MAX_PEERS, too_many_peers
from labkit.azure.rules.load_balancers import load_balancer_problems, load_balancer_warnings
from labkit.azure.rules.next_hops import azures_own, next_hop_warnings

__all__ = ["Code", "Problem", "problems", "warnings"]


def problems(azure: Azure) -> tuple[Problem, ...]:
    """Everything that Azure refuses, in the order of the lab file."""
    return (
        *address_space_problems(azure),
        *peering_problems(azure),
        *(p for server in azure.route_servers for p in server_problems(azure, server)),
        *(p for table in azure.route_tables for p in route_conflicts(table)),
        *gateway_problems(azure),
        *load_balancer_problems(azure),
        *firewall_problems(azure),
    )


def warnings(azure: Azure) -> tuple[Problem, ...]:
    """What Azure accepts although it does not work, in the order of the lab file."""
    return (
        *sync_warnings(azure),
        *gateway_warnings(azure),
        *load_balancer_warnings(azure),
        *next_hop_warnings(azure),
    )


def sync_warnings(azure: Azure) -> tuple[Problem, ...]:
    """Sides of peerings that still have the former ranges of their remote virtual network [peering-sync]."""
    return tuple(
        Problem(
            Code.PEERING_NOT_IN_SYNC,
            f"{side.local} still has {' '.join(map(str, side.remote_address_space))} of {side.remote}",
            (side.local, side.remote),
        )
        for side in azure.peerings
        if side.remote_address_space is not None
    )


def address_space_problems(azure: Azure) -> tuple[Problem, ...]:
    """Overlaps inside one virtual network, and between those that one virtual network sees at once.

    Peered virtual networks, and two peers of the same one, may not overlap; unrelated ones may [no-overlap]. A side of
    a peering counts without the other: a spoke that is deleted and created again is refused while the hub still has its
    side of the old one (github.com/microsoft/AzureTRE/issues/4641).
    """
    found = [
        Problem(Code.OVERLAP_WITHIN, f"{a} and {b} of virtual network {network.name} overlap", (network.name,))
        for network in azure.virtual_networks
        for a, b in combinations(network.address_space, 2)
        if a.overlaps(b)
    ]
    seen: set[frozenset[str]] = set()
    for network in azure.virtual_networks:
        near = (network.name, *_peered_by_half(azure, network.name))
        for one, other in combinations(near, 2):
            pair = frozenset((one, other))
            overlap = _overlap(azure, one, other)
            if overlap is not None and pair not in seen:
                seen.add(pair)
                a, b = overlap
                text = f"{a} of {one} and {b} of {other} overlap, but {network.name} must reach both"
                if network.name == one:
                    text = f"{a} of {one} and {b} of {other} overlap, so they can't be peered"
                found.append(Problem(Code.OVERLAP_PEERED, text, (other, one)))
    return tuple(found)


def peering_problems(azure: Azure) -> tuple[Problem, ...]:
    """Peerings that Azure would refuse or leave disconnected, and misuses of "use remote gateways".

    Facts: [one-remote-gateway, half-peering, peering-disconnected]. A side can't be made while the other one is
    Disconnected (`RemotePeeringIsDisconnected`; github.com/hashicorp/terraform-provider-azurerm/issues/14051).
    """
    found: list[Problem] = []
    count = Counter((p.local, p.remote) for p in azure.peerings)
    for peering in dict.fromkeys(azure.peerings):
        ends = (peering.local, peering.remote)
        name = f"peering {peering.local} to {peering.remote}"
        if peering.local == peering.remote:
            found.append(Problem(Code.PEERING_SELF, f"{peering.local} can't be peered with itself", ends))
        elif (peering.remote, peering.local) not in count:
            found.append(Problem(Code.PEERING_ONE_SIDED, f"{name} has no other direction", ends))
        elif peering.disconnected:
            text = f"{name} is Disconnected, since its other side was deleted, so that side can't be created"
            found.append(Problem(Code.PEERING_DISCONNECTED, text, ends))
        if peering.use_remote_gateways:
            found += _urg_problems(azure, peering, name)
    found += [
        Problem(Code.PEERING_DUPLICATE, f"there are {n} peerings from {local} to {remote}", (local, remote))
        for (local, remote), n in count.items()
        if n > 1
    ]
    users = Counter(p.local for p in azure.peerings if p.use_remote_gateways)
    found += [
        Problem(Code.URG_TWICE, f"only one peering of {name} can use remote gateways, {n} do", (name,))
        for name, n in users.items()
        if n > 1
    ]
    return tuple(found)


def server_problems(azure: Azure, server: RouteServer) -> tuple[Problem, ...]:
    """What Azure refuses of a route server and its peers.

    Facts: [route-server-subnet-name, one-route-server, no-route-table, max-peers, external-bgp, reserved-addresses].
    """
    found: list[Problem] = []
    first = next(s for s in azure.route_servers if s.virtual_network == server.virtual_network)
    if first.name != server.name:
        text = f"virtual network {server.virtual_network} already has route server {first.name}"
        found.append(Problem(Code.SERVER_SECOND, text, (server.name, first.name)))
    found += _subnet_problems(azure, server)
    if too_many_peers(len(server.peers)):
        text = f"route server {server.name} has {len(server.peers)} peers; at most {MAX_PEERS} are allowed"
        found.append(Problem(Code.PEERS_TOO_MANY, text, (server.name,)))
    for one, other in combinations(server.peers, 2):
        if one.name == other.name or one.address == other.address:
            text = f"peers {one.name} and {other.name} of {server.name} have the same name or address"
            found.append(Problem(Code.PEER_DUPLICATE, text, (server.name, other.name)))
    for peer in server.peers:
        why = reserved_asn(peer.asn) if peer.kind is PeerKind.NVA else None
        if why is not None:
            found.append(Problem(Code.PEER_ASN, why, (server.name, peer.name)))
        taken = azures_own(azure, peer.address) if peer.kind is PeerKind.NVA else None
        if taken is not None:
            text = f"peer {peer.name} of {server.name} can't have {peer.address}: {taken}"
            found.append(Problem(Code.PEER_AZURES_OWN, text, (server.name, peer.name)))
        unreachable = peer_reachable(azure, server, peer)
        if unreachable is not None:
            found.append(unreachable)
    return tuple(found)


def peer_reachable(azure: Azure, server: RouteServer, peer: BgpPeer) -> Problem | None:
    """A problem if a peer is neither in the server's virtual network nor in a directly peered one, else None.

    Directly peered ones are reached [peer-adjacent]; they work with all gateway flags off [peered-peer-flags-off],
    unless they are assumed to need "use remote gateways" of that peering [peered-peer-remote-gateways].
    """
    hub = server.virtual_network
    if Ranges(azure.virtual_network[hub].address_space).contains(peer.address):
        return None
    for peering in connected_peerings(azure, hub):
        if Ranges(remote_ranges(azure, peering)).contains(peer.address):
            if gateway_hub(azure, peering.remote) == hub or not server.assumptions.peers_need_remote_gateways:
                return None
            text = f"peer {peer.name} ({peer.address}) is in {peering.remote}, which doesn't use the gateways of {hub}"
            return Problem(Code.PEER_NO_REMOTE_GATEWAYS, text, (server.name, peer.name))
    text = (
        f"peer {peer.name} ({peer.address}) is neither in {server.virtual_network}, the virtual network of "
        f"{server.name}, nor in one directly peered with it"
    )
    return Problem(Code.PEER_UNREACHABLE, text, (server.name, peer.name))


def route_conflicts(table: RouteTable) -> tuple[Problem, ...]:
    """Prefixes that a route table has more than once: Azure answers `RouteConflict` [route-conflict]."""
    return tuple(
        Problem(Code.ROUTE_CONFLICT, f"route table {table.name} has {n} routes for {prefix}", (table.name,))
        for prefix, n in Counter(r.prefix for r in table.routes).items()
        if n > 1
    )


def _urg_problems(azure: Azure, peering: Peering, name: str) -> Iterator[Problem]:
    """Not with a gateway or route server of its own, and the hub must have one [one-remote-gateway]."""
    ends = (peering.local, peering.remote)
    if server_in(azure, peering.local) is not None:
        text = f"{name} can't use remote gateways: {peering.local} has a route server of its own"
        yield Problem(Code.URG_OWN_SERVER, text, ends)
    if gateways_in(azure, peering.local):
        text = f"{name} can't use remote gateways: {peering.local} has a gateway of its own"
        yield Problem(Code.URG_OWN_GATEWAY, text, ends)
    if server_in(azure, peering.remote) is None and not gateways_in(azure, peering.remote):
        text = f"{name} can't use remote gateways: {peering.remote} has no route server and no gateway"
        yield Problem(Code.URG_NO_SERVER, text, ends)
    back = [p for p in azure.peerings if (p.local, p.remote) == (peering.remote, peering.local)]
    if back and not any(p.allow_gateway_transit for p in back):
        text = f"{name} can't use remote gateways: {peering.remote} doesn't allow gateway transit"
        yield Problem(Code.URG_NO_TRANSIT, text, ends)


def _subnet_problems(azure: Azure, server: RouteServer) -> Iterator[Problem]:
    subnets = azure.virtual_network[server.virtual_network].subnets
    subnet = next((s for s in subnets if s.name == ROUTE_SERVER_SUBNET), None)
    if subnet is None:
        text = f"virtual network {server.virtual_network} has no {ROUTE_SERVER_SUBNET} for {server.name}"
        yield Problem(Code.SERVER_SUBNET, text, (server.name, server.virtual_network))
    elif subnet.route_table is not None:
        text = f"{ROUTE_SERVER_SUBNET} of {server.virtual_network} can't have a route table ({subnet.route_table})"
        yield Problem(Code.SERVER_SUBNET, text, (server.name, server.virtual_network))


def _peered_by_half(azure: Azure, network: str) -> tuple[str, ...]:
    """The virtual networks to which at least one side of a peering exists, in file order."""
    sides = ({p.local, p.remote} for p in azure.peerings)
    return tuple(dict.fromkeys(other for side in sides if network in side for other in side - {network}))


def _overlap(azure: Azure, one: str, other: str) -> tuple[IPv4Network, IPv4Network] | None:
    spaces = azure.virtual_network[one].address_space, azure.virtual_network[other].address_space
    return next(((a, b) for a in spaces[0] for b in spaces[1] if a.overlaps(b)), None)
