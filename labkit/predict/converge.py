"""Azure's speakers, NVAs and sites joined into one network, and run until nothing changes. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Network

from labkit.azure.model import Azure, BgpPeer, LearnedRoute
from labkit.azure.rules.circuits import CircuitPath
from labkit.azure.rules.gateway_policy import GatewayPath, PathSource
from labkit.lab.model import Lab
from labkit.lab.plan.nodes import INSTANCES, instance_node
from labkit.predict.azure_speakers import AdjRibsIn, Advertisements, AzureSpeakers, Instance, OscillationError
from labkit.predict.customer_routers import Best, Held, Session, routers, without

ROUNDS = 30
"""Rounds in which everybody outside hears everybody: more than any way through a valid lab is long."""

AdjRibsOut = Mapping[Session, Advertisements]
"""What NVAs and sites tell on each of their sessions that stands."""


class CustomerRouters:
    """The NVAs and sites of a lab, and how what they say gets to Azure's speakers and back.

    Attributes:
        routers: by name.
    """

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.routers = routers(lab)
        self._servers: dict[str, Instance] = {
            instance_node(server.name, i): (server.name, i) for server in lab.azure.route_servers for i in INSTANCES
        }
        self._gateways: dict[str, Instance] = {
            instance_node(gateway.name, i): (gateway.name, i)
            for gateway in lab.azure.gateways
            for i in range(len(gateway.instances))
        }

    @property
    def sessions(self) -> tuple[Session, ...]:
        """Every session of an NVA or a site; one between two of them is there from both sides."""
        return tuple(session for router in self.routers.values() for session in router.sessions)

    def standing(self, azure: Azure, heard: AdjRibsIn, sessions: Iterable[Session]) -> frozenset[Session]:
        """Those of the sessions whose far end is there: an instance that is up and has the NVA as a peer, a line."""
        circuits = {circuit for _, _, circuit in heard.edges}

        def stands(session: Session) -> bool:
            far = session.neighbour.name
            if far in self._servers:
                return self._servers[far] in heard.servers and self._peer(azure, session) is not None
            if far in self._gateways:
                return self._gateways[far] in heard.gateways
            return far in self.routers or far in circuits

        return frozenset(session for session in sessions if stands(session))

    def heard(self, azure: Azure, base: AdjRibsIn, said: AdjRibsOut) -> AdjRibsIn:
        """What Azure's speakers have received when NVAs and sites say this. `base` tells who of them is up."""
        servers: dict[Instance, dict[IPv4Network, tuple[LearnedRoute, ...]]] = {i: {} for i in base.servers}
        gateways: dict[Instance, dict[IPv4Network, tuple[GatewayPath, ...]]] = {i: {} for i in base.gateways}
        circuits: dict[str, dict[IPv4Network, tuple[CircuitPath, ...]]] = {c.name: {} for c in azure.circuits}
        for session, announced in said.items():
            far, own = session.neighbour.name, session.neighbour.own
            for prefix, attributes in announced.items():
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
        return AdjRibsIn(servers, gateways, circuits, base.edges)

    def told(self, world: AzureSpeakers, said: AdjRibsOut, session: Session) -> Advertisements:
        """What a router is told on a session that stands, and keeps."""
        router, far = self.routers[session.router], session.neighbour.name
        if far in self._servers:
            peer = self._peer(world.azure, session)
            assert peer is not None
            return router.kept(world.advertised_by_server(*self._servers[far], peer))
        if far in self._gateways:
            return router.kept(world.advertised_by_gateway(*self._gateways[far], session.router))
        if far in self.routers:
            back = self.routers[far].by_address[session.neighbour.own]
            return router.kept(said.get(back, {}))
        # A circuit may have several addresses: the customer has it from the one that it is linked to.
        told = world.advertised_to_customer(far)
        return router.kept({p: replace(a, next_hop=session.neighbour.address) for p, a in told.items()})

    def spoken(self, world: AzureSpeakers, said: AdjRibsOut) -> RouterState:
        """What each router keeps and uses, when this is what all of them tell."""
        held: dict[str, Held] = {
            name: {session: self.told(world, said, session) for session in router.sessions if session in said}
            for name, router in self.routers.items()
        }
        return RouterState(said, held, {name: router.best(held[name]) for name, router in self.routers.items()})

    def kept(self, session: Session, announced: Advertisements) -> Advertisements:
        """What the far end of a session keeps, where one sees only that: NVAs, sites and gateways drop loops."""
        far = session.neighbour.name
        if far in self.routers:
            return self.routers[far].kept(announced)
        return without(session.neighbour.asn, announced) if far in self._gateways else announced

    def said(self, heard: AdjRibsIn, between: AdjRibsOut, up: Iterable[Session]) -> AdjRibsOut:
        """What NVAs and sites tell on the sessions that are `up`, by what Azure's speakers and they have received."""
        return {session: self._received(heard, between, session) for session in up}

    def _received(self, heard: AdjRibsIn, between: AdjRibsOut, session: Session) -> Advertisements:
        far, name, own = session.neighbour.name, session.router, session.neighbour.own
        if far in self._servers:
            routes = heard.servers.get(self._servers[far], {})
            return {p: path.attributes for p, paths in routes.items() for path in paths if path.peer.name == name}
        if far in self._gateways:
            sites = heard.gateways.get(self._gateways[far], {})
            return {p: path.attributes for p, paths in sites.items() for path in paths if path.address == own}
        if far in self.routers:
            return between.get(session, {})
        customers = heard.circuits.get(far, {})
        return {p: path.attributes for p, paths in customers.items() for path in paths if path.address == own}

    def _peer(self, azure: Azure, session: Session) -> BgpPeer | None:
        """A router as the peer of the route server at the far end of its session, None if it has been deleted."""
        server = azure.route_server.get(self._servers[session.neighbour.name][0])
        peers = server.peers if server is not None else ()
        return next((peer for peer in peers if peer.name == session.router), None)


