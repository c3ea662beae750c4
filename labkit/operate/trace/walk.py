"""A packet's way through the lab, step by step, each with the route that decided it and why that one won.

Each step is read where it is decided: a node's own kernel says how a packet leaves it, and in a virtual network the
NIC's effective routes say where the fabric brings it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address

from labkit.azure.model import InstanceId, NextHopType
from labkit.azure.rules.adjacency import connected_peerings, takes_forwarded
from labkit.lab.model import Lab
from labkit.lab.plan.nodes import addresses, frontends, owners
from labkit.operate.look.probes import MAX_HOPS
from labkit.operate.trace.choice import LONGER, Beaten, Choice, nic_choice
from labkit.operate.trace.tables import BLACKHOLE, NO_ROUTE, Tables, Way

NIC_INTERFACE = "eth0"
ARRIVES_LOCALLY = (NextHopType.VNET_LOCAL, NextHopType.VNET_PEERING, NextHopType.VNET_GLOBAL_PEERING)
_AGENT = "65"
_PROTOCOLS = {_AGENT: "agent", "": "from boot on"}


@dataclass(frozen=True, slots=True)
class Step:
    """One decision at `place`: `decision` is what it chose, `why` because of what. A fabric has no `address`.

    `choice` says which route of which table won, and over what; None where no route decides.
    """

    place: str
    address: str
    decision: str
    why: str
    choice: Choice | None = None


@dataclass(frozen=True, slots=True)
class _Move:
    """Where a packet goes next: into the node's virtual network, or to `node`, which it reaches by `address`."""

    node: str = ""
    address: IPv4Address | None = None

    @property
    def into_network(self) -> bool:
        return not self.node


_INTO_NETWORK = _Move()
OVERLAY = "in the overlay"


def _between(lab: Lab) -> Iterator[tuple[frozenset[str], str]]:
    for gateway in lab.gateways:
        for line in gateway.lines:
            yield frozenset((InstanceId(gateway.name, line.instance).node, line.circuit)), f"over {line.circuit}"
        for tunnel in gateway.tunnels:
            yield frozenset((InstanceId(gateway.name, tunnel.instance).node, tunnel.site)), "in the VPN tunnel"
    for overlay in lab.overlays:
        yield frozenset(overlay.nvas), OVERLAY


