"""The BGP sessions that are up once a lab has converged. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
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
from labkit.lab.file.problems import FileProblem, Severity
from labkit.lab.model import Lab
from labkit.lab.plan.bgp_sessions import bgp_sessions
from labkit.lab.sessions import BgpSession, SessionEnd
from labkit.predict.azure_speakers import AzureSpeakers, OscillationError
from labkit.predict.converge import ConvergedNetwork, CustomerRouters, converge, everything_up
from labkit.predict.tables import PredictedTables
from labkit.predict.walk.steps import FabricStep, RouterStep, Step
from labkit.predict.walk.walker import Walker


def expected_sessions(lab: Lab, azure: Azure) -> tuple[BgpSession, ...]:
    """The sessions of a lab that come up, and stay, while its Azure is this and every node runs, each once.

    Those that don't: a route server has no such peer, or one with another ASN or address; branch-to-branch is off; no
    packet gets to the far end; a limit ends it; whether an end with a router of the user's own has it is not known.
    Where routing never converges, all that are configured are expected.
    """
    found = tuple(_configured(lab, azure))
    try:
        network = _converged(lab, azure)
    except OscillationError:
        return found
    packets, torn_down = _Packets(lab, network), set(_torn_down(network.speakers))

    def stays(session: BgpSession) -> bool:
        first, second = session.ends
        if {(first.node, second.address), (second.node, first.address)} & torn_down:
            return False
        return packets.reach(session)

    return tuple(session for session in found if stays(session))


@dataclass(frozen=True, slots=True)
class CutSession:
    """A session that comes up, and ends by its hold time: what BGP brings leads its packets elsewhere, `how` in words.

    It `returns` if they would arrive without it, so that it comes up and ends again and again. One of two NVAs whose
    packets do not arrive without BGP either never `comes_up`.
    """

    session: BgpSession
    how: str
    comes_up: bool
    returns: bool

    def __str__(self) -> str:
        if not self.comes_up:
            return f"BGP session {self.session} does not come up: its packets do not arrive ({self.how})."
        text = (
            f"BGP session {self.session} comes up, and ends {self.session.hold} s later: "
            f"what BGP brings leads its packets elsewhere ({self.how})"
        )
        return (
            f"{text}. Without it they arrive, so it comes up and ends again and again." if self.returns else f"{text}."
        )


def cut_sessions(lab: Lab, azure: Azure) -> tuple[CutSession, ...]:
    """The sessions of a lab that BGP itself ends, and those of two NVAs that never come up.

    None where routing never converges.
    """
    try:
        before, after = _Packets(lab, _converged(lab, azure, none=True)), _Packets(lab, _converged(lab, azure))
        down = {s: before.reach(s) for s in _configured(lab, azure) if not after.reach(s)}
        without = _Packets(lab, _converged(lab, azure, down)) if down else before
    except OscillationError:
        return ()
    return tuple(
        CutSession(session, after.how(session), came_up, without.reach(session))
        for session, came_up in down.items()
        if came_up or all(end.node in lab.nva for end in session.ends)
    )


def session_warnings(lab: Lab) -> Iterator[FileProblem]:
    """Warnings of a lab file, of its `cut_sessions`: a prediction alone shows where BGP leads their packets."""
    remedy = "Add a user-defined route for them, or keep BGP from the subnet (disable_bgp_route_propagation: true)."
    for cut in cut_sessions(lab, lab.azure):
        yield FileProblem(0, str(cut), remedy, Severity.WARNING)


def comes_to_rest(lab: Lab, azure: Azure) -> bool:
    """Whether tables stay as they are in the end: routing converges, and no limit ends sessions again and again."""
    try:
        network = _converged(lab, azure)
    except OscillationError:
        return False
    return not any(_torn_down(network.speakers))


def _configured(lab: Lab, azure: Azure) -> Iterator[BgpSession]:
    """The sessions for which both ends are configured, and neither is a router of the user's own."""
    customers, base = CustomerRouters(lab, azure), everything_up(lab, azure)
    peered = customers.established(azure, base, customers.sessions)
    neighbours = {((s.router, s.neighbour.own), (s.neighbour.name, s.neighbour.address)) for s in peered}
    instances = {i.node: i for gateway in azure.gateways for i in gateway.instance_ids}
    servers = {i.node: i for server in lab.azure.route_servers for i in server.instance_ids}
    closed = unconnected(lab, azure)
    deleted = {i.node for gateway in lab.azure.gateways for i in gateway.instance_ids} - instances.keys()

    def configured(session: BgpSession) -> bool:
        first, second = session.ends
        if frozenset((first.node, second.node)) in closed or {first.node, second.node} & deleted:
            return False
        if first.node in servers and second.node in instances:
            server = session_server(azure, azure.gateway[instances[second.node].name])
            return server is not None and server.name == servers[first.node].name
        one, other = ((end.node, end.address) for end in session.ends)
        if first.node in instances and second.node in instances:
            connected = any(tunnel.far.node == second.node for tunnel in lab.tunnels_of(first.node))
            return connected or instances[second.node] in internal_peers(azure, instances[first.node])
        customer = second.node in customers.routers
        return not customer or (other, one) in neighbours

    known = (s for s in bgp_sessions(lab) if not any(end.node in lab.own_routers for end in s.ends))
    yield from (session for session in known if configured(session))


