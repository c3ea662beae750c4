"""The one walker: follows a packet from table to table, between nodes and through virtual networks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from ipaddress import IPv4Address
from itertools import chain

from labkit.azure.forwarding import Disposition, Packet, Verdict, forward
from labkit.azure.model import EffectiveRoute, Nic
from labkit.lab.model import Lab
from labkit.predict.walk.follow import Everything, Follow
from labkit.predict.walk.lab_map import SIBLING, Carrier, LabMap
from labkit.predict.walk.nodes import NO_ADDRESS, NodeForwarding, Probing
from labkit.predict.walk.routing import RoutingTables
from labkit.predict.walk.steps import FabricStep, NextHop, Walk
from labkit.predict.walk.transit import Departure, InTransit


class Walker:
    """Follows packets through the tables of a lab.

    Args:
        follow: which of equal next hops.
        circles: how many hops of a loop are followed before it is called one; 0 for none.
        probe: what firewalls judge packets as; without it they drop what none of their rules may let through.
    """

    def __init__(
        self,
        lab: Lab,
        tables: RoutingTables,
        follow: Follow | None = None,
        circles: int = 0,
        probe: Probing | None = None,
    ) -> None:
        self._tables = tables
        self._follow: Follow = follow if follow is not None else Everything()
        self._map = LabMap(lab, tables.azure)
        self._nodes = NodeForwarding(self._map, tables, circles, probe)
        self._internet = lab.internet
        self._surroundings = cache(tables.surroundings)

    def walks(self, node: str, destination: IPv4Address, source: IPv4Address | None = None) -> Iterator[Walk]:
        """The ways of a packet from a node on; `source` is its address, if it is not what the node's kernel chooses.

        There are several where flows are shared among next hops.
        """
        known = self._map.address[node]
        origin = source if source is not None else known
        address = origin if self._map.has(node, origin) else known
        way = InTransit(node, origin, node, address, Packet(source or NO_ADDRESS, destination))
        if self._map.has(node, destination):
            way = replace(way, address=destination, hops=(destination,))  # a machine answers itself, as one hop
        yield from self._at(way)

    def _at(self, way: InTransit) -> Iterator[Walk]:
        """What becomes of a packet at the node where it is."""
        end = self._nodes.end(way)
        if end is not None:
            # A machine drops what is for others before it looks at the TTL, without an answer.
            yield way.ends_here(end, unseen=end is Disposition.NOT_A_ROUTER)
            return
        for each in self._taken(self._nodes.departures(way)):
            if each.step.disposition.drops:
                yield each.way.ends(each.step, unseen=each.step.route.silent and bool(way.forwarded))
            elif each.egress.nic is not None:
                yield from self._cross(each.goes_on(each.step), self._tables.azure.nic[each.egress.nic])
            else:
                yield from self._over_link(each)

    def _taken(self, departures: Sequence[Departure]) -> Sequence[Departure]:
        """Those ways out of a node that are followed."""
        if len(departures) < 2:
            return departures
        hops = [tuple(self._next(each)) for each in departures]
        position = len(departures[0].way.hops) - departures[0].step.restores_ttl
        followed = self._follow.among(position, tuple(dict.fromkeys(chain.from_iterable(hops))))
        return [each for each, its in zip(departures, hops, strict=True) if not {*its}.isdisjoint(followed)]

    def _next(self, departure: Departure) -> Iterator[NextHop]:
        """The next hops of a packet by one way out, at least one."""
        destination = departure.way.packet.destination
        if departure.egress.nic is None:
            address = departure.egress.to or destination
            yield NextHop(address, self._map.far_end(departure.step.node, address))
            return
        nic = self._tables.azure.nic[departure.egress.nic]
        for verdict in self._verdicts(nic, departure.way.packet)[1]:
            if verdict.disposition is Disposition.INTERNET:
                yield NextHop(destination, self._map.internet)
            else:
                yield NextHop(verdict.next_hop or destination, verdict.nic.machine if verdict.nic is not None else None)

    def _over_link(self, departure: Departure) -> Iterator[Walk]:
        """What becomes of a packet that leaves a node over a link."""
        (hop,) = self._next(departure)
        way, step, node = departure.way, replace(departure.step, next_hop=hop), departure.step.node
        if hop.node is None:
            yield way.ends(replace(step, disposition=Disposition.UNKNOWN_DESTINATION, restores_ttl=False))
            return
        if self._map.closed(node, hop.node):
            yield way.ends(replace(step, disposition=Disposition.NOT_CONNECTED, restores_ttl=False))
            return
        between = self._map.between(node, hop.node)
        way = replace(departure.goes_on(replace(step, between=between)), by_network=False)
        carrier = self._map.carrier(node, hop.node)
        if carrier is not None:
            carrying = self._carrying(node, carrier)
            if carrying.disposition.drops:
                yield way.ends(carrying)
                return
            # What a gateway's instance has from the other one is no packet from outside.
            way = replace(way, steps=(*way.steps, carrying), by_network=between == SIBLING)
        yield from self._arrive(way, hop.node, hop.address)

    def _carrying(self, node: str, carrier: Carrier) -> FabricStep:
        """What the fabric decides of the packet in which an overlay or a tunnel carries another one to its far end."""
        nic = self._tables.azure.nic[carrier.nic]
        packet = Packet(nic.address, carrier.to)
        row, verdicts = self._verdicts(nic, packet)
        verdict = verdicts[0]
        if verdict.disposition in (Disposition.FORWARDED, Disposition.INTERNET):
            way = InTransit(node, nic.address, node, nic.address, packet, forwarded=((node, False),))
            ends = {walk.disposition for walk in self._cross(way, nic)}
            verdict = verdict if Disposition.DELIVERED in ends else Verdict(min(ends))
        return FabricStep(nic.virtual_network, nic, packet, row, verdicts, verdict, carries=True)

    def _cross(self, way: InTransit, nic: Nic) -> Iterator[Walk]:
        """What the fabric does with a packet out of a NIC."""
        row, verdicts = self._verdicts(nic, way.packet)
        for verdict in self._followed(way, verdicts):
            step = FabricStep(nic.virtual_network, nic, way.packet, row, verdicts, verdict)
            on = replace(way, steps=(*way.steps, step), by_network=True)
            if verdict.disposition is Disposition.INTERNET:
                yield from self._leave(way, step)
            elif verdict.disposition.drops or verdict.nic is None or verdict.next_hop is None:
                yield way.ends(step)
            else:
                if verdict.disposition is Disposition.DELIVERED:  # a frontend's packets get a backend's address
                    on = replace(on, packet=replace(way.packet, destination=verdict.next_hop))
                yield from self._arrive(on, verdict.nic.machine, verdict.next_hop)

    def _verdicts(self, nic: Nic, packet: Packet) -> tuple[EffectiveRoute | None, tuple[Verdict, ...]]:
        """A NIC's effective route for a packet out of it, and what the fabric decides of each of its next hops."""
        row = self._tables.row(nic.name, packet.destination)
        return row, forward(self._tables.azure, self._surroundings(nic.virtual_network), nic, row, packet)

    def _followed(self, way: InTransit, verdicts: Sequence[Verdict]) -> Iterator[Verdict]:
        """Those of a fabric's verdicts that are followed: of equal next hops, some may be."""
        hops = {
            NextHop(v.next_hop, v.nic.machine if v.nic is not None else None): v
            for v in verdicts
            if v.next_hop is not None
        }
        if len(hops) < len(verdicts):
            yield from verdicts
        else:
            yield from (hops[hop] for hop in self._follow.among(len(way.hops), tuple(hops)))

    def _leave(self, way: InTransit, step: FabricStep) -> Iterator[Walk]:
        """The Internet gets a packet out of a virtual network: for its host, or for a public address."""
        internet = self._internet
        public = () if internet is None else (internet.host, *internet.translated.values(), *internet.public.values())
        if internet is not None and way.packet.destination in public:
            yield from self._arrive(
                replace(way, steps=(*way.steps, step), by_network=True), internet.name, internet.host
            )
        else:
            yield way.ends(replace(step, verdict=Verdict(Disposition.UNKNOWN_DESTINATION)))

    def _arrive(self, way: InTransit, node: str, arrived_at: IPv4Address) -> Iterator[Walk]:
        """What becomes of a packet that gets to a node at one of its addresses."""
        way = replace(way, node=node, address=arrived_at)
        mine = self._map.has(node, way.packet.destination)
        if self._map.has(node, way.packet.source):
            yield way.ends_here(Disposition.OWN_SOURCE)
        elif node in self._tables.off:
            yield way.ends_here(Disposition.OFF)
        else:
            position = len(way.hops)
            address = (
                way.packet.destination
                if mine
                else self._follow.answers_from(position, node, way.packet.source, arrived_at)
            )
            yield from self._at(replace(way, address=address, hops=(*way.hops, address)))
