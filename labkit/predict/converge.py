"""Azure's speakers, NVAs and sites as one network, run until its routing has converged. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv4Network

from labkit.azure.model import Azure, BgpPeer, InstanceId, LearnedRoute
from labkit.azure.rules.circuits import CircuitPath
from labkit.azure.rules.gateway_policy import GatewayPath, PathSource
from labkit.daemons.speaker import AdjRibIn, Advertisements, LocRib, Session, without_loops
from labkit.lab.connections import unconnected
from labkit.lab.model import Lab
from labkit.predict.azure_speakers import AdjRibsIn, AzureSpeakers, CircuitLine, GatewayTunnel, OscillationError
from labkit.predict.customer_routers import routers

ROUNDS = 30
"""Rounds of UPDATEs between all routers: more than the longest way through a valid lab."""

AdjRibsOut = Mapping[Session, Advertisements]
"""What NVAs and sites advertise on each of their sessions that are up."""


def everything_up(lab: Lab, azure: Azure) -> AdjRibsIn:
    """All speakers of a lab whose Azure has become this, before they have received anything from outside."""
    closed = unconnected(lab, azure)
    return AdjRibsIn(
        {i: {} for server in azure.route_servers for i in server.instance_ids},
        {i: {} for gateway in azure.gateways for i in gateway.instance_ids},
        {},
        {
            CircuitLine(InstanceId(gateway.name, line.instance), line.router): line.edge
            for gateway in lab.gateways
            for line in gateway.lines
            if frozenset((InstanceId(gateway.name, line.instance).node, line.router)) not in closed
        },
        {
            GatewayTunnel(instance, far): address
            for gateway in azure.gateways
            for instance in gateway.instance_ids
            for far, address in far_gateways(lab, instance)
            if frozenset((instance.node, far.node)) not in closed
        },
    )


def far_gateways(lab: Lab, instance: InstanceId) -> Iterator[tuple[InstanceId, IPv4Address]]:
    """The instances of other gateways that an instance has tunnels with BGP to, each with its address in that."""
    instances = {i.node: i for gateway in lab.azure.gateways for i in gateway.instance_ids}
    for tunnel in lab.tunnels_of(instance.node):
        if tunnel.bgp and tunnel.far.node in instances:
            yield instances[tunnel.far.node], tunnel.far.address


class CustomerRouters:
    """The NVAs and sites of a lab, and what they exchange with Azure's speakers. `azure` has what NVAs advertise.

    Attributes:
        routers: by name.
    """

    def __init__(self, lab: Lab, azure: Azure) -> None:
        self.lab = lab
        self.routers = routers(lab, azure)
        self._servers: dict[str, InstanceId] = {
            i.node: i for server in lab.azure.route_servers for i in server.instance_ids
        }
        self._gateways: dict[str, InstanceId] = {
            i.node: i for gateway in lab.azure.gateways for i in gateway.instance_ids
        }

    @property
    def sessions(self) -> tuple[Session, ...]:
        """Every session of an NVA or a site; one between two of them is there from both sides."""
        return tuple(session for router in self.routers.values() for session in router.sessions)

    def established(self, azure: Azure, base: AdjRibsIn, sessions: Iterable[Session]) -> frozenset[Session]:
        """The sessions whose far end is there: an instance that is up and has the NVA as a peer, a line."""
        closed = unconnected(self.lab, azure)
        circuits = {line.router for line in base.edges} | {node for ends in closed for node in ends}

        def is_established(session: Session) -> bool:
            far = session.neighbour.name
            if not self.routers[session.router].connects(session):
                return False
            if far in self._servers:
                return self._servers[far] in base.servers and self._peer(azure, session) is not None
            if far in self._gateways:
                return self._gateways[far] in base.gateways and frozenset((session.router, far)) not in closed
            return far in self.routers or far in circuits

        return frozenset(session for session in sessions if is_established(session))

    def adj_ribs_in(self, azure: Azure, base: AdjRibsIn, adj_ribs_out: AdjRibsOut) -> AdjRibsIn:
        """What Azure's speakers receive when NVAs and sites advertise this. `base` has those of them that are up."""
        servers: dict[InstanceId, dict[IPv4Network, tuple[LearnedRoute, ...]]] = {i: {} for i in base.servers}
        gateways: dict[InstanceId, dict[IPv4Network, tuple[GatewayPath, ...]]] = {i: {} for i in base.gateways}
        circuits: dict[str, dict[IPv4Network, tuple[CircuitPath, ...]]] = {router: {} for router in azure.edge_router}
        for session, advertised in adj_ribs_out.items():
            far, own = session.neighbour.name, session.neighbour.own
            for prefix, attributes in advertised.items():
                if far in self._servers:
                    peer = self._peer(azure, session)
                    assert peer is not None
                    table = servers[self._servers[far]]
                    table[prefix] = (*table.get(prefix, ()), LearnedRoute(prefix, attributes, peer))
                elif far in self._gateways:
                    sites = gateways[self._gateways[far]]
                    path = GatewayPath(PathSource.ON_PREMISES, session.router, own, attributes)
                    sites[prefix] = (*sites.get(prefix, ()), path)
                elif far in circuits:
                    customers = circuits[far]
                    customers[prefix] = (*customers.get(prefix, ()), CircuitPath(None, own, attributes))
        return AdjRibsIn(servers, gateways, circuits, base.edges, base.tunnels)

    def adj_rib_in(self, speakers: AzureSpeakers, adj_ribs_out: AdjRibsOut, session: Session) -> Advertisements:
        """What a router receives on a session that is up, and accepts."""
        router, far = self.routers[session.router], session.neighbour.name
        if far in self._servers:
            peer = self._peer(speakers.azure, session)
            assert peer is not None
            i = self._servers[far]
            return router.import_policy(session, speakers.advertised_by_server(i.name, i.index, peer))
        if far in self._gateways:
            i = self._gateways[far]
            # The next hop is the instance's address in the tunnel.
            advertised = speakers.advertised_by_gateway(i.name, i.index, session.router)
            return router.import_policy(session, _by(session.neighbour.address, advertised))
        if far in self.routers:
            back = self.routers[far].by_address[session.neighbour.own]
            return router.import_policy(session, adj_ribs_out.get(back, {}))
        # An edge router may have several addresses: the customer has it from the one that it is linked to.
        advertised = speakers.advertised_to_customer(far)
        return router.import_policy(session, _by(session.neighbour.address, advertised))

    def state(self, speakers: AzureSpeakers, adj_ribs_out: AdjRibsOut) -> RouterState:
        """What each router accepts and uses, when this is what all of them advertise."""
        adj_rib_in: dict[str, AdjRibIn] = {
            name: {s: self.adj_rib_in(speakers, adj_ribs_out, s) for s in router.sessions if s in adj_ribs_out}
            for name, router in self.routers.items()
        }
        loc_rib = {name: router.loc_rib(adj_rib_in[name]) for name, router in self.routers.items()}
        return RouterState(adj_rib_in, loc_rib, adj_ribs_out)

    def accepted(self, session: Session, advertised: Advertisements) -> Advertisements:
        """What the far end of a session accepts, where only that can be seen: of NVAs, sites and gateways."""
        far, own = session.neighbour.name, session.neighbour.own
        if far in self.routers:
            router = self.routers[far]
            return router.import_policy(router.by_address[own], advertised)
        if far in self._gateways:
            accepted = without_loops(session.neighbour.asn, advertised).items()
            return {prefix: attributes for prefix, attributes in accepted if attributes.next_hop == own}
        return advertised

    def adj_ribs_out(self, received: AdjRibsIn, between: AdjRibsOut, up: Iterable[Session]) -> AdjRibsOut:
        """What NVAs and sites advertise on the sessions that are `up`.

        `received` is what Azure's speakers have of them, `between` what they have of one another.
        """
        return {session: self._received(received, between, session) for session in up}

    def _received(self, received: AdjRibsIn, between: AdjRibsOut, session: Session) -> Advertisements:
        far, own = session.neighbour.name, session.neighbour.own
        if far in self._servers:
            routes = received.servers.get(self._servers[far], {})
            return {p: path.attributes for p, paths in routes.items() for path in paths if path.peer.address == own}
        if far in self._gateways:
            sites = received.gateways.get(self._gateways[far], {})
            return {p: path.attributes for p, paths in sites.items() for path in paths if path.address == own}
        if far in self.routers:
            return between.get(session, {})
        customers = received.circuits.get(far, {})
        return {p: path.attributes for p, paths in customers.items() for path in paths if path.address == own}

    def _peer(self, azure: Azure, session: Session) -> BgpPeer | None:
        """A router as the peer of the route server at the far end of its session, by its address and its ASN.

        None if the route server does not exist, or is configured without such a peer.
        """
        server = azure.route_server.get(self._servers[session.neighbour.name].name)
        peers = server.peers if server is not None else ()
        own, asn = session.neighbour.own, self.routers[session.router].asn
        return next((peer for peer in peers if (peer.address, peer.asn) == (own, asn)), None)