class _Packets:
    """The packets of BGP sessions in a converged network."""

    def __init__(self, lab: Lab, network: ConvergedNetwork) -> None:
        azure = network.speakers.azure
        self._lab = lab
        self._routers = CustomerRouters(lab, azure).routers
        self._servers = {i.node for server in lab.azure.route_servers for i in server.instance_ids}
        self._firewalls = {i.node for firewall in azure.firewalls for i in firewall.instance_ids}
        self._walker = Walker(lab, PredictedTables(lab, network.speakers, network.routers))

    def reach(self, session: BgpSession) -> bool:
        """Whether those of both ends arrive as they are; an appliance that sees one direction alone may drop them."""
        first, second = session.ends
        return not self._hindered(first, second) and not self._hindered(second, first)

    def how(self, session: BgpSession) -> str:
        """Why those of an end do not arrive, in a few words."""
        first, second = session.ends
        found = self._hindered(first, second), self._hindered(second, first)
        return "; ".join(f"from {end.node}: {why}" for end, why in zip(session.ends, found, strict=True) if why)

    def _hindered(self, end: SessionEnd, far: SessionEnd) -> str:
        if end.node in self._servers:  # its subnet has no route table: answers find their way
            return ""
        # With the session's own address as source: a loopback's, or one that has a routing table of its own.
        walks = tuple(self._walker.walks(end.node, far.address, end.address))
        passed = {node: None for walk in walks for node in walk.nodes[:-1]}
        lost = next((walk for walk in walks if walk.disposition.drops), None)
        if lost is not None:
            return f"{lost.disposition} {_where(lost.steps[-1])}"
        nvas = self._lab.nva
        stateful = [node for node in passed if node in self._firewalls or (node in nvas and nvas[node].stateful)]
        if stateful:
            return f"through {stateful[0]}, which sees one direction alone"
        if end.node in self._routers:
            speaker = self._routers[end.node].speaker
            near = next((n for n in speaker.neighbours if n.address == far.address), None)
            multihop = near is not None and near.by_nic and not speaker.is_internal(near)
            if multihop and any(len(walk.hops) > EBGP_MULTIHOP for walk in walks):
                return f"through {', '.join(passed)}, more than {EBGP_MULTIHOP} hops"
        # A neighbour is known by its address.
        steps = (step for walk in walks for step in walk.steps if isinstance(step, RouterStep))
        translated = next((step.node for step in steps if step.translated), None)
        return f"with another source address by {translated}" if translated is not None else ""


def _where(step: Step) -> str:
    """Where a packet's way ends, and by which effective route, if that is known."""
    if not isinstance(step, FabricStep):
        return f"at {step.node}"
    route = f" by {step.row.prefix}" if step.row is not None else ""
    return f"at NIC {step.nic.name}{route}"


def _converged(lab: Lab, azure: Azure, without: Collection[BgpSession] = (), *, none: bool = False) -> ConvergedNetwork:
    """The converged network with every session for which both ends are configured, `without` some or with `none`.

    Raises:
        OscillationError: it never converges.
    """
    customers, base = CustomerRouters(lab, azure), everything_up(lab, azure)
    peered = customers.established(azure, base, customers.sessions)
    left_out = {(end.node, session.far(end).address) for session in without for end in session.ends}
    up = (s for s in peered if not none and (s.router, s.neighbour.address) not in left_out)
    return converge(customers, azure, base, {session: {} for session in up})


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
    for router, circuit in azure.edge_router.items():
        most = PREMIUM_CUSTOMER_TO_CIRCUIT_ROUTES if circuit.premium else CUSTOMER_TO_CIRCUIT_ROUTES
        of_customers = received.circuits.get(router, {})
        counts = Counter(path.address for paths in of_customers.values() for path in paths)
        yield from ((router, address) for address, count in counts.items() if count > most)
    for line in received.edges:
        if circuit_drops_gateway(accepted_from_gateway(speakers, line.instance, line.router)):
            yield line.router, azure.gateway[line.instance.name].instances[line.instance.index]


def accepted_from_gateway(speakers: AzureSpeakers, instance: InstanceId, router: str) -> int:
    """How many prefixes an edge router accepts from an instance of a gateway [gateway-to-circuit-limit]."""
    azure = speakers.azure
    address, circuit = azure.gateway[instance.name].instances[instance.index], azure.edge_router[router].name
    advertised = speakers.advertised_by_gateway(instance.name, instance.index, circuit).values()
    return sum(circuit_rejection(CircuitPath(instance.name, address, a)) is None for a in advertised)
