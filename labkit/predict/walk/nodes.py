"""What a node does with a packet that has got to it: its way ends there, or it leaves by the node's own table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from enum import Enum
from ipaddress import IPv4Address

from labkit.azure.flows import UDP
from labkit.azure.forwarding import Disposition, Packet
from labkit.azure.model import PeerKind, RuleAction
from labkit.azure.rules.firewalls import admitted, decides, services, translates
from labkit.predict.walk.lab_map import SIBLING, LabMap
from labkit.predict.walk.routing import ON_LINK, Egress, Route, RoutingTables
from labkit.predict.walk.steps import RouterStep
from labkit.predict.walk.transit import Departure, InTransit

TRACEROUTE_PORT = 33434
"""The first port to which traceroute sends."""

NO_ADDRESS = IPv4Address("0.0.0.0")  # noqa: S104 - the source of a packet whose address is yet to be chosen


class Probing(Enum):
    """What packets are sent to find a way, as firewalls distinguish them."""

    TRACEROUTE = "traceroute's UDP"
    ICMP_ERROR = "its answers"


class NodeForwarding:
    """What the nodes of a lab do with packets, by their own tables, translation and rules.

    Args:
        lab_map: the nodes.
        tables: their tables.
        circles: how many hops of a loop are followed before it is called one; 0 for none.
        probe: what firewalls judge packets as; without it they drop what none of their rules may let through.
    """

    def __init__(self, lab_map: LabMap, tables: RoutingTables, circles: int, probe: Probing | None) -> None:
        self._map, self._tables = lab_map, tables
        self._circles, self._probe = circles, probe

    def end(self, way: InTransit) -> Disposition | None:
        """Why a packet's way ends at the node where it is; None if it goes on."""
        node = way.node
        if self._map.has(node, way.packet.destination):
            return Disposition.DELIVERED
        visit = node, self._inbound(way)
        again = len({*way.forwarded}) < len(way.forwarded) or visit in way.forwarded
        if self._circles and len(way.hops) >= self._circles:
            return Disposition.LOOP if again else Disposition.TTL
        if not self._circles and visit in way.forwarded:
            return Disposition.LOOP
        if way.forwarded and not self._map.forwards(node):
            return Disposition.NOT_A_ROUTER
        return None

    def departures(self, way: InTransit) -> list[Departure]:
        """How a packet leaves the node where it is, once for each way out."""
        return [self._departure(way, route, packet) for route, packet in self._routes(way)]

    def _routes(self, way: InTransit) -> Iterator[tuple[Route, Packet]]:
        """A node's route for a packet, once for each way out of it, with the packet that may leave by that.

        A packet without a source is the node's own and gets one, by which its routing table may be another one.
        """
        node, packet = way.node, way.packet
        route = self._tables.route(node, packet, inbound=self._inbound(way))
        for egress in route.egresses or ON_LINK:
            only = replace(route, egresses=(egress,))
            if packet.source != NO_ADDRESS:
                yield only, packet
                continue
            sent = replace(packet, source=route.source or self._near(node, egress, packet.destination))
            of_source = self._tables.route(node, sent)
            if of_source == route:
                yield only, sent
            else:
                yield from ((replace(of_source, egresses=(each,)), sent) for each in of_source.egresses or ON_LINK)

    def _near(self, node: str, egress: Egress, destination: IPv4Address) -> IPv4Address:
        """The address of a node's own at an egress."""
        if egress.nic is not None:
            return self._tables.azure.nic[egress.nic].address
        return self._map.near_end(node, egress.to or destination)

    def _departure(self, way: InTransit, route: Route, packet: Packet) -> Departure:
        """A packet as it leaves the node where it is, by one way out."""
        node, own = way.node, self._map.has(way.node, packet.source)
        egress = next(iter(route.egresses), Egress())
        way = replace(way, origin=packet.source, address=packet.source) if own and not way.forwarded else way
        before, ends, admits = packet, route.drops or Disposition.FORWARDED, ""
        # An appliance's own packets stay as they are.
        if node in self._map.nvas and not own:
            by = self._map.nvas[node].translates(packet.destination, egress.nic)
            packet = packet if by is None else replace(packet, source=self._tables.azure.nic[by].address)
        public = self._map.translated(node, egress.to or packet.destination) if egress.nic is None and not own else None
        packet = packet if public is None else replace(packet, source=public)
        if node in self._map.firewalls and way.forwarded and route.drops is None:
            ends, admits = self._judged(node, packet)
            if translates(packet.destination):
                packet = replace(packet, source=self._map.address[node])
        silent, restores = self._of_ttl(way, egress)
        step = RouterStep(
            node,
            way.address,
            packet,
            route,
            ends,
            inbound=self._inbound(way),
            restores_ttl=restores,
            silent=silent,
            translated=packet != before,
            admits=admits,
        )
        return Departure(replace(way, packet=packet), step, egress)

    def _of_ttl(self, way: InTransit, egress: Egress) -> tuple[bool, bool]:
        """Whether a node does not answer where a TTL ends, and whether it gives back what it takes of it.

        Between a tunnel and the network a gateway gives the TTL back, and from the network to a circuit
        [vpn-no-hop, expressroute-gateway-ttl].
        """
        node = way.node
        if egress.nic is None and node == self._map.internet:
            return False, True
        if node not in self._map.gateways:
            return False, False
        if self._inbound(way) and self._map.gateways[node] is PeerKind.EXPRESSROUTE_GATEWAY:
            return True, False
        passes_through = way.by_network is (egress.nic is None)
        return False, passes_through and not (way.by_sibling and self._to_sibling(node, egress))

    def _judged(self, node: str, packet: Packet) -> tuple[Disposition, str]:
        """What a firewall's instance makes of a packet by its rules, and what these let through between its ends."""
        rules = self._tables.azure.firewall[self._map.firewalls[node]].rules
        if self._probe is Probing.ICMP_ERROR:
            return Disposition.FORWARDED, ""
        found = admitted(rules, packet.source, packet.destination)
        passes = bool(found)
        if self._probe is Probing.TRACEROUTE:
            action = decides(rules, packet.source, packet.destination, UDP, TRACEROUTE_PORT)
            passes = action is RuleAction.ALLOW
        return Disposition.FORWARDED if passes else Disposition.DENIED, services(found)

    def _inbound(self, way: InTransit) -> bool:
        """Whether a gateway has a packet by a circuit or a tunnel."""
        return way.node in self._map.gateways and way.by_network is False

    def _to_sibling(self, node: str, egress: Egress) -> bool:
        """Whether a VPN gateway's instance sends a packet to the other one."""
        far = self._map.far_end(node, egress.to) if egress.to is not None else None
        return far is not None and self._map.between(node, far) == SIBLING
