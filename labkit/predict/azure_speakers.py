"""The rules of route servers, gateways and circuits joined into one network, and run until nothing changes.

What is outside Azure (NVAs, sites, customers' edges) advertises what is given here, whatever it receives.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network
from typing import NamedTuple

from labkit.azure.model import (
    Azure,
    BgpPeer,
    Circuit,
    EffectiveRoute,
    GatewayRoutes,
    InstanceId,
    InstanceRoutes,
    LearnedRoute,
    LearnedRoutes,
    PathAttributes,
    PeerKind,
    RouteServer,
)
from labkit.azure.rules.acceptance import originated, originated_in, rejection
from labkit.azure.rules.advertisement import advertised_to_peer, originated_routes
from labkit.azure.rules.circuits import (
    CircuitPath,
    advertised_to_customer,
    advertised_to_gateway,
    best_in_circuit,
    circuit_rejection,
)
from labkit.azure.rules.effective import effective_table, forwarding_key
from labkit.azure.rules.gateway_policy import (
    GatewayPath,
    PathSource,
    advertised_on_premises,
    advertised_to_instance,
    advertised_to_route_server,
    best_at_gateway,
    gateway_rejection,
    own_paths,
    programmed_by_gateway,
    resolved,
)
from labkit.azure.rules.gateways import (
    connected_circuits,
    edge_med,
    gateways_on,
    instance_peer,
    internal_peers,
    routing_weight,
    session_server,
    with_gateway_peers,
)


class CircuitLine(NamedTuple):
    """Where an instance of a gateway is connected to an edge router of a circuit."""

    instance: InstanceId
    router: str


class GatewayTunnel(NamedTuple):
    """A tunnel from an instance of a gateway to one of another gateway, as the first has it."""

    instance: InstanceId
    far: InstanceId


GatewayTable = Mapping[IPv4Network, tuple[GatewayPath, ...]]
CircuitTable = Mapping[IPv4Network, tuple[CircuitPath, ...]]

ROUNDS = 30
"""Rounds of UPDATEs between all speakers: more than the longest way through a valid model."""


class OscillationError(Exception):
    """The routing never converges: a route that is learned causes its own withdrawal."""


@dataclass(frozen=True)
class AdjRibsIn:
    """What Azure's speakers have received from outside, before any rule has judged it.

    Attributes:
        servers: of NVAs, by instance. One that is down is absent.
        gateways: of sites by BGP, by instance. One that is down is absent.
        circuits: of the customers' edges, by Microsoft's edge router.
        edges: the edge router's address on every line there is.
        tunnels: the far instance's address in every tunnel of two gateways through which there is BGP.
    """

    servers: Mapping[InstanceId, InstanceRoutes] = field(default_factory=dict)
    gateways: Mapping[InstanceId, GatewayTable] = field(default_factory=dict)
    circuits: Mapping[str, CircuitTable] = field(default_factory=dict)
    edges: Mapping[CircuitLine, IPv4Address] = field(default_factory=dict)
    tunnels: Mapping[GatewayTunnel, IPv4Address] = field(default_factory=dict)


class AzureSpeakers:
    """Every speaker of a model once its routing has converged, given what it receives from outside.

    `at_server`, `at_gateway` and `at_edge` are the paths that the instances that are up, and edge routers of circuits,
    have after import policy. All sessions inside Azure between instances that are up are up too.

    Raises:
        OscillationError: the routing never converges.
    """

    def __init__(self, azure: Azure, adj_ribs_in: AdjRibsIn) -> None:
        self.azure, self.adj_ribs_in = azure, adj_ribs_in
        self.servers = {s.name: with_gateway_peers(azure, s) for s in azure.route_servers}
        self._originated = {s: originated(azure, s) for s in self.servers}
        self._from_nvas = {i: self._imported(i) for i in adj_ribs_in.servers}
        self.at_server: dict[InstanceId, InstanceRoutes] = {i: {} for i in adj_ribs_in.servers}
        self.at_gateway: dict[InstanceId, GatewayTable] = {i: {} for i in adj_ribs_in.gateways}
        self.at_edge: dict[str, CircuitTable] = {router: {} for router in azure.edge_router}
        for _ in range(ROUNDS):
            before = self.at_server, self.at_gateway, self.at_edge
            self.at_edge = {router: self._edge(router, circuit) for router, circuit in azure.edge_router.items()}
            self.at_gateway = {i: self._gateway(i) for i in self.at_gateway}
            self.at_server = {i: self._server(i) for i in self.at_server}
            if before == (self.at_server, self.at_gateway, self.at_edge):
                return
        raise OscillationError(f"no convergence after {ROUNDS} rounds")

    @property
    def learned(self) -> LearnedRoutes:
        """What the route servers have learned, as the rules of effective routes take it."""
        return {
            name: (self.at_server.get(InstanceId(name, 0)), self.at_server.get(InstanceId(name, 1)))
            for name in self.servers
        }

    @property
    def gateway_routes(self) -> GatewayRoutes:
        """What gateways have from on-premises, as the rules of effective routes take it."""
        found: dict[str, dict[IPv4Network, tuple[LearnedRoute, ...]]] = {}
        for instance, table in self.at_gateway.items():
            gateway, routes = self.azure.gateway[instance.name], found.setdefault(instance.name, {})
            for prefix, paths in table.items():
                programmed = tuple(programmed_by_gateway(self.azure, gateway, instance.index, prefix, paths))
                if programmed:
                    routes[prefix] = (*routes.get(prefix, ()), *programmed)
        return found

    @cached_property
    def effective_routes(self) -> Mapping[str, tuple[EffectiveRoute, ...]]:
        """Every NIC's effective routes, by the NIC's name."""
        learned, gateways = self.learned, self.gateway_routes
        keys = {nic.name: forwarding_key(self.azure, nic.name, learned) for nic in self.azure.nics}
        tables = {key: effective_table(self.azure, key, learned, gateways) for key in dict.fromkeys(keys.values())}
        return {nic: tables[key] for nic, key in keys.items()}

    def advertised_by_server(self, server_name: str, instance: int, peer: BgpPeer) -> dict[IPv4Network, PathAttributes]:
        """What an instance that is up advertises to a peer."""
        learned = self.at_server[InstanceId(server_name, instance)]
        return advertised_by_server(self.servers[server_name], instance, peer, self.azure, learned)

    def advertised_by_gateway(self, name: str, instance: int, neighbour: str) -> dict[IPv4Network, PathAttributes]:
        """What an instance that is up advertises to a site, an NVA, another gateway or a circuit."""
        gateway = self.azure.gateway[name]
        mine = originated_in(self.azure, gateway.virtual_network)
        found = {}
        for prefix, paths in self.at_gateway[InstanceId(name, instance)].items():
            best = best_at_gateway(gateway, paths)
            assert best is not None
            attributes = advertised_on_premises(gateway, instance, mine, neighbour, prefix, best)
            if attributes is not None:
                found[prefix] = attributes
        return found

    def advertised_to_customer(self, router: str) -> dict[IPv4Network, PathAttributes]:
        """What an edge router of a circuit advertises to the customer, its lowest address as the next hop."""
        address = min((a for line, a in self.adj_ribs_in.edges.items() if line.router == router), default=None)
        if address is None:
            return {}
        found = {}
        for prefix, paths in self.at_edge[router].items():
            attributes = advertised_to_customer(best_in_circuit(paths)[0], address)
            if attributes is not None:
                found[prefix] = attributes
        return found

    def advertised_to_server(self, name: str, instance: int) -> dict[IPv4Network, PathAttributes]:
        """What an instance of a gateway that is up advertises to its route server."""
        gateway = self.azure.gateway[name]
        found = {}
        for prefix, paths in self.at_gateway[InstanceId(name, instance)].items():
            best = best_at_gateway(gateway, paths)
            assert best is not None
            attributes = advertised_to_route_server(gateway, instance, prefix, best)
            if attributes is not None:
                found[prefix] = attributes
        return found

    def advertised_to_instance(self, instance: InstanceId, to: str) -> dict[IPv4Network, PathAttributes]:
        """What an instance of a gateway advertises to one of the gateway `to` by internal BGP; nothing while down."""
        gateway = self.azure.gateway[instance.name]
        found = {}
        for prefix, paths in self.at_gateway.get(instance, {}).items():
            best = best_at_gateway(gateway, paths)
            assert best is not None
            attributes = advertised_to_instance(gateway, instance.index, to, best)
            if attributes is not None:
                found[prefix] = attributes
        return found

    def _edge(self, router: str, circuit: Circuit) -> CircuitTable:
        found: dict[IPv4Network, tuple[CircuitPath, ...]] = {}
        received = [
            (prefix, path) for prefix, paths in self.adj_ribs_in.circuits.get(router, {}).items() for path in paths
        ]
        for gateway in gateways_on(self.azure, circuit):
            for i in gateway.instance_ids:
                if CircuitLine(i, router) in self.adj_ribs_in.edges and i in self.at_gateway:
                    address = gateway.instances[i.index]
                    for prefix, attributes in self.advertised_by_gateway(i.name, i.index, circuit.name).items():
                        received.append((prefix, CircuitPath(gateway.name, address, attributes)))
        for prefix, path in received:
            if circuit_rejection(path) is None:
                found[prefix] = (*found.get(prefix, ()), path)
        return found

    def _gateway(self, instance: InstanceId) -> GatewayTable:
        gateway = self.azure.gateway[instance.name]
        server = session_server(self.azure, gateway)
        received: list[tuple[IPv4Network, GatewayPath]] = []
        for circuit in connected_circuits(self.azure, gateway):
            received += self._from_circuit(instance, circuit)
        for prefix, from_sites in self.adj_ribs_in.gateways[instance].items():
            received += [(prefix, path) for path in from_sites]
        for tunnel, address in self.adj_ribs_in.tunnels.items():
            far = tunnel.far
            if tunnel.instance == instance and far in self.at_gateway:
                for prefix, attributes in self.advertised_by_gateway(far.name, far.index, gateway.name).items():
                    source, by = PathSource.ON_PREMISES, replace(attributes, next_hop=address)
                    received.append((prefix, GatewayPath(source, far.name, address, by)))
        if server is not None:
            for i in server.instance_ids:
                if i in self.at_server:
                    address = server.instances[i.index]
                    found = self.advertised_by_server(i.name, i.index, instance_peer(gateway, instance.index))
                    for prefix, attributes in found.items():
                        received.append(
                            (prefix, GatewayPath(PathSource.ROUTE_SERVER, server.name, address, attributes))
                        )
        for other in internal_peers(self.azure, instance):
            source = PathSource.INSTANCE if other.name == instance.name else PathSource.GATEWAY
            address = self.azure.gateway[other.name].instances[other.index]
            for prefix, attributes in self.advertised_to_instance(other, instance.name).items():
                received.append((prefix, GatewayPath(source, other.name, address, attributes)))
        table: dict[IPv4Network, tuple[GatewayPath, ...]] = {
            prefix: (path,) for prefix, path in own_paths(self.azure, gateway, instance.index).items()
        }
        for prefix, path in received:
            if gateway_rejection(gateway, server, path.source, path.attributes) is None:
                table[prefix] = (*table.get(prefix, ()), path)
        return resolved(self.azure, gateway, table, self._edges(gateway.virtual_network))

    def _from_circuit(self, instance: InstanceId, circuit: Circuit) -> Iterator[tuple[IPv4Network, GatewayPath]]:
        gateway = self.azure.gateway[instance.name]
        weight = routing_weight(self.azure, gateway, circuit.name)
        for router in circuit.edge_routers:
            edge = self.adj_ribs_in.edges.get(CircuitLine(instance, router))
            for prefix, paths in self.at_edge[router].items() if edge is not None else ():
                assert edge is not None
                attributes = advertised_to_gateway(gateway, best_in_circuit(paths)[0], edge)
                if attributes is not None:
                    attributes = replace(attributes, med=edge_med(self.azure, gateway, instance.index, router))
                    yield prefix, GatewayPath(PathSource.ON_PREMISES, circuit.name, edge, attributes, weight)

    def _edges(self, virtual_network: str) -> tuple[IPv4Address, ...]:
        """The far ends of the lines of a virtual network's gateways."""
        return tuple(
            edge
            for line, edge in self.adj_ribs_in.edges.items()
            if self.azure.gateway[line.instance.name].virtual_network == virtual_network
        )

    def _server(self, instance: InstanceId) -> InstanceRoutes:
        server = self.servers[instance.name]
        mine = self._originated[server.name]
        found: dict[IPv4Network, tuple[LearnedRoute, ...]] = dict(self._from_nvas[instance])
        speakers = {instance_peer(self.azure.gateway[i.name], i.index): i for i in self.at_gateway}
        for peer in server.peers:
            if peer in speakers:
                for prefix, attributes in self.advertised_to_server(speakers[peer].name, speakers[peer].index).items():
                    route = LearnedRoute(prefix, attributes, peer)
                    if rejection(route, server, mine) is None:
                        found[prefix] = (*found.get(prefix, ()), route)
        return found

    def _imported(self, instance: InstanceId) -> InstanceRoutes:
        """What an instance accepts of what NVAs advertise to it, in the order of its peers."""
        server, mine = self.servers[instance.name], self._originated[instance.name]
        order = {peer: i for i, peer in enumerate(server.peers) if peer.kind is PeerKind.NVA}
        found: dict[IPv4Network, tuple[LearnedRoute, ...]] = {}
        for prefix, paths in self.adj_ribs_in.servers[instance].items():
            accepted = [p for p in paths if p.peer in order and rejection(p, server, mine) is None]
            if accepted:
                found[prefix] = tuple(sorted(accepted, key=lambda path: order[path.peer]))
        return found


def advertised_by_server(
    server: RouteServer, instance: int, peer: BgpPeer, azure: Azure, learned: InstanceRoutes
) -> dict[IPv4Network, PathAttributes]:
    """Everything that an instance advertises to a peer: its own ranges, and best paths of what it has `learned`."""
    mine = originated(azure, server.name)
    found = originated_routes(server, instance, peer, mine)
    for prefix, paths in learned.items():
        attributes = advertised_to_peer(server, instance, peer, mine, prefix, paths)
        if attributes is not None:
            found[prefix] = attributes
    return found
