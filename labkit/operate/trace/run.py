"""A packet's predicted way through the lab (`labkit.operate.trace.walk`), and beside it what a real traceroute sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address

from labkit.errors import InvalidInput
from labkit.lab.model import Lab
from labkit.lab.plan.nodes import addresses, owners, target_address
from labkit.operate.look.client import LabClient
from labkit.operate.look.live_state import LiveState
from labkit.operate.look.probes import traceroute
from labkit.operate.trace.tables import Tables
from labkit.operate.trace.walk import Step, Walk


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


def trace(lab: Lab, client: LabClient, source: str, target: str) -> Trace:
    """Predict the way of a packet from node `source` to `target`, and run a real traceroute beside it.

    Raises:
        InvalidInput: `source` is no node that a packet may come from, or `target` neither a name nor an address.
        CheckFailed: a node or the controller does not answer.
    """
    if source not in addresses(lab):
        raise InvalidInput(f"{source} is no node with an address.", f"These are: {', '.join(sorted(addresses(lab)))}.")
    if source in {i.node for server in lab.azure.route_servers for i in server.instance_ids}:
        raise InvalidInput(
            f"{source} is an instance of a route server, which sends nothing but its own BGP.",
            f"Trace the way there: labkit trace {target} {source}",
        )
    try:
        destination = target_address(lab, target)
    except ValueError:
        raise InvalidInput(f"{target} is neither a node of lab {lab.name} nor an IPv4 address.") from None
    real = traceroute(client, source, destination)
    while real and real[-1] is None:
        real.pop()
    tables = Tables(LiveState(lab, client))
    walk = Walk(lab, tables, destination, real)
    steps, predicted = tuple(walk.steps(source)), walk.hops
    missing = [hop for i, hop in enumerate(predicted) if i >= len(real) or real[i] is None]
    seen_from = _sources(lab, source, destination, predicted)
    reasons = {hop: _silent(lab, tables, hop, seen_from[hop]) for hop in dict.fromkeys(missing)}
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


def _silent(lab: Lab, tables: Tables, hop: IPv4Address, sources: Sequence[IPv4Address]) -> str:
    """Why the answer of a hop does not come back from one of these to the next; empty if it should."""
    node, said_by = owners(lab)[hop], None
    for source in sources:
        # The Internet answers to a public address of the virtual network, which is the sender's there.
        if lab.internet is None or node != lab.internet.name:
            back = Walk(lab, tables, source, ())
            *_, last = back.steps(node, said_by)
            if back.verdict != "delivered":
                return f"{last.place}: {last.decision} ({last.why})"
        node, said_by = owners(lab)[source], hop
    return ""
