"""A running lab in the form that the rules take: Azure's objects as they are now, and its speakers' Adj-RIBs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network

from labkit.azure.model import Azure, BgpPeer, InstanceId, InstanceRoutes, LearnedRoute, PathAttributes, PeerKind
from labkit.azure.rules.circuits import CircuitPath
from labkit.azure.rules.gateway_policy import GatewayPath, PathSource
from labkit.azure.rules.gateways import with_gateway_peers
from labkit.azure.rules.rows import EffectiveRow
from labkit.daemons.speaker import Advertisements, Session
from labkit.errors import CheckFailed
from labkit.feed.bgp import RouteGroup
from labkit.feed.state import PlatformModel, Rib
from labkit.lab.model import Lab
from labkit.operate.look.live_state import LiveState
from labkit.predict.azure_speakers import AdjRibsIn, CircuitLine, CircuitTable, GatewayTable, GatewayTunnel
from labkit.predict.converge import AdjRibsOut, CustomerRouters, far_gateways


@dataclass(frozen=True)
class Snapshot:
    """A running lab's `GET /v1/model` and the tables of its circuits' edge routers."""

    lab: Lab
    model: PlatformModel
    circuits: Mapping[str, CircuitTable]

    @property
    def azure(self) -> Azure:
        """Azure's objects, with what operators have changed."""
        return self.model.azure

    @cached_property
    def adj_ribs_in(self) -> AdjRibsIn:
        """What Azure's speakers have received from outside."""
        return AdjRibsIn(
            {i: self.at_server(i, "received", (PeerKind.NVA,)) for i in self.servers},
            {i: self._from_sites(i) for i in self.gateways},
            self.circuits,
            dict(self._lines()),
            dict(self._tunnels()),
        )

    @property
    def servers(self) -> Iterator[InstanceId]:
        """The route server instances that are up."""
        all_of_them = (i for server in self.azure.route_servers for i in server.instance_ids)
        return (i for i in all_of_them if self.model.route_servers[i.node] is not None)

    @property
    def gateways(self) -> Iterator[InstanceId]:
        """The gateway instances that are up."""
        all_of_them = (i for gateway in self.azure.gateways for i in gateway.instance_ids)
        return (i for i in all_of_them if self.model.gateways[i.node] is not None)

    def peers(self, server: str) -> tuple[BgpPeer, ...]:
        """The peers of a route server, those that are instances of gateways included."""
        return with_gateway_peers(self.azure, self.azure.route_server[server]).peers

    def at_server(self, instance: InstanceId, table: Rib, kinds: Iterable[PeerKind] = PeerKind) -> InstanceRoutes:
        """What a route server instance that is up has `received` or `learned` from its peers of these kinds."""
        found: dict[IPv4Network, tuple[LearnedRoute, ...]] = {}
        for peer in self.peers(instance.name):
            if peer.kind in kinds:
                for prefix, attributes in self.of_peer(instance, table, peer).items():
                    found[prefix] = (*found.get(prefix, ()), LearnedRoute(prefix, attributes, peer))
        return found

    def of_peer(self, instance: InstanceId, table: Rib, peer: BgpPeer) -> Advertisements:
        """What a route server instance that is up has `received` or `learned` from a peer, or `advertised` to it."""
        peers = self.model.route_servers[instance.node]
        return routes(peers[peer.name].rib(table)) if peers and peer.name in peers else {}

    def at_gateway(self, instance: InstanceId) -> Mapping[IPv4Address, Advertisements]:
        """What a gateway's instance that is up has accepted from each neighbour."""
        neighbours = self.model.gateways[instance.node] or {}
        return {IPv4Address(address): routes(groups) for address, groups in neighbours.items()}

    def _lines(self) -> Iterator[tuple[CircuitLine, IPv4Address]]:
        """The lines over which BGP runs."""
        for instance in self.gateways:
            neighbours = self.at_gateway(instance)
            for line in self.lab.gateway[instance.name].lines:
                if line.instance == instance.index and line.edge in neighbours:
                    yield CircuitLine(instance, line.router), line.edge

    def _tunnels(self) -> Iterator[tuple[GatewayTunnel, IPv4Address]]:
        """The tunnels between gateways through which BGP runs."""
        up = frozenset(self.gateways)
        for instance in up:
            neighbours = self.at_gateway(instance)
            for far, address in far_gateways(self.lab, instance):
                if far in up and address in neighbours:
                    yield GatewayTunnel(instance, far), address

    def _from_sites(self, instance: InstanceId) -> GatewayTable:
        found: dict[IPv4Network, tuple[GatewayPath, ...]] = {}
        gateways = self.azure.gateway
        sites = {
            t.far.address: t.far.name
            for t in self.lab.tunnels_of(instance.node)
            if t.bgp and t.far.name not in gateways
        }
        for address, accepted in self.at_gateway(instance).items():
            for prefix, attributes in accepted.items() if address in sites else ():
                path = GatewayPath(PathSource.ON_PREMISES, sites[address], address, attributes)
                found[prefix] = (*found.get(prefix, ()), path)
        return found