def _by(next_hop: IPv4Address, advertised: Advertisements) -> Advertisements:
    return {prefix: replace(attributes, next_hop=next_hop) for prefix, attributes in advertised.items()}


@dataclass(frozen=True)
class RouterState:
    """The RIBs of NVAs and sites by router, after import and export policy; `adj_rib_out` by session."""

    adj_rib_in: Mapping[str, AdjRibIn] = field(default_factory=dict)
    loc_rib: Mapping[str, LocRib] = field(default_factory=dict)
    adj_rib_out: AdjRibsOut = field(default_factory=dict)


@dataclass(frozen=True)
class ConvergedNetwork:
    """All RIBs once routing has converged: of Azure's speakers, and of NVAs and sites (`routers`)."""

    speakers: AzureSpeakers
    routers: RouterState


Adjust = Callable[[Session, Advertisements], Advertisements]
"""What a router really advertises on a session, given what its configuration makes it advertise."""


def as_configured(session: Session, advertised: Advertisements) -> Advertisements:  # noqa: ARG001 - whatever the session
    """A router advertises what its configuration makes it advertise: see `Adjust`."""
    return advertised


def converge(
    customers: CustomerRouters, azure: Azure, base: AdjRibsIn, start: AdjRibsOut, adjust: Adjust = as_configured
) -> ConvergedNetwork:
    """Exchange UPDATEs until nothing changes, from what NVAs and sites advertise at the `start` on.

    `base` has the speakers of Azure that are up; sessions that are not in `start` are down.

    Raises:
        OscillationError: the routing never converges.
    """
    established = customers.established(azure, base, start)
    adj_ribs_out = {session: start[session] for session in start if session in established}
    for _ in range(ROUNDS):
        speakers = AzureSpeakers(azure, customers.adj_ribs_in(azure, base, adj_ribs_out))
        state = customers.state(speakers, adj_ribs_out)
        before = dict(adj_ribs_out)
        for name, router in customers.routers.items():
            # One after the other: if all advertised at once, two might each yield to the other for ever.
            adj_rib_in = {s: customers.adj_rib_in(speakers, adj_ribs_out, s) for s in state.adj_rib_in[name]}
            loc_rib = router.loc_rib(adj_rib_in)
            adj_ribs_out |= {s: adjust(s, router.advertises(s, loc_rib, adj_rib_in)) for s in adj_rib_in}
        if adj_ribs_out == before:
            return ConvergedNetwork(speakers, state)
    raise OscillationError(f"no convergence after {ROUNDS} rounds")