@dataclass(frozen=True)
class RouterState:
    """What NVAs and sites tell (`said`), what each keeps of each neighbour (`held`), and what each uses (`best`)."""

    said: AdjRibsOut = field(default_factory=dict)
    held: Mapping[str, Held] = field(default_factory=dict)
    best: Mapping[str, Mapping[IPv4Network, Best]] = field(default_factory=dict)


@dataclass(frozen=True)
class ConvergedNetwork:
    """What everybody holds in the end: Azure's speakers (`world`), NVAs and sites."""

    world: AzureSpeakers
    spoken: RouterState


Adjust = Callable[[Session, Advertisements], Advertisements]
"""What a router really tells on a session, given what its configuration makes it tell."""


def as_configured(session: Session, announced: Advertisements) -> Advertisements:  # noqa: ARG001 - whatever the session
    """A router tells what its configuration makes it tell: see `Adjust`."""
    return announced


def converge(
    outside: CustomerRouters, azure: Azure, base: AdjRibsIn, start: AdjRibsOut, adjust: Adjust = as_configured
) -> ConvergedNetwork:
    """Let everybody speak until nothing changes, from what NVAs and sites tell at the `start` on.

    `base` tells which of Azure's speakers are up; sessions that are not in `start` are down.

    Raises:
        NeverSettlesError: there is no end.
    """
    standing = outside.standing(azure, base, start)
    said = {session: start[session] for session in start if session in standing}
    for _ in range(ROUNDS):
        world = AzureSpeakers(azure, outside.heard(azure, base, said))
        spoken = outside.spoken(world, said)
        before = dict(said)
        for name, router in outside.routers.items():
            # One after the other: if all spoke at once, two might each yield to the other for ever.
            held = {session: outside.told(world, said, session) for session in spoken.held[name]}
            best = router.best(held)
            said |= {session: adjust(session, router.tells(session, best, held)) for session in held}
        if said == before:
            return ConvergedNetwork(world, spoken)
    raise OscillationError(f"no rest after {ROUNDS} rounds")
