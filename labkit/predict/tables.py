"""The tables of a predicted lab, for the walker: NICs' by Azure's rules, routers' by what they hold. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network
from typing import TypeVar

from labkit.azure.forwarding import Backend, Disposition, Packet, Surroundings
from labkit.azure.model import Azure, EffectiveRoute, InstanceId, Nic
from labkit.azure.rules.adjacency import local_and_adjacent_ranges
from labkit.azure.rules.circuits import best_in_circuit
from labkit.azure.rules.effective import DEFAULT_ROUTE, lookup
from labkit.azure.rules.gateway_policy import PathSource, used_at_gateway
from labkit.azure.rules.gateways import connected_circuits, sibling
from labkit.daemons.speaker import Best, StaticRoute
from labkit.lab.connections import unconnected
from labkit.lab.model import Lab
from labkit.lab.plan.addressing import subnet_of
from labkit.lab.plan.probes import answers_probes
from labkit.lab.plan.speakers import discarded, into_tunnels, nva_routes, site_routes
from labkit.predict.azure_speakers import AzureSpeakers
from labkit.predict.converge import RouterState
from labkit.predict.customer_routers import Router, routers
from labkit.predict.surroundings import surroundings
from labkit.predict.walk.routing import Egress, Route

T = TypeVar("T")

_NO_ROUTE = Route(drops=Disposition.NO_ROUTE)
_NONE: frozenset[IPv4Network] = frozenset()

RouteTable = Mapping[IPv4Network, Route]


class PredictedTables:
    """The tables of a converged network. Every node is on, and so is every backend that can answer its probes."""

    off: frozenset[str] = frozenset()

    def __init__(self, lab: Lab, speakers: AzureSpeakers, routers: RouterState) -> None:
        self._lab, self._speakers, self._routers = lab, speakers, routers

    @property
    def azure(self) -> Azure:
        """Azure's objects."""
        return self._speakers.azure

    def row(self, nic: str, destination: IPv4Address) -> EffectiveRoute | None:
        """A NIC's effective route for a destination; None if it has none."""
        return lookup(self._speakers.effective_routes[nic], destination)

    def surroundings(self, virtual_network: str) -> Surroundings:
        """What the fabric of a virtual network knows apart from effective routes."""
        backends = {
            balancer.address: tuple(
                Backend(nic.address, answers_probes(self._lab, nic))
                for nic in (self.azure.nic[backend] for backend in balancer.backends)
            )
            for balancer in self.azure.load_balancers
        }
        return surroundings(self._lab, self.azure, virtual_network, backends, self._idle)

    def route(self, node: str, packet: Packet, *, inbound: bool = False) -> Route:
        """What a node's own table has for a packet: the longest prefix, of equal ones that without BGP."""
        if inbound:  # [gateway-forwards-by-subnet]
            return Route.by_nic(DEFAULT_ROUTE, self.azure.primary_nic(node).name)
        if node in self._machines:
            return Route(egresses=(Egress(self._nic(node, packet).name),))
        if node in self._lab.policy_routed:
            own = (nic for nic in self.azure.nics_of(node) if packet.source in nic.addresses)
            by_policy = next(own, None)
            if by_policy is not None:
                return Route.by_nic(DEFAULT_ROUTE, by_policy.name)
        destination = packet.destination
        found = max(
            ((prefix, route) for table in self._tables(node) for prefix, route in table if destination in prefix),
            key=lambda each: each[0].prefixlen,
            default=None,
        )
        return _NO_ROUTE if found is None else found[1]

    def _nic(self, machine: str, packet: Packet) -> Nic:
        """The NIC by which a packet of a machine's own leaves it [several-nics].

        The subnets of all NICs are connected; everything else is the primary one's. With policy routing, that whose
        address the packet has.
        """
        nics = self.azure.nics_of(machine)
        of_source = (nic for nic in nics if packet.source in nic.addresses)
        by_policy = next(of_source, None) if machine in self._lab.policy_routed else None
        connected = (nic for nic in nics if packet.destination in subnet_of(self.azure, nic))
        return by_policy or next(connected, nics[0])

    def _tables(self, node: str) -> Iterator[Iterable[tuple[IPv4Network, Route]]]:
        """A node's tables, the one whose routes win at equal length first."""
        yield from (self._statics.get(node, ()), self._by_bgp(node))

    @cached_property
    def _machines(self) -> frozenset[str]:
        """The nodes whose kernel has what their NIC's effective routes are."""
        return frozenset(machine.name for machine in self._lab.virtual_machines)

    @cached_property
    def _speaker(self) -> Mapping[str, Router]:
        """NVAs and sites as speakers, by name."""
        return routers(self._lab, self.azure)

    @cached_property
    def _instances(self) -> Mapping[str, InstanceId]:
        """The instances of gateways by their nodes' names."""
        return {i.node: i for gateway in self.azure.gateways for i in gateway.instance_ids}

    @cached_property
    def _idle(self) -> frozenset[tuple[str, str]]:
        """The instances of gateways that have nothing of a circuit (`labkit.lab.plan.nodes.beyond`)."""
        tables = self._speakers.at_gateway
        senders = {i: {path.sender for paths in table.values() for path in paths} for i, table in tables.items()}
        return frozenset(
            (node, circuit.name)
            for node, instance in self._instances.items()
            for circuit in connected_circuits(self.azure, self.azure.gateway[instance.name])
            if circuit.name not in senders.get(instance, ())
        )

    # What nodes have without BGP: their interfaces' networks, and static routes.

    @cached_property
    def _statics(self) -> Mapping[str, list[tuple[IPv4Network, Route]]]:
        found: dict[str, list[tuple[IPv4Network, Route]]] = {}
        for node, prefix, route in self._without_bgp():
            found.setdefault(node, []).append((prefix, route))
        return found

    def _without_bgp(self) -> Iterator[tuple[str, IPv4Network, Route]]:
        lab, closed = self._lab, unconnected(self._lab, self.azure)
        for site in lab.sites:
            for router in site.routers:
                for interface in router.lan:
                    yield router.name, interface.network, Route.connected(interface.network, interface.ip)
                for prefix, hops in _by_prefix(site_routes(lab, router)).items():
                    yield router.name, prefix, Route.over_link(prefix, *hops)
                for prefix in discarded(lab, router):
                    yield router.name, prefix, Route(prefix, drops=Disposition.BLACK_HOLE)
            yield site.host.name, site.host.address.network, Route.connected(site.host.address.network)
            yield site.host.name, DEFAULT_ROUTE, Route.over_link(DEFAULT_ROUTE, site.gateway.lan[0].ip)
        for end in lab.tunnels:
            for tunnel in (end, end.turned):
                node, address = tunnel.near.node, tunnel.far.address
                if node in self._instances and frozenset((node, tunnel.far.node)) in closed:
                    continue  # a gateway's end is down; the other one does not know
                yield node, IPv4Network(address), Route.connected(IPv4Network(address), tunnel.near.address)
        for link in lab.wan_links:
            for node, interface in ((link.router, link.router_address), (link.site, link.site_address)):
                yield node, interface.network, Route.connected(interface.network, interface.ip)
        for overlay in lab.overlays:
            for node, interface in zip(overlay.nvas, overlay.addresses, strict=True):
                yield node, interface.network, Route.connected(interface.network, interface.ip)
        yield from self._in_the_internet()
        for nva in lab.nvas:
            for nic in lab.azure.nics_of(nva.name):
                subnet = subnet_of(lab.azure, nic)
                yield nva.name, subnet, Route.by_nic(subnet, nic.name)
            for route in nva_routes(lab, nva):
                over_link = Route.over_link(route.prefix, route.via)
                found = over_link if route.nic is None else Route.by_nic(route.prefix, route.nic.name)
                yield nva.name, route.prefix, found
        for firewall in self.azure.firewalls:
            for node in (instance.node for instance in firewall.instance_ids):
                nic = self.azure.primary_nic(node)
                for prefix in (subnet_of(self.azure, nic), DEFAULT_ROUTE):
                    yield node, prefix, Route.by_nic(prefix, nic.name)
        for node, instance in self._instances.items():
            nic = self.azure.primary_nic(node)
            gateway = self.azure.gateway[instance.name]
            for prefix in (subnet_of(self.azure, nic), *local_and_adjacent_ranges(self.azure, gateway.virtual_network)):
                yield node, prefix, Route.by_nic(prefix, nic.name)
            other_one = self._sibling(node)
            if other_one is not None:
                yield node, IPv4Network(other_one), Route.connected(IPv4Network(other_one))
            for line in lab.gateway[instance.name].lines:
                if line.instance == instance.index and frozenset((node, line.router)) not in closed:
                    yield node, IPv4Network(line.edge), Route.connected(IPv4Network(line.edge))
                    yield line.router, IPv4Network(nic.address), Route.connected(IPv4Network(nic.address))

    def _in_the_internet(self) -> Iterator[tuple[str, IPv4Network, Route]]:
        """The Internet's own routes, and those of the nodes that are in it themselves."""
        internet = self._lab.internet
        for node, address in internet.public.items() if internet is not None else ():
            assert internet is not None
            if node not in self._instances:  # whose tunnels alone go there
                yield node, internet.prefix, Route.over_link(internet.prefix, internet.host)
            yield internet.name, IPv4Network(address), Route.connected(IPv4Network(address))
        for address in internet.translated.values() if internet is not None else ():
            assert internet is not None
            yield internet.name, IPv4Network(address), Route.connected(IPv4Network(address))

    # What they have by BGP.

    def _by_bgp(self, node: str) -> Iterator[tuple[IPv4Network, Route]]:
        if node in self._instances:
            gateway = self.azure.gateway[self._instances[node].name]
            for prefix, paths in self._speakers.at_gateway.get(self._instances[node], {}).items():
                best, *others = used_at_gateway(gateway, paths)
                if best.source is PathSource.NEIGHBOUR:  # it is connected
                    continue
                if best.source is PathSource.STATIC:
                    routes = into_tunnels(self._lab, node, self.azure)
                    yield prefix, Route.over_link(prefix, *(r.via for r in routes if r.prefix == prefix))
                elif best.source is PathSource.ON_PREMISES:
                    yield prefix, Route.over_link(prefix, *(path.address for path in (best, *others)))
                elif best.attributes.next_hop == self._sibling(node) and best.source is not PathSource.VIRTUAL_NETWORK:
                    yield prefix, Route.over_link(prefix, best.attributes.next_hop)
                else:
                    yield prefix, Route.by_nic(prefix, self.azure.primary_nic(node).name)
        elif node in self.azure.edge_router:
            for prefix, customers in self._speakers.at_edge.get(node, {}).items():
                yield prefix, Route.over_link(prefix, *(path.address for path in best_in_circuit(customers)))
        for prefix, chosen in self._routers.loc_rib.get(node, {}).items():
            # What a router advertises itself is in no kernel.
            egresses = tuple(dict.fromkeys(self._learned(node, prefix, chosen)))
            if egresses:
                yield prefix, Route(prefix, egresses, self._speaker[node].speaker.source)

    def _learned(
        self, node: str, prefix: IPv4Network, chosen: Best, by: frozenset[IPv4Network] = _NONE
    ) -> Iterator[Egress]:
        """The ways out of a router for what it has from neighbours; the routes `by` lead to next hops already."""
        speaker, received = self._speaker[node].speaker, self._routers.adj_rib_in[node]
        for session in chosen.sessions:
            next_hop = received[session][prefix].next_hop
            if speaker.uses(session.neighbour, next_hop):
                yield from self._to_next_hop(node, next_hop, by | {prefix})

    def _to_next_hop(self, node: str, address: IPv4Address, by: frozenset[IPv4Network]) -> Iterator[Egress]:
        """The ways out of a router to a next hop, by what it has without BGP, or by BGP too if its daemon does that."""
        static = max(
            ((prefix, route) for prefix, route in self._statics[node] if address in prefix),
            key=lambda each: each[0].prefixlen,
            default=None,
        )
        at_least = static[0].prefixlen if static is not None else -1
        learned = self._routers.loc_rib[node] if self._speaker[node].daemon.decide.RESOLVES_BY_BGP else {}
        longer = (p for p in learned if p.prefixlen > at_least and address in p and p not in by and learned[p].sessions)
        by_bgp = max(longer, key=lambda prefix: prefix.prefixlen, default=None)
        if by_bgp is not None:
            yield from self._learned(node, by_bgp, learned[by_bgp], by)
        elif static is not None:
            for egress in static[1].egresses:
                yield egress if egress.nic is not None or egress.to is not None else Egress(to=address)

    def _sibling(self, node: str) -> IPv4Address | None:
        """The address of the other instance of a VPN gateway, to which an instance has a tunnel."""
        found = sibling(self.azure, self._instances[node])
        return None if found is None else self.azure.gateway[found.name].instances[found.index]


def _by_prefix(routes: Iterable[StaticRoute]) -> dict[IPv4Network, list[IPv4Address]]:
    """The next hops of routes, by prefix: of several to one prefix the daemon makes one."""
    found: dict[IPv4Network, list[IPv4Address]] = {}
    for route in routes:
        found.setdefault(route.prefix, []).append(route.via)
    return found
