"""The one walker: a packet's way through a lab, from table to table, whatever the tables are read from. Pure.

`labkit.predict.tables` has them from a prediction, `labkit.operate.trace.tables` from a running lab's kernels and
controller. In virtual networks `labkit.azure.forwarding` decides; a router's table decides everywhere else.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from functools import cache
from ipaddress import IPv4Address, IPv4Network
from itertools import chain
from typing import Protocol

from labkit.azure.flows import UDP
from labkit.azure.forwarding import Disposition, Packet, Surroundings, Verdict, forward
from labkit.azure.model import Azure, EffectiveRoute, InstanceId, Nic, PeerKind, RuleAction
from labkit.azure.rules.firewalls import admitted, decides, services, translates
from labkit.azure.rules.gateways import sibling
from labkit.lab.connections import unconnected
from labkit.lab.model import Lab
from labkit.lab.plan.nodes import addresses, link_ends, owners
from labkit.lab.plan.speakers import overlays
from labkit.lab.plan.tunnels import public_address

OVERLAY = "in the overlay"

SIBLING = "to the gateway's other instance"

TRACEROUTE_PORT = 33434
"""The first port to which traceroute sends."""

NO_ADDRESS = IPv4Address("0.0.0.0")  # noqa: S104 - the source of a packet whose address is yet to be chosen


@dataclass(frozen=True, slots=True)
class Egress:
    """A way out of a node: by its NIC named `nic`; without one over a link, to the gateway `to` or the destination.

    Out of a NIC the fabric decides where a packet gets, whatever gateway it is sent to.
    """

    nic: str | None = None
    to: IPv4Address | None = None


ON_LINK = (Egress(),)
"""The egresses of a route over a link whose far end is the destination."""


@dataclass(frozen=True, slots=True)
class Route:
    """What a node's own table has for a destination: packets leave by one of the `egresses`, every flow by the same.

    The node's own ones get the address `source`, or that of the interface by which they leave. Or packets go nowhere:
    `drops` is the reason, and a `silent` route drops without an answer.
    """

    prefix: IPv4Network | None = None
    egresses: tuple[Egress, ...] = ()
    source: IPv4Address | None = None
    drops: Disposition | None = None
    silent: bool = False

    @classmethod
    def by_nic(cls, prefix: IPv4Network, nic: str) -> Route:
        """A route out of a NIC."""
        return cls(prefix, (Egress(nic),))

    @classmethod
    def over_link(cls, prefix: IPv4Network, *gateways: IPv4Address) -> Route:
        """A route over links, to gateways."""
        return cls(prefix, tuple(Egress(to=gateway) for gateway in gateways))

    @classmethod
    def connected(cls, prefix: IPv4Network, own: IPv4Address | None = None) -> Route:
        """The route to the network of a link, where the node's address is `own`."""
        return cls(prefix, ON_LINK, own)


class RoutingTables(Protocol):
    """The tables of a lab, at one point in time."""

    @property
    def azure(self) -> Azure:
        """Azure's objects."""
        ...

    @property
    def off(self) -> Collection[str]:
        """The nodes that are powered off."""
        ...

    def row(self, nic: str, destination: IPv4Address) -> EffectiveRoute | None:
        """A NIC's effective route for a destination; None if it has none."""
        ...

    def route(self, node: str, packet: Packet, *, inbound: bool = False) -> Route:
        """What a node's own table has for a packet, which a gateway may have by a circuit or a tunnel (`inbound`)."""
        ...

    def surroundings(self, virtual_network: str) -> Surroundings:
        """What the fabric of a virtual network knows apart from effective routes."""
        ...


@dataclass(frozen=True, slots=True)
class NextHop:
    """A next hop: its address, and the node that gets what is sent there; None if nobody has it."""

    address: IPv4Address
    node: str | None


class Follow(Protocol):
    """Which of equal next hops are followed, and what a traceroute shows. `position` counts hops from 0."""

    def among(self, position: int, hops: Sequence[NextHop]) -> Sequence[NextHop]:
        """Those of some next hops, at least one, that are followed."""
        ...

    def answers_from(self, position: int, node: str, source: IPv4Address, arrived_at: IPv4Address) -> IPv4Address:
        """The address from which a node answers `source` when a TTL has ended there."""
        ...


class Probing(Enum):
    """What packets are sent to find a way, as firewalls distinguish them."""

    TRACEROUTE = "traceroute's UDP"
    ICMP_ERROR = "its answers"


