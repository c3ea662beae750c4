"""What the platform knows of gateways: their instances' sessions and routes. No I/O; the rules are `labkit.azure`'s."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network

from labkit.azure.model import ROUTE_SERVER_ASN, Azure, GatewayRoutes, InstanceId, LearnedRoute, PathAttributes
from labkit.azure.rules.adjacency import server_in
from labkit.azure.rules.asn import MICROSOFT_ASN
from labkit.azure.rules.gateway_policy import GatewayPath, PathSource, own_paths, programmed_by_gateway
from labkit.azure.rules.gateways import is_instance, possible_internal_peers, routing_weight
from labkit.feed.bgp import SessionState
from labkit.lab.connections import unconnected
from labkit.lab.model import Lab
from labkit.lab.plan.nodes import INSTANCES
from labkit.lab.plan.speakers import router_asn


@dataclass(frozen=True, slots=True)
class GatewayNeighbour:
    """A BGP neighbour of a gateway's instance: the node `name`, which is `sender`, or an instance or edge of it.

    That is a circuit, a route server, a customer's device or another gateway.
    """

    name: str
    sender: str
    source: PathSource
    asn: int


@dataclass(slots=True)
class GatewayInstance:
    """What is known of a running instance: sessions by neighbour (address), routes by prefix and neighbour."""

    sessions: dict[IPv4Address, SessionState] = field(default_factory=dict)
    routes: dict[IPv4Network, dict[IPv4Address, PathAttributes]] = field(default_factory=dict)


class Gateways:
    """The gateways' side of a platform. Instances that are down are absent from `running`."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self.running: dict[InstanceId, GatewayInstance] = {}
        self.ids = tuple(i for g in lab.azure.gateways for i in g.instance_ids)
        self.neighbours: Mapping[InstanceId, Mapping[IPv4Address, GatewayNeighbour]] = {
            i: _neighbours(lab, i) for i in self.ids
        }

    def came_up(self, instance: InstanceId) -> None:
        """An instance is about to report from the beginning."""
        self.running[instance] = GatewayInstance()

    def announce(
        self, instance: InstanceId, peer: IPv4Address, attributes: PathAttributes, prefixes: Iterable[IPv4Network]
    ) -> None:
        """An instance kept these paths of a neighbour."""
        for prefix in prefixes:
            self.running[instance].routes.setdefault(prefix, {})[peer] = attributes

    def withdraw(self, instance: InstanceId, peer: IPv4Address, prefixes: Iterable[IPv4Network]) -> None:
        """An instance lost these paths of a neighbour."""
        routes = self.running[instance].routes
        for prefix in prefixes:
            paths = routes.get(prefix, {})
            paths.pop(peer, None)
            if not paths:
                routes.pop(prefix, None)

    def forget(self, instance: InstanceId, peer: IPv4Address) -> None:
        """An instance lost its session with a neighbour, and all it had from it."""
        self.withdraw(instance, peer, [p for p, paths in self.running[instance].routes.items() if peer in paths])

    def table(self, azure: Azure, instance: InstanceId) -> dict[IPv4Network, tuple[GatewayPath, ...]]:
        """Every path that an instance holds, its own first; nothing of one that is down.

        Nor anything of a neighbour whose connection is deleted, although the instance withdraws it a moment later: what
        the connection had of it is no longer known, an edge's address on NICs for one.
        """
        known = self.running.get(instance)
        if known is None:
            return {}
        gateway = azure.gateway[instance.name]
        own = own_paths(azure, gateway, instance.index)
        found: dict[IPv4Network, tuple[GatewayPath, ...]] = {p: (path,) for p, path in own.items()}
        # The platform knows at once that an instance is down, its own sessions only after their hold time.
        down = {azure.gateway[i.name].instances[i.index] for i in self.existing(azure) if i not in self.running}
        closed = unconnected(self._lab, azure)
        neighbours = {
            address: neighbour
            for address, neighbour in self.neighbours[instance].items()
            if address not in down and frozenset((instance.node, neighbour.name)) not in closed
        }
        for prefix, paths in known.routes.items():
            for address in sorted(paths.keys() & neighbours.keys()):
                neighbour = neighbours[address]
                weight = routing_weight(azure, gateway, neighbour.sender)
                path = GatewayPath(neighbour.source, neighbour.sender, address, paths[address], weight)
                found[prefix] = (*found.get(prefix, ()), path)
        return found

    def idle(self) -> Iterator[tuple[str, str]]:
        """The instances, by node, that have nothing of a circuit with two edges, each with the circuit."""
        for instance in self.ids:
            known = self.running.get(instance)
            edges: dict[str, set[IPv4Address]] = {}
            for address, neighbour in self.neighbours[instance].items():
                circuit = self._lab.azure.circuit.get(neighbour.sender)
                if circuit is not None and circuit.edges > 1:
                    edges.setdefault(circuit.name, set()).add(address)
            for name, addresses in edges.items():
                if known is None or all(addresses.isdisjoint(paths) for paths in known.routes.values()):
                    yield instance.node, name

    def existing(self, azure: Azure) -> tuple[InstanceId, ...]:
        """The instances of gateways that are not deleted."""
        return tuple(i for i in self.ids if is_instance(azure, i))

    def routes(self, azure: Azure) -> GatewayRoutes:
        """What gateways have from on-premises, in the form that the rules want."""
        found: dict[str, dict[IPv4Network, tuple[LearnedRoute, ...]]] = {}
        for instance in self.existing(azure):
            if instance not in self.running:
                continue
            gateway, routes = azure.gateway[instance.name], found.setdefault(instance.name, {})
            for prefix, paths in self.table(azure, instance).items():
                programmed = tuple(programmed_by_gateway(azure, gateway, instance.index, prefix, paths))
                if programmed:
                    routes[prefix] = (*routes.get(prefix, ()), *programmed)
        return found


def _neighbours(lab: Lab, instance: InstanceId) -> dict[IPv4Address, GatewayNeighbour]:
    gateway = lab.azure.gateway[instance.name]
    server = server_in(lab.azure, gateway.virtual_network)
    found = {}
    for other in possible_internal_peers(lab.azure, instance):
        source = PathSource.INSTANCE if other.name == instance.name else PathSource.GATEWAY
        address = lab.azure.gateway[other.name].instances[other.index]
        found[address] = GatewayNeighbour(other.node, other.name, source, gateway.asn)
    if server is not None:
        for i in INSTANCES:
            node = InstanceId(server.name, i).node
            found[server.instances[i]] = GatewayNeighbour(node, server.name, PathSource.ROUTE_SERVER, ROUTE_SERVER_ASN)
    for tunnel in lab.tunnels_of(instance.node):
        if tunnel.bgp:
            far, asn = tunnel.far, router_asn(lab, tunnel.far.name)
            found[far.address] = GatewayNeighbour(far.node, far.name, PathSource.ON_PREMISES, asn)
    for line in lab.gateway[instance.name].lines:
        if line.instance == instance.index:
            found[line.edge] = GatewayNeighbour(line.router, line.circuit, PathSource.ON_PREMISES, MICROSOFT_ASN)
    return found