class Walk:
    """Follows one destination from node to node. `hops` are the addresses met, `verdict` how it ended.

    Of equal next hops it takes the one that the real packet took: which flow gets which, no table says.
    """

    def __init__(self, lab: Lab, tables: Tables, destination: IPv4Address, real: Sequence[IPv4Address | None]) -> None:
        self._lab = lab
        self._tables = tables
        self._look = tables.look
        self._destination = destination
        self._real = real
        self._owners = owners(lab)
        self._frontends = frontends(lab)
        self._gateways = {i.node for gateway in lab.azure.gateways for i in gateway.instance_ids}
        self._ways = {line.edge: InstanceId(g.name, line.instance).node for g in lab.gateways for line in g.lines}
        """The gateway's instance that the fabric sends to for an address on Microsoft's side."""
        self._network = {nic.address: nic.virtual_network for nic in lab.azure.nics}
        """The virtual network in which each address is some node's."""
        for server in lab.azure.route_servers:
            self._network |= dict.fromkeys(server.instances, server.virtual_network)
        for gateway in lab.azure.gateways:
            self._network |= dict.fromkeys(gateway.instances, gateway.virtual_network)
        self._between = dict(_between(lab))
        """What is between two nodes: a circuit's line, a VPN's tunnel or an overlay."""
        self.hops: list[IPv4Address] = []
        self.verdict = "dropped"

    def steps(self, node: str, source: IPv4Address | None = None) -> Iterator[Step]:
        """The decisions from `node` on, until the packet arrives, is dropped or has circled for `MAX_HOPS`.

        A circle is shown once. `source` is the packet's, if it is not the node's own.
        """
        shown: set[Step] = set()
        again: Step | None = None
        if self._owners.get(self._destination) == node:
            self.hops.append(self._destination)  # a machine answers itself, as one hop
        for step in self._all(node, source):
            if step not in shown:
                shown.add(step)
                yield step
            elif again is None:
                again = step
        if again is not None:
            yield Step(again.place, again.address, "circles", "from here on it is the same again, until its TTL ends")

    def _all(self, node: str, source: IPv4Address | None) -> Iterator[Step]:
        """Every decision, those of a circle as often as they are made."""
        address = addresses(self._lab)[node]
        self._source = source or address
        first = node
        from_network: bool | None = None
        while self._owners.get(self._destination) != node:
            if len(self.hops) == MAX_HOPS:
                self.verdict = "circles until its TTL ends"
                return
            way = self._tables.way(node, self._destination)
            step, move = self._leave(node, way)
            if node in self._gateways and from_network is not None and move is not None:
                # Between a line or tunnel and the network a gateway gives the TTL back: nobody sees it.
                if move.into_network is not from_network:
                    self.hops.pop()
                    step = replace(step, why=f"{step.why}; takes no TTL")
            elif way.type == BLACKHOLE and node != first:
                self.hops.pop()  # it drops without a word; one without a route says so
            yield replace(step, address=str(address))
            if move is None:
                return
            from_network = move.into_network
            if move.into_network:
                step, move = self._cross(node)
                yield step
            elif self._between.get(frozenset((node, move.node))) == OVERLAY:
                step, leads = self._carried(node, move.node)
                yield step
                if not leads:
                    return
            if move is None or move.address is None:
                return
            if move.node == node and self._translates(node):
                yield Step(node, str(move.address), "dropped", "it comes back with the NVA's own source address")
                return
            node = move.node
            if node in self._look.off:
                yield Step(node, str(move.address), "dropped", "it is off")
                return
            arrived = self._owners.get(self._destination) == node
            address = self._destination if arrived else self._answers_from(node, move.address)
            self.hops.append(address)
        self.verdict = "delivered"
        yield Step(node, str(self._destination), "delivered", "")

    def _leave(self, node: str, way: Way) -> tuple[Step, _Move | None]:
        """What the node's kernel decides."""
        if not way.leads:
            return self._lost(node, way), None
        leads = ", ".join(map(str, way.gateways)) or f"on-link {way.device}"
        why = f"kernel: {self._by(node, way)}"
        if self._translates(node):
            why += f"; SNAT to {addresses(self._lab)[node]}"
        step = Step(node, "", f"{way.prefix} → {leads}", why, self._kernel_choice(node, way))
        if node in self._look.state["effective"] and way.device == NIC_INTERFACE:
            return step, _INTO_NETWORK
        neighbour = self._taken(way.gateways) if way.gateways else self._destination
        if neighbour not in self._owners:
            return replace(
                step, decision=f"{step.decision} → dropped", why=f"{why}; nobody there has {neighbour}"
            ), None
        there = self._owners[neighbour]
        between = self._between.get(frozenset((node, there)))
        return (step if between is None else replace(step, why=f"{why}; {between}")), _Move(there, neighbour)

    def _carried(self, node: str, there: str) -> tuple[Step, bool]:
        """What the fabric decides of the packet in which an overlay carries this one, and whether it leads there."""
        azure = self._lab.azure
        document = self._tables.decision(node, azure.nic[there].address)
        choice = nic_choice(node, document)
        fabric, why = azure.nic[node].virtual_network, f"what carries it: effective route of {node}'s NIC"
        if choice is None or document["rows"][0]["nextHopType"] == NextHopType.NONE:
            return Step(fabric, "", "dropped", f"{why} to {azure.nic[there].address} leads nowhere", choice), False
        source = document["rows"][0]["source"]
        return Step(fabric, "", f"{choice.prefix} → {there}", f"{why}, source {source}", choice), True

    def _lost(self, node: str, way: Way) -> Step:
        """The step of a kernel by which packets do not leave."""
        if way.type == NO_ROUTE:
            return Step(node, "", "no way", "its kernel has no route")
        what = "a black hole" if way.type == BLACKHOLE else "a route that refuses"
        why = f"{what} in its kernel, by {self._by(node, way)}"
        # An agent has it from its NIC's effective routes, which say why.
        of_nic = self._tables.decision(node, self._destination) if way.protocol == _AGENT else None
        choice = self._kernel_choice(node, way) if of_nic is None else nic_choice(node, of_nic)
        return Step(node, "", f"{way.prefix} → dropped", why, choice)

    def _by(self, node: str, way: Way) -> str:
        """Who wrote a kernel's route, in a word or two."""
        if node in self._gateways and way.protocol == "static":
            return (
                "static, a virtual network's range" if way.device == NIC_INTERFACE else "static, local network gateway"
            )
        return _PROTOCOLS.get(way.protocol, f"proto {way.protocol}")

    def _kernel_choice(self, node: str, way: Way) -> Choice:
        paths = self._tables.bgp(node, way.prefix) if way.protocol == "bgp" else ()
        # What an agent has written follows from the NIC's effective routes, which have their own step.
        shorter = () if way.protocol == _AGENT else way.shorter
        beaten = tuple(Beaten(prefix, "", LONGER) for prefix in shorter)
        table = f"kernel of {node}" + (", from its BGP table" if way.protocol == "bgp" else "")
        return Choice(table, way.prefix, self._by(node, way), len(way.gateways), paths, beaten)

    def _translates(self, node: str) -> bool:
        """Whether what this node forwards on the way carries its own address."""
        return node in self._lab.nva and self._lab.nva[node].translates(self._destination)

    def _taken(self, equal: Sequence[IPv4Address]) -> IPv4Address:
        """The one of these next hops that the real packet took, if one of their nodes answered here.

        A node may answer from another address than the one that it is reached by.
        """
        seen = self._real[len(self.hops)] if len(self.hops) < len(self._real) else None
        owner = self._owners.get(seen) if seen is not None else None
        took = (hop for hop in equal if owner is not None and self._ways.get(hop, self._owners.get(hop)) == owner)
        return seen if seen is not None and seen in equal else next(took, equal[0])

    def _answers_from(self, node: str, arrived_at: IPv4Address) -> IPv4Address:
        """The address from which a node tells the source that a TTL ended there: its kernel chooses it.

        Among equal ways back it goes by a hash that no table shows; then it is the address that was seen.
        """
        seen = self._real[len(self.hops)] if len(self.hops) < len(self._real) else None
        if seen is not None and node in self._lab.azure.circuit and self._owners.get(seen) == node:
            return seen
        return self._tables.source(node, self._source) or arrived_at

    def _cross(self, node: str) -> tuple[Step, _Move | None]:
        """What the fabric decides by the effective routes of the node's NIC."""
        nic = self._lab.azure.nic[node]
        fabric = nic.virtual_network
        if not nic.ip_forwarding and nic.address != self._source and not self._translates(node):
            return Step(fabric, "", "dropped", f"IP forwarding is off on {node}'s NIC"), None
        decision = self._tables.decision(node, self._destination)
        choice = nic_choice(node, decision)
        if choice is None:
            return Step(fabric, "", "dropped", f"no effective route of {node}'s NIC"), None
        row = decision["rows"][0]
        prefix, kind = choice.prefix, NextHopType(row["nextHopType"])
        why = f"effective route of {node}'s NIC, source {row['source']}"

        def dropped(what: str, because: str) -> tuple[Step, None]:
            return Step(fabric, "", f"{prefix} → {what}", because, choice), None

        if kind is NextHopType.NONE:
            return dropped("dropped", f"a black hole: {why}, next hop type None")
        if kind is NextHopType.INTERNET:
            internet = self._lab.internet
            if internet is None:
                return dropped("Internet", "this lab has no Internet")
            if self._owners.get(self._destination) != internet.name:
                return dropped("Internet", f"{why}; nobody has this address there")
            return Step(fabric, "", f"{prefix} → Internet", why, choice), _Move(internet.name, internet.host)
        if kind in ARRIVES_LOCALLY and not self._stands_in(fabric):
            return dropped("dropped", f"{why}; nobody has {self._destination} in a virtual network")
        next_hops = [self._destination] if kind in ARRIVES_LOCALLY else [*map(IPv4Address, row["nextHopIpAddress"])]
        names = ", ".join(self._name(a) for a in next_hops)
        if self._destination in self._frontends and kind in ARRIVES_LOCALLY:
            balancer = self._frontends[self._destination]
            return dropped("dropped", f"{why}; the frontend of {balancer} is a next hop and takes nothing itself")
        behind = [backend for a in next_hops for backend in self._behind(a)]
        if not behind:
            return dropped(f"{names} → dropped", f"{why}; no backend is up")
        hop = self._taken(behind)
        owner = self._ways.get(hop, self._owners.get(hop))
        there = self._lab.azure.nic.get(owner or "")
        if there is not None and not there.ip_forwarding and self._destination != there.address:
            return dropped("dropped", f"{why}; IP forwarding is off on {owner}'s NIC")
        if there is not None and not self._may_enter(fabric, there.virtual_network, node):
            networks = f"{there.virtual_network} takes nothing from {fabric}"
            return dropped("dropped", f"{why}; {networks} that is only forwarded there")
        if owner is None:
            return dropped("dropped", f"{why}; nobody has {hop}")
        return Step(fabric, "", f"{prefix} → {names}", why, choice), _Move(owner, hop)

    def _stands_in(self, fabric: str) -> bool:
        """Whether the destination is a node's, or a frontend's, in a virtual network or in one next to it.

        A site's address is not, even if a virtual network's range holds it.
        """
        azure = self._look.azure
        near = (fabric, *(peering.remote for peering in connected_peerings(azure, fabric)))
        return self._destination in self._frontends or self._network.get(self._destination) in near

    def _behind(self, next_hop: IPv4Address) -> list[IPv4Address]:
        """Where packets to a next hop may go: there, or to the backends of a load balancer that are up."""
        return self._look.backends_up.get(next_hop, [next_hop])

    def _name(self, next_hop: IPv4Address) -> str:
        """A next hop in words: `nva1`, or `lb1 → nva1 | nva2`."""
        if next_hop not in self._frontends:
            return self._ways.get(next_hop, self._owners.get(next_hop, str(next_hop)))
        backends = " | ".join(self._owners[backend] for backend in self._behind(next_hop))
        return f"{self._frontends[next_hop]} → {backends}" if backends else self._frontends[next_hop]

    def _may_enter(self, fabric: str, network: str, node: str) -> bool:
        """Whether the packet, as `node` sends it, may pass from one virtual network into another."""
        azure = self._look.azure
        source = azure.nic[node].address if self._translates(node) else self._source
        own = any(source in prefix for prefix in azure.virtual_network[fabric].address_space)
        return network == fabric or own or takes_forwarded(azure, network, fabric)