class Everything:
    """Follows every next hop; a node answers from the address at which it is reached."""

    def among(self, position: int, hops: Sequence[NextHop]) -> Sequence[NextHop]:  # noqa: ARG002 - see Follow
        """All of them."""
        return hops

    def answers_from(
        self,
        position: int,  # noqa: ARG002 - see Follow
        node: str,  # noqa: ARG002
        source: IPv4Address,  # noqa: ARG002
        arrived_at: IPv4Address,
    ) -> IPv4Address:
        """The address at which it is reached."""
        return arrived_at


@dataclass(frozen=True, slots=True)
class RouterStep:
    """A node's own table has decided: `next_hop` is where the packet goes, None if it goes by a NIC or nowhere.

    `between` is what connects the two nodes, if it is more than a link. `inbound`: a gateway has it by a circuit or a
    tunnel. `restores_ttl`: a gateway, or the Internet, is no hop here. `silent`: it is one, but does not answer where a
    TTL ends. `translated`: the packet has got its source here. `admits`: what a firewall lets through between the
    packet's addresses, if it is not everything.
    """

    node: str
    address: IPv4Address
    packet: Packet
    route: Route
    disposition: Disposition
    next_hop: NextHop | None = None
    between: str = ""
    inbound: bool = False
    restores_ttl: bool = False
    silent: bool = False
    translated: bool = False
    admits: str = ""


@dataclass(frozen=True, slots=True)
class FabricStep:
    """The fabric of `virtual_network` has decided, by a NIC's effective route `row`.

    `verdicts` are those of all next hops, `verdict` the one that was followed. With `carries` the packet is that of an
    overlay, in which the other one travels.
    """

    virtual_network: str
    nic: Nic
    packet: Packet
    row: EffectiveRoute | None
    verdicts: tuple[Verdict, ...]
    verdict: Verdict
    carries: bool = False

    @property
    def disposition(self) -> Disposition:
        """What becomes of the packet here."""
        return self.verdict.disposition


@dataclass(frozen=True, slots=True)
class EndStep:
    """The packet is at a node, and its way ends there."""

    node: str
    address: IPv4Address
    disposition: Disposition


Step = RouterStep | FabricStep | EndStep


@dataclass(frozen=True, slots=True)
class Walk:
    """A packet's whole way from node `source`, whose address `origin` it has.

    `hops` are what a traceroute shows: None for a hop that does not answer.
    """

    source: str
    origin: IPv4Address
    steps: tuple[Step, ...]
    hops: tuple[IPv4Address | None, ...]

    @property
    def disposition(self) -> Disposition:
        """How it ends."""
        return self.steps[-1].disposition

    @property
    def nodes(self) -> tuple[str, ...]:
        """The nodes that have forwarded it or got it, in order, the source left out."""
        found = [step.node for step in self.steps if isinstance(step, RouterStep | EndStep)]
        return tuple(found[1:] if found[:1] == [self.source] else found)


@dataclass(frozen=True, slots=True)
class _Way:
    """What there is of a way so far: the packet is at `node`, to which it came over a link or out of a network.

    `forwarded` are the nodes that have forwarded it, each with whether a gateway had it from outside: that one may have
    it once more, out of the network.
    """

    source: str
    origin: IPv4Address
    node: str
    address: IPv4Address
    packet: Packet
    by_network: bool | None = None
    steps: tuple[Step, ...] = ()
    hops: tuple[IPv4Address | None, ...] = ()
    forwarded: tuple[tuple[str, bool], ...] = ()

    @property
    def by_sibling(self) -> bool:
        """Whether a gateway's instance has it from the other one, in their tunnel."""
        last = self.steps[-1] if self.steps else None
        return self.by_network is True and isinstance(last, FabricStep) and last.carries

    def ends(self, step: Step, *, unseen: bool = False) -> Walk:
        """The whole way, with its last step; at an `unseen` one no TTL is seen to end."""
        return Walk(self.source, self.origin, (*self.steps, step), self.hops[:-1] if unseen else self.hops)

    def ends_here(self, disposition: Disposition) -> Walk:
        """The whole way, if it ends at the node where the packet is."""
        return self.ends(EndStep(self.node, self.address, disposition))


