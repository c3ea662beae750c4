"""A packet's way through the lab, step by step and why; and beside it what a real traceroute sees.

Each step is read where it is decided: a node's own kernel says how a packet leaves it, and in a virtual network the
NIC's effective routes say where the fabric brings it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from labkit.azure.adjacency import takes_forwarded
from labkit.azure.model import NextHopType
from labkit.errors import InvalidInput
from labkit.lab.model import Lab
from labkit.lab.nodes import addresses, frontends, gateway_nodes, instance_node, owners, target_address
from labkit.operate.client import LabClient
from labkit.operate.observe import Look
from labkit.operate.probes import MAX_HOPS, traceroute

NIC_INTERFACE = "eth0"
ARRIVES_LOCALLY = (NextHopType.VNET_LOCAL, NextHopType.VNET_PEERING, NextHopType.VNET_GLOBAL_PEERING)


@dataclass(frozen=True, slots=True)
class Step:
    """One decision at `place`: `decision` is what it chose, `why` because of what. A fabric has no `address`."""

    place: str
    address: str
    decision: str
    why: str


@dataclass(frozen=True, slots=True)
class Trace:
    """A predicted way and the real one; `predicted` and `real` are the addresses that a traceroute shows.

    `silent` says for hops that the real one lacks why their answers do not come back, as `(address, reason)`.
    """

    steps: tuple[Step, ...]
    predicted: tuple[IPv4Address, ...]
    real: tuple[IPv4Address | None, ...]
    verdict: str
    silent: tuple[tuple[IPv4Address, str], ...] = ()

    @property
    def agrees(self) -> bool:
        """Whether the packets did what the kernels' and NICs' tables predict."""
        silent = {address for address, _ in self.silent}
        answers = [None if hop in silent else hop for hop in self.predicted]
        while answers and answers[-1] is None:
            answers.pop()
        return answers == list(self.real)


@dataclass(frozen=True, slots=True)
class _Move:
    """Where a packet goes next: a node, the address it reaches it by, or nowhere (`node` is empty)."""

    node: str
    address: IPv4Address | None


def trace(lab: Lab, client: LabClient, source: str, target: str) -> Trace:
    """Predict the way of a packet from node `source` to `target`, and run a real traceroute beside it.

    Raises:
        InvalidInput: `source` is no node with an address, or `target` neither a name nor an address.
        CheckFailed: a node or the controller does not answer.
    """
    if source not in addresses(lab):
        raise InvalidInput(f"{source} is no node with an address.", f"These are: {', '.join(sorted(addresses(lab)))}.")
    try:
        destination = target_address(lab, target)
    except ValueError:
        raise InvalidInput(f"{target} is neither a node of lab {lab.name} nor an IPv4 address.") from None
    real = traceroute(client, source, destination)
    while real and real[-1] is None:
        real.pop()
    look = Look(lab, client)
    walk = _Walk(lab, look, destination, real)
    steps, predicted = tuple(walk.steps(source)), walk.hops
    missing = [hop for i, hop in enumerate(predicted) if i >= len(real) or real[i] is None]
    seen_from = _sources(lab, source, destination, predicted)
    reasons = {hop: _silent(lab, look, hop, seen_from[hop]) for hop in dict.fromkeys(missing)}
    silent = tuple((hop, reason) for hop, reason in reasons.items() if reason)
    return Trace(steps, tuple(predicted), tuple(real), walk.verdict, silent)


def _sources(
    lab: Lab, source: str, destination: IPv4Address, hops: Sequence[IPv4Address]
) -> dict[IPv4Address, tuple[IPv4Address, ...]]:
    """Whom each hop answers: the source, or the NVA that translated it, which passes the answer on to whom it knows."""
    found: dict[IPv4Address, tuple[IPv4Address, ...]] = {}
    known: tuple[IPv4Address, ...] = (addresses(lab)[source],)
    for hop in hops:
        found.setdefault(hop, known)
        node = owners(lab)[hop]
        if node in lab.nva and lab.nva[node].translates(destination):
            known = (addresses(lab)[node], *known)
    return found


def _silent(lab: Lab, look: Look, hop: IPv4Address, sources: Sequence[IPv4Address]) -> str:
    """Why the answer of a hop does not come back from one of these to the next; empty if it should."""
    node, said_by = owners(lab)[hop], None
    for source in sources:
        # The Internet answers to a public address of the virtual network, which is the sender's there.
        if lab.internet is None or node != lab.internet.name:
            back = _Walk(lab, look, source, ())
            *_, last = back.steps(node, said_by)
            if back.verdict != "delivered":
                return f"{last.place}: {last.decision} ({last.why})"
        node, said_by = owners(lab)[source], hop
    return ""


class _Walk:
    """Follows one destination from node to node. `hops` are the addresses met, `verdict` how it ended.

    Of equal next hops it takes the one that the real packet took: which flow gets which, no table says.
    """

    def __init__(self, lab: Lab, look: Look, destination: IPv4Address, real: Sequence[IPv4Address | None]) -> None:
        self._lab = lab
        self._look = look
        self._destination = destination
        self._real = real
        self._owners = owners(lab)
        self._frontends = frontends(lab)
        self._gateways = {node for gateway in lab.azure.gateways for node in gateway_nodes(gateway)}
        self._ways = {line.edge: instance_node(g.name, line.instance) for g in lab.gateways for line in g.lines}
        """The gateway's instance that the fabric sends to for an address on Microsoft's side."""
        self.hops: list[IPv4Address] = []
        self.verdict = "dropped"

    def steps(self, node: str, source: IPv4Address | None = None) -> Iterator[Step]:
        """The decisions from `node` on, until the packet arrives, is dropped or has circled for `MAX_HOPS`.

        `source` is the packet's, if it is not the node's own.
        """
        address = addresses(self._lab)[node]
        self._source = source or address
        from_network: bool | None = None
        while self._owners.get(self._destination) != node:
            if len(self.hops) == MAX_HOPS:
                self.verdict = "circles until its TTL ends"
                return
            step, move = self._leave(node)
            into_network = move is not None and move.address is None
            if node in self._gateways and from_network is not None and into_network is not from_network:
                # Between a line or tunnel and the network a gateway gives the TTL back: nobody sees it.
                self.hops.pop()
                step = replace(step, why=f"{step.why}; takes no TTL")
            yield replace(step, address=str(address))
            if into_network:
                step, move = self._cross(node)
                yield step
            from_network = into_network
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

    def _leave(self, node: str) -> tuple[Step, _Move | None]:
        """What the node's kernel decides. A move without an address is one into the node's virtual network."""
        done = self._look.client.run(node, "ip", "-j", "route", "get", "fibmatch", str(self._destination))
        rows = json.loads(done.stdout) if done.rc == 0 and done.stdout.strip() else []
        if not rows or rows[0].get("type") in ("blackhole", "unreachable", "prohibit"):
            return Step(node, "", "no way", "its kernel has no route, or a blackhole"), None
        row = rows[0]
        prefix = IPv4Network("0.0.0.0/0" if row["dst"] == "default" else row["dst"])
        hops = [row, *row.get("nexthops", [])]
        gateways = [IPv4Address(hop["gateway"]) for hop in hops if "gateway" in hop]
        device = next(hop["dev"] for hop in hops if "dev" in hop)
        why = f"kernel: proto {row.get('protocol', '?')}"
        if self._translates(node):
            why += f"; SNAT to {addresses(self._lab)[node]}"
        leads = ", ".join(map(str, gateways)) or f"on-link {device}"
        step = Step(node, "", f"{prefix} → {leads}", why)
        if node in self._look.state["effective"] and device == NIC_INTERFACE:
            return step, _Move(node, None)
        neighbour = self._taken(gateways) if gateways else self._destination
        return step, _Move(self._owners.get(neighbour, ""), neighbour if neighbour in self._owners else None)

    def _translates(self, node: str) -> bool:
        """Whether what this node forwards on the way carries its own address."""
        return node in self._lab.nva and self._lab.nva[node].translates(self._destination)

    def _taken(self, equal: Sequence[IPv4Address]) -> IPv4Address:
        """The one of these next hops that the real packet took, if it shows one of them here."""
        seen = self._real[len(self.hops)] if len(self.hops) < len(self._real) else None
        return seen if seen is not None and seen in equal else equal[0]

    def _answers_from(self, node: str, arrived_at: IPv4Address) -> IPv4Address:
        """The address from which a node tells the source that a TTL ended there: its kernel chooses it.

        Among equal ways back it goes by a hash that no table shows; then it is the address that was seen.
        """
        seen = self._real[len(self.hops)] if len(self.hops) < len(self._real) else None
        done = self._look.client.run(node, "ip", "-j", "route", "get", str(self._source))
        rows = json.loads(done.stdout) if done.rc == 0 and done.stdout.strip() else []
        if seen is not None and node in self._lab.azure.circuit and self._owners.get(seen) == node:
            return seen
        return IPv4Address(rows[0]["prefsrc"]) if rows and "prefsrc" in rows[0] else arrived_at

    def _cross(self, node: str) -> tuple[Step, _Move | None]:
        """What the fabric decides by the effective routes of the node's NIC."""
        nic = self._lab.azure.nic[node]
        fabric = nic.virtual_network
        if not nic.ip_forwarding and nic.address != self._source and not self._translates(node):
            return Step(fabric, "", "dropped", f"IP forwarding is off on {node}'s NIC"), None
        row = _longest_match(self._look.state["effective"][node]["value"], self._destination)
        if row is None:
            return Step(fabric, "", "dropped", f"no effective route of {node}'s NIC"), None
        prefix, kind = row["addressPrefix"][0], NextHopType(row["nextHopType"])
        why = f"effective route of {node}'s NIC, source {row['source']}"
        if kind is NextHopType.NONE:
            return Step(fabric, "", f"{prefix} → dropped", why), None
        if kind is NextHopType.INTERNET:
            internet = self._lab.internet
            if internet is None:
                return Step(fabric, "", f"{prefix} → Internet", "this lab has no Internet"), None
            if self._owners.get(self._destination) != internet.name:
                return Step(fabric, "", f"{prefix} → Internet", f"{why}; nobody has this address there"), None
            return Step(fabric, "", f"{prefix} → Internet", why), _Move(internet.name, internet.host)
        next_hops = [self._destination] if kind in ARRIVES_LOCALLY else [*map(IPv4Address, row["nextHopIpAddress"])]
        names = ", ".join(self._name(a) for a in next_hops)
        if self._destination in self._frontends and kind in ARRIVES_LOCALLY:
            why = f"{why}; the frontend of {self._frontends[self._destination]} is a next hop and takes nothing itself"
            return Step(fabric, "", f"{prefix} → dropped", why), None
        behind = [backend for a in next_hops for backend in self._behind(a)]
        if not behind:
            return Step(fabric, "", f"{prefix} → {names} → dropped", f"{why}; no backend is up"), None
        hop = self._taken(behind)
        owner = self._ways.get(hop, self._owners.get(hop))
        there = self._lab.azure.nic.get(owner or "")
        if there is not None and not there.ip_forwarding and self._destination != there.address:
            return Step(fabric, "", f"{prefix} → dropped", f"{why}; IP forwarding is off on {owner}'s NIC"), None
        if there is not None and not self._may_enter(fabric, there.virtual_network, node):
            why = f"{why}; {there.virtual_network} takes nothing from {fabric} that is only forwarded there"
            return Step(fabric, "", f"{prefix} → dropped", why), None
        step = Step(fabric, "", f"{prefix} → {names}", why)
        return (step, _Move(owner, hop)) if owner is not None else (replace(step, decision="dropped"), None)

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


def _longest_match(rows: list[dict[str, Any]], destination: IPv4Address) -> dict[str, Any] | None:
    matches = [
        (IPv4Network(prefix).prefixlen, index)
        for index, row in enumerate(rows)
        for prefix in row["addressPrefix"]
        if row["state"] == "Active" and destination in IPv4Network(prefix)
    ]
    return rows[max(matches)[1]] if matches else None
