"""A way's steps in words, each with the route that decided and why that one won."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Address

from labkit.azure.forwarding import Disposition, Surroundings
from labkit.azure.model import ON_LINK, NextHopType
from labkit.lab.model import Lab
from labkit.lab.plan.nodes import frontends, owners
from labkit.operate.look.kernel import gateways
from labkit.operate.trace.choice import LONGER, Beaten, Choice, nic_choice
from labkit.operate.trace.tables import AGENT, BLACKHOLE, NO_ROUTE, UNREAD, KernelRoute, ObservedTables
from labkit.predict.walk.steps import EndStep, FabricStep, RouterStep, Step, Walk

_PROTOCOLS = {AGENT: "agent", "": "from boot on"}
_AT_NODE = {
    Disposition.OFF: "the node is powered off",
    Disposition.OWN_SOURCE: "the packet comes back to the node whose source address it has",
    Disposition.NOT_A_ROUTER: "the node does not forward packets",
    Disposition.TTL: "its TTL expires",
}


@dataclass(frozen=True, slots=True)
class TraceLine:
    """One decision at `place`: `decision` is what it chose, `why` because of what. A fabric has no `address`.

    `choice` is which route of which table won, and over what; None where no route decides.
    """

    place: str
    address: str
    decision: str
    why: str
    choice: Choice | None = None


class Explainer:
    """Explains ways through a running lab."""

    def __init__(self, lab: Lab, tables: ObservedTables) -> None:
        self._lab, self._tables = lab, tables
        self._owners = owners(lab)
        self._frontends = frontends(lab)
        self._gateways = {i.node for gateway in lab.azure.gateways for i in gateway.instance_ids}

    def lines(self, walk: Walk) -> Iterator[TraceLine]:
        """The steps of a way; a loop is shown once."""
        shown: set[TraceLine] = set()
        again: TraceLine | None = None
        for step in walk.steps:
            if isinstance(step, EndStep) and step.disposition is Disposition.LOOP:
                continue
            line = self.line(step)
            if line not in shown:
                shown.add(line)
                yield line
            elif again is None:
                again = line
        if again is not None:
            yield TraceLine(again.place, again.address, "loops", "from here on the path repeats until the TTL expires")

    def line(self, step: Step) -> TraceLine:
        """A step in words."""
        match step:
            case RouterStep():
                return self._at_router(step)
            case FabricStep(carries=True):
                return self._carried(step)
            case FabricStep():
                return self._in_fabric(step)
            case EndStep(disposition=Disposition.DELIVERED):
                return TraceLine(step.node, str(step.address), "delivered", "")
            case EndStep():
                return TraceLine(step.node, str(step.address), "dropped", _AT_NODE[step.disposition])

    # Nodes.

    def _at_router(self, step: RouterStep) -> TraceLine:
        node, destination = step.node, step.packet.destination
        # The route was chosen before the packet got another source.
        own = None if step.translated else self._tables.own(node, step.packet.source)
        route = self._tables.kernel(node, destination, own, step.inbound)
        if step.route.drops is not None:
            return replace(self._lost(node, route), address=str(step.address))
        leads = ", ".join(map(str, gateways(route.hops))) or f"on-link {route.hops[0].device}"
        by = "what comes from outside goes to the fabric" if step.inbound else self._by(node, route)
        decision, why = f"{route.prefix} → {leads}", f"kernel: {by}"
        if step.disposition is Disposition.DENIED:
            only = f": {step.admits}" if step.admits else ""
            return TraceLine(node, str(step.address), "denied", f"as UDP, by the firewall's rules here{only}")
        why += f"; the firewall's rules here: {step.admits}" if step.admits else ""
        why += f"; SNAT to {step.packet.source}" if step.translated else ""
        if step.disposition is Disposition.UNKNOWN_DESTINATION and step.next_hop is not None:
            decision, why = f"{decision} → dropped", f"{why}; no node there has {step.next_hop.address}"
        if step.disposition is Disposition.NOT_CONNECTED:
            decision, why = f"{decision} → dropped", f"{why}; the connection is deleted"
        why += f"; {step.between}" if step.between else ""
        why += "; does not decrement the TTL" if step.restores_ttl else ""
        why += "; decrements the TTL, but does not answer" if step.silent else ""
        choice = None if step.inbound else self._kernel_choice(node, route)
        return TraceLine(node, str(step.address), decision, why, choice)

    def _lost(self, node: str, route: KernelRoute) -> TraceLine:
        """The line of a kernel by which packets do not leave."""
        if route.type == NO_ROUTE:
            return TraceLine(node, "", "no route", "its kernel has no route")
        if route.type == UNREAD:
            why = "its kernel's routes can't be read: the ip of its image has no JSON output (iproute2 has)"
            return TraceLine(node, "", "not known from here on", why)
        what = "a black hole" if route.type == BLACKHOLE else "a route that rejects it"
        why = f"{what} in its kernel, by {self._by(node, route)}"
        return TraceLine(node, "", f"{route.prefix} → dropped", why, self._kernel_choice(node, route))

    def _by(self, node: str, route: KernelRoute) -> str:
        """Who wrote a kernel's route, in a word or two."""
        if node in self._gateways and route.protocol == "static":
            devices = {hop.device for hop in route.hops}
            by_nic = any(nic.interface in devices for nic in self._tables.azure.nics_of(node))
            return "static, a virtual network's range" if by_nic else "static, local network gateway"
        return _PROTOCOLS.get(route.protocol, f"proto {route.protocol}")

    def _kernel_choice(self, node: str, route: KernelRoute) -> Choice:
        by_bgp = route.type != NO_ROUTE and self._tables.live.is_by_bgp(node, route.prefix, route.protocol)
        paths = self._tables.bgp(node, route.prefix) if by_bgp else ()
        # What an agent has written follows from the NIC's effective routes, which have their own step.
        shorter = () if route.protocol == AGENT else route.shorter
        beaten = tuple(Beaten(prefix, "", LONGER) for prefix in shorter)
        table = f"kernel of {node}" + (", from its BGP table" if by_bgp else "")
        return Choice(table, route.prefix, self._by(node, route), len(route.hops), paths, beaten)

    # Virtual networks.

    def _carried(self, step: FabricStep) -> TraceLine:
        """What carries an overlay's packets."""
        choice = self._nic_choice(step)
        why = f"in the underlay: effective route of {step.nic.name}'s NIC"
        if step.disposition.drops or step.row is None or choice is None:
            lost = f"{why} to {step.packet.destination} does not lead there ({step.disposition})"
            return TraceLine(step.virtual_network, "", "dropped", lost, choice)
        to = self._owners.get(step.packet.destination, str(step.packet.destination))
        return TraceLine(
            step.virtual_network, "", f"{choice.prefix} → {to}", f"{why}, source {step.row.source}", choice
        )

    def _in_fabric(self, step: FabricStep) -> TraceLine:
        fabric, name, row, destination = step.virtual_network, step.nic.name, step.row, step.packet.destination
        if step.disposition is Disposition.FOREIGN_SOURCE:
            return TraceLine(fabric, "", "dropped", f"IP forwarding is off on {name}'s NIC")
        choice = self._nic_choice(step)
        if row is None or choice is None:
            return TraceLine(fabric, "", "dropped", f"no effective route of {name}'s NIC")
        why = f"effective route of {name}'s NIC, source {row.source}"

        def line(to: str, because: str) -> TraceLine:
            return TraceLine(fabric, "", f"{row.prefix} → {to}", because, choice)

        if row.next_hop_type is NextHopType.INTERNET:
            if self._lab.internet is None:
                return line("Internet", "this lab has no Internet")
            return line("Internet", f"{why}; no node there has this address" if step.disposition.drops else why)
        surroundings = self._tables.surroundings(fabric)
        hops = [destination] if row.next_hop_type in ON_LINK else [*row.next_hops]
        names = ", ".join(self._name(surroundings, hop) for hop in hops)
        nic = step.verdict.nic
        match step.disposition:
            case Disposition.NONE:
                return line("dropped", f"a black hole: {why}, next hop type None")
            case Disposition.UNKNOWN_DESTINATION if row.next_hop_type not in ON_LINK:
                return line("dropped", f"{why}; no node has {step.verdict.next_hop}")
            case Disposition.UNKNOWN_DESTINATION:
                return line("dropped", f"{why}; no node in a virtual network has {destination}")
            case Disposition.NO_BACKEND:
                return line(f"{names} → dropped", f"{why}; no backend is up")
            case Disposition.NOT_FORWARDED if nic is not None:
                return line("dropped", f"{why}; IP forwarding is off on {nic.name}'s NIC")
            case Disposition.NOT_ACCEPTED if nic is not None:
                networks = f"{nic.virtual_network} accepts nothing from {fabric}"
                return line("dropped", f"{why}; {networks} that is only forwarded there")
            case _:
                return line(names, why)

    def _nic_choice(self, step: FabricStep) -> Choice | None:
        return nic_choice(step.nic.name, self._tables.decision(step.nic.name, step.packet.destination))

    def _name(self, surroundings: Surroundings, next_hop: IPv4Address) -> str:
        """A next hop in words: `nva1`, or `lb1 → nva1 | nva2`."""
        if next_hop not in self._frontends:
            nic = surroundings.reachable.get(next_hop)
            return nic.machine if nic is not None else str(next_hop)
        up = [b.address for b in surroundings.frontends.get(next_hop, ()) if b.up]
        backends = " | ".join(self._owners[backend] for backend in up)
        return f"{self._frontends[next_hop]} → {backends}" if backends else self._frontends[next_hop]
