"""The BGP sessions that are up once a lab has converged. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from ipaddress import IPv4Address

from labkit.azure.model import Azure, InstanceId
from labkit.azure.rules.acceptance import originated
from labkit.azure.rules.circuits import CircuitPath, circuit_rejection
from labkit.azure.rules.gateways import instance_peer, internal_peers, session_server
from labkit.azure.rules.limits import (
    CUSTOMER_TO_CIRCUIT_ROUTES,
    PREMIUM_CUSTOMER_TO_CIRCUIT_ROUTES,
    VPN_GATEWAY_ROUTES,
    circuit_drops_gateway,
    tears_down,
    tears_down_in_total,
)
from labkit.daemons.speaker import EBGP_MULTIHOP
from labkit.lab.connections import unconnected
from labkit.lab.model import Lab
from labkit.lab.plan.bgp_sessions import bgp_sessions
from labkit.lab.sessions import BgpSession, SessionEnd
from labkit.predict.azure_speakers import AzureSpeakers, OscillationError
from labkit.predict.converge import ConvergedNetwork, CustomerRouters, converge, everything_up
from labkit.predict.tables import PredictedTables
from labkit.predict.walk import RouterStep, Walker


def expected_sessions(lab: Lab, azure: Azure) -> tuple[BgpSession, ...]:
    """The sessions of a lab that come up, and stay, while its Azure is this and every node runs, each once.

    Those that don't: a route server has no such peer, or one with another ASN or address; branch-to-branch is off; no
    packet gets to the far end; a limit ends it; whether an end with a router of the user's own has it is not known.
    Where routing never converges, all that are configured are expected.
    """
    customers, base = CustomerRouters(lab, azure), everything_up(lab, azure)
    peered = customers.established(azure, base, customers.sessions)
    neighbours = {((s.router, s.neighbour.own), (s.neighbour.name, s.neighbour.address)) for s in peered}
    instances = {i.node: i for gateway in azure.gateways for i in gateway.instance_ids}
    servers = {i.node: i for server in lab.azure.route_servers for i in server.instance_ids}

    firewalls = {i.node for firewall in azure.firewalls for i in firewall.instance_ids}

    closed = unconnected(lab, azure)

    def configured(session: BgpSession) -> bool:
        first, second = session.ends
        if frozenset((first.node, second.node)) in closed:
            return False
        if first.node in servers and second.node in instances:
            server = session_server(azure, azure.gateway[instances[second.node].name])
            return server is not None and server.name == servers[first.node].name
        one, other = ((end.node, end.address) for end in session.ends)
        if first.node in instances and second.node in instances:
            return instances[second.node] in internal_peers(azure, instances[first.node])
        customer = second.node in customers.routers
        return not customer or (other, one) in neighbours

    known = (s for s in bgp_sessions(lab) if not any(end.node in lab.own_routers for end in s.ends))
    found = tuple(session for session in known if configured(session))
    try:
        network = _converged(lab, azure)
    except OscillationError:
        return found
    walker = Walker(lab, PredictedTables(lab, network.speakers, network.routers))
    torn_down = set(_torn_down(network.speakers))

    def reached(end: SessionEnd, far: SessionEnd) -> bool:
        """Whether packets get there as they are; an appliance that sees one direction alone may drop them."""
        if end.node in servers:  # its subnet has no route table: answers find their way
            return True
        # With the session's own address as source: a loopback's, or one that has a routing table of its own.
        walks = tuple(walker.walks(end.node, far.address, end.address))
        passed = {node for walk in walks for node in walk.nodes[:-1]}
        stateful = (node in firewalls or (node in lab.nva and lab.nva[node].stateful) for node in passed)
        if end.node in customers.routers:
            speaker = customers.routers[end.node].speaker
            near = next((n for n in speaker.neighbours if n.address == far.address), None)
            multihop = near is not None and near.by_nic and not speaker.is_internal(near)
            if multihop and any(len(walk.hops) > EBGP_MULTIHOP for walk in walks):
                return False
        # A neighbour is known by its address.
        translated = (s.translated for walk in walks for s in walk.steps if isinstance(s, RouterStep))
        return not any(walk.disposition.drops for walk in walks) and not any(stateful) and not any(translated)

    def stays(session: BgpSession) -> bool:
        first, second = session.ends
        if {(first.node, second.address), (second.node, first.address)} & torn_down:
            return False
        return reached(first, second) and reached(second, first)

    return tuple(session for session in found if stays(session))


def comes_to_rest(lab: Lab, azure: Azure) -> bool:
    """Whether tables stay as they are in the end: routing converges, and no limit ends sessions again and again."""
    try:
        network = _converged(lab, azure)
    except OscillationError:
        return False
    return not any(_torn_down(network.speakers))


def _converged(lab: Lab, azure: Azure) -> ConvergedNetwork:
    """The converged network with every session for which both ends are configured; raises OscillationError."""
    customers, base = CustomerRouters(lab, azure), everything_up(lab, azure)
    peered = customers.established(azure, base, customers.sessions)
    return converge(customers, azure, base, {session: {} for session in peered})


def _torn_down(speakers: AzureSpeakers) -> Iterator[tuple[str, IPv4Address]]:
    """The sessions that a limit ends: the node that ends it, and the peer's address."""
    azure, received = speakers.azure, speakers.adj_ribs_in
    for instance, table in received.servers.items():
        server = speakers.servers[instance.name]
        counts = Counter(path.peer.address for paths in table.values() for path in paths)
        prefixes = set(table)
        for gateway in speakers.at_gateway:
            peer = instance_peer(azure.gateway[gateway.name], gateway.index)
            if peer in server.peers:
                advertised = speakers.advertised_to_server(gateway.name, gateway.index)
                counts[peer.address] = len(advertised)
                prefixes |= advertised.keys()
        mine = originated(azure, server.name)
        total = len(prefixes) + len(mine.own) + len(mine.spokes)
        in_total = tears_down_in_total(total, 0, server.total_prefixes)
        for address, count in counts.items():
            if in_total or tears_down(0, count, server.routes_per_peer):
                yield instance.node, address
    for instance, from_sites in received.gateways.items():
        counts = Counter(path.address for paths in from_sites.values() for path in paths)
        yield from ((instance.node, address) for address, count in counts.items() if count > VPN_GATEWAY_ROUTES)
    for circuit in azure.circuits:
        most = PREMIUM_CUSTOMER_TO_CIRCUIT_ROUTES if circuit.premium else CUSTOMER_TO_CIRCUIT_ROUTES
        of_customers = received.circuits.get(circuit.name, {})
        counts = Counter(path.address for paths in of_customers.values() for path in paths)
        yield from ((circuit.name, address) for address, count in counts.items() if count > most)
    for line in received.edges:
        if circuit_drops_gateway(accepted_from_gateway(speakers, line.instance, line.circuit)):
            yield line.circuit, azure.gateway[line.instance.name].instances[line.instance.index]


def accepted_from_gateway(speakers: AzureSpeakers, instance: InstanceId, circuit: str) -> int:
    """How many prefixes a circuit's edge router accepts from an instance of a gateway [gateway-to-circuit-limit]."""
    address = speakers.azure.gateway[instance.name].instances[instance.index]
    advertised = speakers.advertised_by_gateway(instance.name, instance.index, circuit).values()
    return sum(circuit_rejection(CircuitPath(instance.name, address, a)) is None for a in advertised)