def read(live: LiveState) -> Snapshot:
    """Read a running lab.

    Raises:
        CheckFailed: the controller, an instance of a route server or a circuit's edge router does not answer.
    """
    model = live.client.fetch(PlatformModel, "model")
    if model.silent:
        silent = model.silent[0]
        raise CheckFailed(f"{silent} runs, but does not answer.", f"See why: labkit logs {silent}")
    snapshot = Snapshot(live.lab, model, {})
    edges = dict.fromkeys(line.router for line in snapshot.adj_ribs_in.edges)
    return replace(snapshot, circuits={router: _customers(live, router) for router in edges})


def customer_adj_ribs_out(customers: CustomerRouters, live: LiveState, received: AdjRibsIn) -> AdjRibsOut:
    """What NVAs and sites advertise now, on each of their sessions that are up.

    `received` is what Azure's speakers have received from them.

    Raises:
        CheckFailed: a router does not answer.
    """
    up = [session for session in customers.sessions if _is_up(session, live)]
    between = {
        session: live.bgp(session.neighbour.name).adj_rib_in(session.neighbour.own)
        for session in up
        if session.neighbour.name in customers.routers and live.has_bgp(session.neighbour.name)
    }
    return customers.adj_ribs_out(received, between, up)


def _is_up(session: Session, live: LiveState) -> bool:
    """Whether a session is up, as the router has it, or as its far end has it where the router can't be asked."""
    if live.has_bgp(session.router):
        return live.bgp(session.router).is_established(session.neighbour.address)
    nva = live.lab.nva.get(session.router)
    if nva is None or nva.container is None or nva.name in live.off:
        return False
    far, own = session.neighbour.name, session.neighbour.own
    if live.has_bgp(far):
        return live.bgp(far).is_established(own)
    peers = {
        (server.name, peer.name) for server in live.azure.route_servers for peer in server.peers if peer.address == own
    }
    return any(
        shown.id.node == far and (shown.route_server, shown.peer) in peers and shown.established
        for shown in live.state.status.sessions
    )


def routes(groups: Iterable[RouteGroup]) -> dict[IPv4Network, PathAttributes]:
    """Routes as feeds have them, by prefix."""
    return {IPv4Network(prefix): group.attributes for group in groups for prefix in group.prefixes}


def by_prefix(rows: Sequence[EffectiveRow]) -> dict[IPv4Network, list[tuple[str, str, str, tuple[str, ...]]]]:
    """Effective routes as Azure prints them, by prefix, whatever their order."""
    found: dict[IPv4Network, list[tuple[str, str, str, tuple[str, ...]]]] = {}
    for row in rows:
        for prefix in row["addressPrefix"]:
            text = (row["source"], row["state"], row["nextHopType"], tuple(sorted(row["nextHopIpAddress"])))
            found.setdefault(IPv4Network(prefix), []).append(text)
    return {prefix: sorted(texts) for prefix, texts in found.items()}


def _customers(live: LiveState, router: str) -> CircuitTable:
    """What the customers' edges advertise to an edge router of a circuit, as that has it."""
    customers = {link.site_address.ip for link in live.lab.wan_links if link.router == router}
    found: dict[IPv4Network, tuple[CircuitPath, ...]] = {}
    for path in live.bgp(router).paths if router not in live.off else ():
        if path.neighbour in customers:
            found[path.prefix] = (
                *found.get(path.prefix, ()),
                CircuitPath(None, path.neighbour, path.attributes),
            )
    return found
