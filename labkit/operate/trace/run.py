"""A packet's way through a running lab by its tables, and what a real traceroute sees."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from labkit.azure.forwarding import Disposition, Packet
from labkit.errors import InvalidInput
from labkit.lab.model import Lab
from labkit.lab.plan.nodes import addresses, frontends, named, owners, target_address
from labkit.operate.look.client import LabClient
from labkit.operate.look.live_state import LiveState
from labkit.operate.look.probes import MAX_HOPS, traceroute
from labkit.operate.trace.explain import Explainer, TraceLine
from labkit.operate.trace.tables import ObservedTables
from labkit.predict.walk.nodes import NO_ADDRESS, Probing
from labkit.predict.walk.steps import NextHop, RouterStep, Walk
from labkit.predict.walk.walker import Walker

_SPECIAL = {
    IPv4Network("0.0.0.0/8"): "not an address that packets go to",
    IPv4Network("127.0.0.0/8"): "every node's own loopback",
    IPv4Network("224.0.0.0/4"): "a multicast address",
    IPv4Network("255.255.255.255/32"): "the broadcast address",
}


_NOT_LOST = (Disposition.LOOP, Disposition.UNREAD)
"""How ways end on which packets are not dropped without an answer, or nobody knows."""


@dataclass(frozen=True, slots=True)
class Trace:
    """A predicted way and the real one; `predicted` and `real` are the addresses that a traceroute shows, or None.

    `disposition` is how the predicted one ends. `silent` has the hops that the real one lacks because their answers do
    not come back, as `(address, reason)`. `nobodys` is the target if nothing in the lab has that address.

    Every packet of a traceroute is a flow of its own. `lost` is where those are dropped that take another one of equal
    next hops, as `(hops, where and why)`: so many hops answer at most.
    """

    steps: tuple[TraceLine, ...]
    predicted: tuple[IPv4Address | None, ...]
    real: tuple[IPv4Address | None, ...]
    disposition: Disposition
    silent: tuple[tuple[IPv4Address, str], ...] = ()
    nobodys: IPv4Address | None = None
    lost: tuple[tuple[int, str], ...] = ()

    @property
    def verdict(self) -> str:
        """How the predicted way ends, in words."""
        match self.disposition:
            case Disposition.DELIVERED:
                return "delivered"
            case Disposition.LOOP:
                return "loops until its TTL expires"
            case Disposition.UNREAD:
                return "not known from there on"
            case _:
                return "dropped"

    @property
    def agrees(self) -> bool:
        """Whether the packets did what the kernels' and NICs' tables predict."""
        silent = {address for address, _ in self.silent}
        answers = [None if hop in silent else hop for hop in self.predicted]
        if self.disposition is Disposition.UNREAD:
            return answers == list(self.real[: len(answers)])
        if self.nobodys is not None:
            # Whether the last node or the one before it answers that there is nobody is up to their kernels.
            answers = answers[: max(len(self.real), len(answers) - 1)]
        while answers and answers[-1] is None:
            answers.pop()
        if not self.lost or not answers:
            return answers == list(self.real)
        # Of several packets that get to the end, the first one that is not lost is seen.
        last = answers[-1:] if self.disposition is Disposition.DELIVERED else []
        answers += last * (len(self.real) - len(answers))
        answered = [*self.real, *[None] * (len(answers) - len(self.real))]
        may_be_lost = min(hops for hops, _ in self.lost)
        return len(answers) == len(answered) and all(
            seen == answer or (seen is None and i >= may_be_lost)
            for i, (answer, seen) in enumerate(zip(answers, answered, strict=True))
        )


def trace(lab: Lab, client: LabClient, source: str, target: str) -> Trace:
    """Predict the way of a packet from node or NIC `source` to `target`, and run a real traceroute.

    A site with several routers means its host.

    Raises:
        InvalidInput: `source` is nothing that a packet may come from, or `target` neither a name nor an address.
        CheckFailed: a node or the controller does not answer.
    """
    source, target = named(lab, source), named(lab, target)
    if source in lab.site and source not in addresses(lab):
        source = lab.site[source].host.name
    nic = lab.azure.nic.get(source)
    node, own = (nic.machine, nic.address) if nic is not None and nic.machine != source else (source, None)
    if node not in addresses(lab):
        raise InvalidInput(
            f"{source} is not a node with an address.", f"These are: {', '.join(sorted(addresses(lab)))}."
        )
    if source in {i.node for server in lab.azure.route_servers for i in server.instance_ids}:
        raise InvalidInput(
            f"{source} is an instance of a route server, which sends no packets but those of its own BGP.",
            f"Trace the way there: labkit trace {target} {source}",
        )
    try:
        destination = target_address(lab, target)
    except ValueError:
        raise InvalidInput(
            f"{target} is neither a node of lab {lab.name} nor an IPv4 address.",
            f"These are: {', '.join(sorted(addresses(lab)))}.",
        ) from None
    special = next((what for prefix, what in _SPECIAL.items() if destination in prefix), None)
    if special is not None:
        raise InvalidInput(f"{destination} is {special}: no packet has a path to it.", "Give the address of a host.")
    real = traceroute(client, node, destination, own)
    while real and real[-1] is None:
        real.pop()
    tables = ObservedTables(LiveState(lab, client))
    walk = _walk(lab, tables, node, destination, own, real=real)
    predicted, explainer = walk.hops, Explainer(lab, tables)
    unseen = ((i, hop) for i, hop in reversed([*enumerate(predicted)]) if i >= len(real) or real[i] is None)
    missing = {hop: i for i, hop in unseen if hop is not None}
    seen_from = _sources(lab, walk)
    ways = Walker(lab, tables, probe=Probing.TRACEROUTE).walks(node, destination, own)
    silent, lost = [], [*_lost(walk, ways, explainer)] if missing else []
    for hop, position in missing.items():
        if destination in frontends(lab) and hop == predicted[-1] and walk.disposition is Disposition.DELIVERED:
            always, why = True, f"{frontends(lab)[destination]}: it brings back no ICMP"
        else:
            always, why = _answers_lost(lab, tables, explainer, hop, seen_from[hop])
        if always:
            silent.append((hop, why))
        elif why:
            lost.append((position, why))
    known = destination in owners(lab) or destination in frontends(lab)
    nobodys = None if known else destination
    lines = tuple(explainer.lines(walk))
    return Trace(lines, predicted, tuple(real), walk.disposition, tuple(silent), nobodys, tuple(lost))


class Seen:
    """Follows the next hops that a real packet took: which flow gets which, no table has.

    Args:
        real: the addresses that a traceroute has shown.
    """

    def __init__(self, lab: Lab, tables: ObservedTables, real: Sequence[IPv4Address | None]) -> None:
        self._owners = owners(lab)
        self._tables = tables
        self._real = real

    def among(self, position: int, hops: Sequence[NextHop]) -> Sequence[NextHop]:
        """The one whose node answered there; it may answer from another address than the one that it is reached by.

        If none did there, the one whose node answered later: the packet was lost on another way.
        """
        seen = self._seen(position)
        for address in (seen,) if seen is not None else self._real[position:]:
            owner = self._owners.get(address) if address is not None else None
            same = (hop for hop in hops if hop.address == address)
            took = (hop for hop in hops if owner is not None and hop.node == owner)
            found = next(same, None) or next(took, None)
            if found is not None:
                return (found,)
        return hops[:1]

    def answers_from(self, position: int, node: str, source: IPv4Address, arrived_at: IPv4Address) -> IPv4Address:
        """The address that the node's kernel chooses.

        Among equal ways back it goes by a hash that no table shows; then it is the address that was seen.
        """
        seen = self._seen(position)
        if seen is not None and self._owners.get(seen) == node:
            back = self._tables.route(node, Packet(NO_ADDRESS, source))
            if len(back.egresses) > 1:
                return seen
        return self._tables.source(node, source) or arrived_at

    def _seen(self, position: int) -> IPv4Address | None:
        return self._real[position] if position < len(self._real) else None


def _walk(
    lab: Lab,
    tables: ObservedTables,
    node: str,
    destination: IPv4Address,
    source: IPv4Address | None = None,
    *,
    real: Sequence[IPv4Address | None] = (),
) -> Walk:
    """The one way that agrees most with what a traceroute has shown."""
    return next(
        Walker(lab, tables, Seen(lab, tables, real), MAX_HOPS, Probing.TRACEROUTE).walks(node, destination, source)
    )


def _lost(walk: Walk, ways: Iterable[Walk], explainer: Explainer) -> Iterator[tuple[int, str]]:
    """Where packets are dropped that take other ways than `walk`, and how many hops they have passed by then."""
    *_, end = explainer.lines(walk)
    for way in ways:
        *_, last = explainer.lines(way)
        same = (last.place, last.decision, last.why) == (end.place, end.decision, end.why)
        if way.disposition.drops and way.disposition not in _NOT_LOST and not same:
            yield len(way.hops), f"{last.place}: {last.decision} ({last.why})"


def _sources(lab: Lab, walk: Walk) -> dict[IPv4Address, tuple[IPv4Address, ...]]:
    """Whom each hop answers: the source, or the NVA that translated it, which passes the answer on to whom it knows."""
    found: dict[IPv4Address, tuple[IPv4Address, ...]] = {}
    known: tuple[IPv4Address, ...] = (walk.origin,)
    steps = (step for step in walk.steps if isinstance(step, RouterStep))
    translated = {step.node: step.packet.source for step in steps if step.translated}
    for hop in filter(None, walk.hops):
        found.setdefault(hop, known)
        if owners(lab)[hop] in translated:
            known = (translated[owners(lab)[hop]], *known)
    return found


def _answers_lost(
    lab: Lab, tables: ObservedTables, explainer: Explainer, hop: IPv4Address, sources: Sequence[IPv4Address]
) -> tuple[bool, str]:
    """Whether no answer of a hop comes back from one of these to the next, and why some do not; empty if all do."""
    node = owners(lab)[hop]
    # Of several NICs, the one that was asked answers.
    answers_as = hop if len(lab.azure.nics_of(node)) > 1 else None
    some = ""
    for source in sources:
        # The Internet answers to a public address of the virtual network, which is the sender's there.
        if lab.internet is None or node != lab.internet.name:
            ways = [*Walker(lab, tables, probe=Probing.ICMP_ERROR).walks(node, source, answers_as)]
            gone = [way for way in ways if way.disposition not in {Disposition.DELIVERED, Disposition.UNREAD}]
            for way in gone[:1]:
                *_, last = explainer.lines(way)
                some = f"{last.place}: {last.decision} ({last.why})"
            if len(gone) == len(ways):
                return True, some
        node, answers_as = owners(lab)[source], hop
    return False, some
