"""The rules of route servers, gateways and circuits joined into one network, and run until nothing changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network

from labkit.azure.acceptance import originated, originated_in, rejection
from labkit.azure.advertisement import advertised, originated_routes
from labkit.azure.circuits import (
    CircuitPath,
    best_in_circuit,
    circuit_rejection,
    told_to_customer,
    told_to_gateway,
)
from labkit.azure.gateway_policy import (
    GatewayPath,
    PathSource,
    best_at_gateway,
    gateway_rejection,
    own_paths,
    reported,
    told_on_premises,
    told_to_route_server,
)
from labkit.azure.gateways import (
    connected_circuits,
    connected_sites,
    gateways_on,
    instance_peer,
    session_server,
    with_gateway_peers,
)
from labkit.azure.model import (
    Azure,
    BgpPeer,
    Circuit,
    Gateway,
    GatewayRoutes,
    InstanceRoutes,
    LearnedRoute,
    LearnedRoutes,
    PathAttributes,
    RouteServer,
)

Announced = Mapping[IPv4Network, PathAttributes]
GatewayTable = dict[IPv4Network, list[GatewayPath]]

ROUNDS = 30


@dataclass
class World:
    """`nvas` by peer name, `customers` by circuit, `sites` by local network gateway: what they announce.

    Both instances of a route server and of a gateway have all sessions. A circuit is one edge router, `edges` its
    address.
    """

    azure: Azure
    nvas: Mapping[str, Announced] = field(default_factory=dict)
    customers: Mapping[str, Announced] = field(default_factory=dict)
    sites: Mapping[str, Announced] = field(default_factory=dict)
    edges: Mapping[str, IPv4Address] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.servers = {s.name: with_gateway_peers(self.azure, s) for s in self.azure.route_servers}
        self.at_server: dict[tuple[str, int], InstanceRoutes] = {(s, i): {} for s in self.servers for i in (0, 1)}
        self.at_gateway: dict[tuple[str, int], GatewayTable] = {
            (g.name, i): {} for g in self.azure.gateways for i in range(len(g.instances))
        }
        self.at_circuit: dict[str, dict[IPv4Network, list[CircuitPath]]] = {c.name: {} for c in self.azure.circuits}
        for _ in range(ROUNDS):
            before = self.at_server, self.at_gateway, self.at_circuit
            self.at_circuit = {c.name: self._circuit(c) for c in self.azure.circuits}
            self.at_gateway = {(g, i): self._gateway(self.azure.gateway[g], i) for g, i in self.at_gateway}
            self.at_server = {(s, i): self._server(self.servers[s]) for s, i in self.at_server}
            if before == (self.at_server, self.at_gateway, self.at_circuit):
                return
        raise AssertionError("it never settles")

    @property
    def learned(self) -> LearnedRoutes:
        return {s: (self.at_server[s, 0], self.at_server[s, 1]) for s in self.servers}

    @property
    def gateway_routes(self) -> GatewayRoutes:
        found: dict[str, dict[IPv4Network, tuple[LearnedRoute, ...]]] = {}
        for (name, i), table in self.at_gateway.items():
            routes = found.setdefault(name, {})
            for prefix, paths in table.items():
                for path in paths:
                    route = reported(self.azure.gateway[name], i, prefix, path)
                    if route is not None:
                        routes[prefix] = (*routes.get(prefix, ()), route)
        return found

    def told_by_server(self, server_name: str, instance: int, peer: BgpPeer) -> dict[IPv4Network, PathAttributes]:
        server, mine = self.servers[server_name], originated(self.azure, server_name)
        told = originated_routes(server, instance, peer, mine)
        for prefix, paths in self.at_server[server_name, instance].items():
            attributes = advertised(server, instance, peer, mine, prefix, paths)
            if attributes is not None:
                told[prefix] = attributes
        return told

    def told_by_gateway(self, name: str, instance: int, neighbour: str) -> dict[IPv4Network, PathAttributes]:
        """What a site or a circuit gets."""
        gateway = self.azure.gateway[name]
        mine = originated_in(self.azure, gateway.virtual_network)
        told = {}
        for prefix, paths in self.at_gateway[name, instance].items():
            best = best_at_gateway(gateway, paths)
            assert best is not None
            attributes = told_on_premises(gateway, instance, mine, neighbour, prefix, best)
            if attributes is not None:
                told[prefix] = attributes
        return told

    def told_to_customer(self, circuit: str) -> dict[IPv4Network, PathAttributes]:
        told = {}
        for prefix, paths in self.at_circuit[circuit].items():
            attributes = told_to_customer(best_in_circuit(paths)[0], self.edges[circuit])
            if attributes is not None:
                told[prefix] = attributes
        return told

    def _circuit(self, circuit: Circuit) -> dict[IPv4Network, list[CircuitPath]]:
        found: dict[IPv4Network, list[CircuitPath]] = {}
        heard = [
            (prefix, CircuitPath(None, attributes.next_hop, attributes))
            for prefix, attributes in self.customers.get(circuit.name, {}).items()
        ]
        for gateway in gateways_on(self.azure, circuit):
            for i, address in enumerate(gateway.instances):
                for prefix, attributes in self.told_by_gateway(gateway.name, i, circuit.name).items():
                    heard.append((prefix, CircuitPath(gateway.name, address, attributes)))
        for prefix, path in heard:
            if circuit_rejection(path) is None:
                found.setdefault(prefix, []).append(path)
        return found

    def _gateway(self, gateway: Gateway, instance: int) -> GatewayTable:
        server = session_server(self.azure, gateway)
        heard = []
        for circuit in connected_circuits(self.azure, gateway):
            edge = self.edges[circuit.name]
            for prefix, paths in self.at_circuit[circuit.name].items():
                attributes = told_to_gateway(gateway, best_in_circuit(paths)[0], edge)
                if attributes is not None:
                    heard.append((prefix, GatewayPath(PathSource.ON_PREMISES, circuit.name, edge, attributes)))
        for site in connected_sites(self.azure, gateway):
            for prefix, attributes in self.sites.get(site.name, {}).items():
                path = GatewayPath(PathSource.ON_PREMISES, site.name, attributes.next_hop, attributes)
                heard.append((prefix, path))
        if server is not None:
            for i, address in enumerate(server.instances):
                told = self.told_by_server(server.name, i, instance_peer(gateway, instance))
                for prefix, attributes in told.items():
                    heard.append((prefix, GatewayPath(PathSource.ROUTE_SERVER, server.name, address, attributes)))
        table: GatewayTable = {p: [path] for p, path in own_paths(self.azure, gateway, instance).items()}
        for prefix, path in heard:
            if gateway_rejection(gateway, server, path.source, path.attributes) is None:
                table.setdefault(prefix, []).append(path)
        return table

    def _server(self, server: RouteServer) -> InstanceRoutes:
        mine = originated(self.azure, server.name)
        found: dict[IPv4Network, tuple[LearnedRoute, ...]] = {}
        for peer in server.peers:
            for prefix, attributes in self._told_to_server(peer).items():
                route = LearnedRoute(prefix, attributes, peer)
                if rejection(route, server, mine) is None:
                    found[prefix] = (*found.get(prefix, ()), route)
        return found

    def _told_to_server(self, peer: BgpPeer) -> Announced:
        speaker = next(
            ((g, i) for g, i in self.at_gateway if instance_peer(self.azure.gateway[g], i) == peer),
            None,
        )
        if speaker is None:
            return self.nvas.get(peer.name, {})
        gateway = self.azure.gateway[speaker[0]]
        told = {}
        for prefix, paths in self.at_gateway[speaker].items():
            best = best_at_gateway(gateway, paths)
            assert best is not None
            attributes = told_to_route_server(gateway, speaker[1], prefix, best)
            if attributes is not None:
                told[prefix] = attributes
        return told
