"""A packet on its way, and how it ends."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from ipaddress import IPv4Address


class Outcome(StrEnum):
    """How a packet ends."""

    DELIVERED = "delivered"
    DROPPED = "dropped"
    LOOPS = "loops"


@dataclass(frozen=True, slots=True, order=True)
class Way:
    """How packets of a flow end, through which nodes, and `at` which node they do; `why` if they are not delivered."""

    outcome: Outcome
    through: tuple[str, ...]
    at: str
    why: str = ""

    def __str__(self) -> str:
        through = f" through {', '.join(self.through)}" if self.through else ""
        match self.outcome:
            case Outcome.DELIVERED:
                return f"delivered{through}"
            case Outcome.LOOPS:
                return f"loops at {self.at}"
            case _:
                return f"dropped at {self.at}: {self.why}"


@dataclass(frozen=True, slots=True)
class Packet:
    """A packet on its way: its addresses, and the nodes that have forwarded it so far."""

    source: IPv4Address
    target: IPv4Address
    through: tuple[str, ...] = ()

    def by(self, node: str) -> Packet:
        """The packet once a node forwards it."""
        return replace(self, through=(*self.through, node))

    def ends(self, outcome: Outcome, at: str, why: str = "") -> Way:
        """How it ends."""
        return Way(outcome, self.through, at, why)