@dataclass(frozen=True, slots=True)
class _Leaving:
    """A packet that leaves a node by one way out: its way there, the decision, and the egress."""

    way: _Way
    step: RouterStep
    egress: Egress

    def goes_on(self, step: RouterStep) -> _Way:
        """Its way so far, with this step."""
        hops = self.way.hops[:-1] if step.restores_ttl else self.way.hops
        hops = (*hops[:-1], None) if step.silent else hops
        return replace(
            self.way,
            steps=(*self.way.steps, step),
            hops=hops,
            forwarded=(*self.way.forwarded, (step.node, step.inbound)),
        )


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
        self._lab, self._tables = lab, tables
        self._follow: Follow = follow if follow is not None else Everything()
        self._circles = circles
        self._probe = probe
        self._owners = owners(lab)
        self._addresses = addresses(lab)
        self._mine: dict[str, set[IPv4Address]] = {}
        """Every node's addresses. Unrelated virtual networks may overlap, so `owners` may name another node."""
        known = [(node, address) for address, node in self._owners.items()]
        of_nics = [(nic.machine, address) for nic in lab.azure.nics for address in nic.addresses]
        for node, address in (*known, *of_nics, *self._addresses.items()):
            self._mine.setdefault(node, set()).add(address)
        self._gateways = {i.node: gateway.kind for gateway in lab.azure.gateways for i in gateway.instance_ids}
        self._firewalls = {i.node: i.name for firewall in lab.azure.firewalls for i in firewall.instance_ids}
        self._routers = {*lab.nva, *lab.site, *lab.azure.circuit, *self._gateways, *self._firewalls}
        self._between = dict(_between(lab))
        self._closed = unconnected(lab, tables.azure)
        self._ends = {
            pair: nic
            for overlay in lab.overlays
            for pair, nic in zip((overlay.nvas, overlay.nvas[::-1]), overlay.nics, strict=True)
        }
        """The NIC of an end of an overlay or a tunnel, by its NVA or gateway's instance and the node at the far end."""
        self._sent_to = {(nva.name, end.far.name): end.sent_to for nva in lab.nvas for end in overlays(lab, nva)}
        for tunnel in (tunnel for nva in lab.nva for tunnel in lab.tunnels_of(nva)):
            pair = tunnel.near.node, tunnel.far.node
            self._ends[pair] = lab.azure.primary_nic(tunnel.near.node).name
            self._sent_to[pair] = public_address(lab, tunnel.far.node)
        for instance, other in _siblings(lab):
            self._ends[instance.node, other.node] = lab.azure.primary_nic(instance.node).name
            self._sent_to[instance.node, other.node] = lab.azure.gateway[other.name].instances[other.index]
        self._own_ends = {(node, far): own for node, own, far in link_ends(lab)}
        """A node's own address on a link, by the node and the address at the far end."""
        self._surroundings = cache(tables.surroundings)

    def walks(self, node: str, destination: IPv4Address, source: IPv4Address | None = None) -> Iterator[Walk]:
        """The ways of a packet from a node on; `source` is its address, if it is not what the node's kernel chooses.

        There are several where flows are shared among next hops.
        """
        origin = source if source is not None else self._addresses[node]
        address = origin if self._has(node, origin) else self._addresses[node]
        way = _Way(node, origin, node, address, Packet(source or NO_ADDRESS, destination))
        if self._has(node, destination):
            way = replace(way, address=destination, hops=(destination,))  # a machine answers itself, as one hop
        yield from self._at(way)

    def _at(self, way: _Way) -> Iterator[Walk]:
        """What becomes of a packet at the node where it is."""
        end = self._end(way)
        if end is not None:
            # A machine drops what is for others before it looks at the TTL, without an answer.
            yield way.ends(EndStep(way.node, way.address, end), unseen=end is Disposition.NOT_A_ROUTER)
            return
        leaving = [self._leaving(way, route, packet) for route, packet in self._routes(way)]
        for each in self._taken(leaving):
            if each.step.disposition.drops:
                yield each.way.ends(each.step, unseen=each.step.route.silent and bool(way.forwarded))
            elif each.egress.nic is not None:
                yield from self._cross(each.goes_on(each.step), each.egress.nic)
            else:
                yield from self._over_link(each)

    def _routes(self, way: _Way) -> Iterator[tuple[Route, Packet]]:
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

    def _inbound(self, way: _Way) -> bool:
        """Whether a gateway has a packet by a circuit or a tunnel."""
        return way.node in self._gateways and way.by_network is False

    def _to_sibling(self, node: str, egress: Egress) -> bool:
        """Whether a VPN gateway's instance sends a packet to the other one."""
        far = self._owners.get(egress.to) if egress.to is not None else None
        return far is not None and self._between.get(frozenset((node, far))) == SIBLING

    def _near(self, node: str, egress: Egress, destination: IPv4Address) -> IPv4Address:
        """The address of a node's own at an egress."""
        if egress.nic is not None:
            return self._tables.azure.nic[egress.nic].address
        return self._own_ends.get((node, egress.to or destination), self._addresses[node])

    def _leaving(self, way: _Way, route: Route, packet: Packet) -> _Leaving:
        """A packet as it leaves the node where it is, by one way out."""
        node, own = way.node, self._has(way.node, packet.source)
        egress = next(iter(route.egresses), Egress())
        way = replace(way, origin=packet.source, address=packet.source) if own and not way.forwarded else way
        before, ends, admits = packet, route.drops or Disposition.FORWARDED, ""
        # An appliance's own packets stay as they are.
        if node in self._lab.nva and not own:
            by = self._lab.nva[node].translates(packet.destination, egress.nic)
            packet = packet if by is None else replace(packet, source=self._lab.azure.nic[by].address)
        if node in self._firewalls and way.forwarded and route.drops is None:
            ends, admits = self._judged(node, packet)
            if translates(packet.destination):
                packet = replace(packet, source=self._addresses[node])
        # Between a tunnel and the network a gateway gives the TTL back, and from the network to a circuit
        # [vpn-no-hop, expressroute-gateway-ttl].
        inbound = self._inbound(way)
        silent = inbound and self._gateways[node] is PeerKind.EXPRESSROUTE_GATEWAY
        restores = not silent and node in self._gateways and way.by_network is (egress.nic is None)
        restores = restores and not (way.by_sibling and self._to_sibling(node, egress))
        restores = restores or (egress.nic is None and node == self._internet)
        step = RouterStep(
            node,
            way.address,
            packet,
            route,
            ends,
            inbound=inbound,
            restores_ttl=restores,
            silent=silent,
            translated=packet != before,
            admits=admits,
        )
        return _Leaving(replace(way, packet=packet), step, egress)

    def _taken(self, leaving: Sequence[_Leaving]) -> Sequence[_Leaving]:
        """Those ways out of a node that are followed."""
        if len(leaving) < 2:
            return leaving
        hops = [tuple(self._next(each)) for each in leaving]
        position = len(leaving[0].way.hops) - leaving[0].step.restores_ttl
        followed = self._follow.among(position, tuple(dict.fromkeys(chain.from_iterable(hops))))
        return [each for each, its in zip(leaving, hops, strict=True) if not {*its}.isdisjoint(followed)]

    def _next(self, leaving: _Leaving) -> Iterator[NextHop]:
        """The next hops of a packet by one way out, at least one."""
        destination = leaving.way.packet.destination
        if leaving.egress.nic is None:
            address = leaving.egress.to or destination
            yield NextHop(address, self._owners.get(address))
            return
        nic = self._tables.azure.nic[leaving.egress.nic]
        for verdict in self._verdicts(nic, leaving.way.packet)[1]:
            if verdict.disposition is Disposition.INTERNET:
                yield NextHop(destination, self._internet)
            else:
                yield NextHop(verdict.next_hop or destination, verdict.nic.machine if verdict.nic is not None else None)

    def _over_link(self, leaving: _Leaving) -> Iterator[Walk]:
        """What becomes of a packet that leaves a node over a link."""
        (hop,) = self._next(leaving)
        way, step, node = leaving.way, replace(leaving.step, next_hop=hop), leaving.step.node
        if hop.node is None:
            yield way.ends(replace(step, disposition=Disposition.UNKNOWN_DESTINATION, restores_ttl=False))
            return
        ends = frozenset((node, hop.node))
        if ends in self._closed:
            yield way.ends(replace(step, disposition=Disposition.NOT_CONNECTED, restores_ttl=False))
            return
        between = self._between.get(ends, "")
        way = replace(leaving.goes_on(replace(step, between=between)), by_network=False)
        if (node, hop.node) in self._ends:
            carrying = self._carrying(node, hop.node)
            # What a gateway's instance has from the other one is no packet from outside.
            way = replace(way, steps=(*way.steps, carrying), by_network=between == SIBLING)
            if carrying.disposition.drops:
                yield Walk(way.source, way.origin, way.steps, way.hops)
                return
        yield from self._arrive(way, hop.node, hop.address)

    def _judged(self, node: str, packet: Packet) -> tuple[Disposition, str]:
        """What a firewall's instance makes of a packet by its rules, and what these let through between its ends."""
        rules = self._tables.azure.firewall[self._firewalls[node]].rules
        if self._probe is Probing.ICMP_ERROR:
            return Disposition.FORWARDED, ""
        found = admitted(rules, packet.source, packet.destination)
        passes = bool(found)
        if self._probe is Probing.TRACEROUTE:
            action = decides(rules, packet.source, packet.destination, UDP, TRACEROUTE_PORT)
            passes = action is RuleAction.ALLOW
        return Disposition.FORWARDED if passes else Disposition.DENIED, services(found)

    def _end(self, way: _Way) -> Disposition | None:
        """Why a packet's way ends at the node where it is; None if it goes on."""
        node, packet = way.node, way.packet
        if self._has(node, packet.destination):
            return Disposition.DELIVERED
        visit = node, self._inbound(way)
        again = len({*way.forwarded}) < len(way.forwarded) or visit in way.forwarded
        if self._circles and len(way.hops) >= self._circles:
            return Disposition.LOOP if again else Disposition.TTL
        if not self._circles and visit in way.forwarded:
            return Disposition.LOOP
        if way.forwarded and node not in self._routers and node != self._internet:
            return Disposition.NOT_A_ROUTER
        return None

    def _has(self, node: str, address: IPv4Address) -> bool:
        return address in self._mine[node]

    @property
    def _internet(self) -> str | None:
        return self._lab.internet.name if self._lab.internet is not None else None

    def _cross(self, way: _Way, name: str) -> Iterator[Walk]:
        """What the fabric does with a packet out of a NIC."""
        nic = self._tables.azure.nic[name]
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

    def _followed(self, way: _Way, verdicts: Sequence[Verdict]) -> Iterator[Verdict]:
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

    def _leave(self, way: _Way, step: FabricStep) -> Iterator[Walk]:
        """The Internet gets a packet out of a virtual network: for its host, or for a public address."""
        internet = self._lab.internet
        public = () if internet is None else (internet.host, *internet.translated.values(), *internet.public.values())
        if internet is not None and way.packet.destination in public:
            yield from self._arrive(
                replace(way, steps=(*way.steps, step), by_network=True), internet.name, internet.host
            )
        else:
            yield way.ends(replace(step, verdict=Verdict(Disposition.UNKNOWN_DESTINATION)))

    def _arrive(self, way: _Way, node: str, arrived_at: IPv4Address) -> Iterator[Walk]:
        """What becomes of a packet that gets to a node at one of its addresses."""
        way = replace(way, node=node, address=arrived_at)
        mine = self._has(node, way.packet.destination)
        if self._has(node, way.packet.source):
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

    def _carrying(self, node: str, far: str) -> FabricStep:
        """What the fabric decides of the packet in which an overlay or a tunnel carries another one to its far end."""
        nic = self._tables.azure.nic[self._ends[node, far]]
        packet = Packet(nic.address, self._sent_to[node, far])
        row, verdicts = self._verdicts(nic, packet)
        verdict = verdicts[0]
        if verdict.disposition in (Disposition.FORWARDED, Disposition.INTERNET):
            way = _Way(node, nic.address, node, nic.address, packet, forwarded=((node, False),))
            ends = {walk.disposition for walk in self._cross(way, nic.name)}
            verdict = verdict if Disposition.DELIVERED in ends else Verdict(min(ends))
        return FabricStep(nic.virtual_network, nic, packet, row, verdicts, verdict, carries=True)


def _between(lab: Lab) -> Iterator[tuple[frozenset[str], str]]:
    for gateway in lab.gateways:
        for line in gateway.lines:
            yield frozenset((InstanceId(gateway.name, line.instance).node, line.circuit)), f"over {line.circuit}"
    for tunnel in lab.tunnels:
        yield frozenset((tunnel.near.node, tunnel.far.node)), "in the VPN tunnel"
    for overlay in lab.overlays:
        yield frozenset(overlay.nvas), OVERLAY
    for instance, other in _siblings(lab):
        yield frozenset((instance.node, other.node)), SIBLING


def _siblings(lab: Lab) -> Iterator[tuple[InstanceId, InstanceId]]:
    """The pairs of instances of VPN gateways, both ways round."""
    for gateway in lab.azure.gateways:
        for instance in gateway.instance_ids:
            other = sibling(lab.azure, instance)
            if other is not None:
                yield instance, other
