"""Why one route of a table won, in parts and in words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypedDict

from labkit.azure.model import EffectiveRoute, HubRoutingPreference, NextHopType, RouteSource, RouteState
from labkit.azure.rules.decision import Decision
from labkit.azure.rules.rows import as_path_text
from labkit.azure.rules.selection import Loss

_KINDS = {RouteSource.USER: "user-defined", RouteSource.VIRTUAL_NETWORK_GATEWAY: "BGP", RouteSource.DEFAULT: "system"}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A BGP path for the prefix that won: from whom, and why it is not in use, if it is not.

    `as_path` is as Azure prints it, hop by hop with hyphens.
    """

    sender: str
    next_hop: str
    as_path: str
    because: str = ""


@dataclass(frozen=True, slots=True)
class Beaten:
    """Another route of the table that holds the destination: its prefix, where it is from, and why it is not used."""

    prefix: str
    by: str
    because: str

    def __str__(self) -> str:
        return f"{self.prefix} ({self.by})" if self.by else self.prefix


LONGER = "the longest prefix wins"
USER_FIRST = "at equal length user-defined routes come before BGP, and BGP before system routes"
RANGES_FIRST = "BGP inside a virtual network's own range is not programmed"


CandidateRow = TypedDict("CandidateRow", {"from": str, "nextHop": str, "asPath": str, "because": str})
"""A `Candidate` in JSON."""


class BeatenRow(TypedDict):
    """A `Beaten` in JSON."""

    prefix: str
    by: str
    because: str


class ChoiceRow(TypedDict):
    """A `Choice` in JSON."""

    table: str
    prefix: str
    by: str
    paths: list[CandidateRow]
    ecmp: bool
    over: list[BeatenRow]
    notes: list[str]


@dataclass(frozen=True, slots=True)
class Choice:
    """Which route of `table` won: `prefix`, from where (`by`), and over what.

    `next_hops` is how many next hops it has: each flow takes one. `paths` are the BGP paths for it, those in use first;
    `notes` what else there is to know.
    """

    table: str
    prefix: str
    by: str
    next_hops: int
    paths: tuple[Candidate, ...] = ()
    beaten: tuple[Beaten, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def ecmp(self) -> bool:
        """Whether flows share several next hops."""
        return self.next_hops > 1

    def lines(self) -> Iterator[str]:
        """The reasons, a line each."""
        for because, as_path in dict.fromkeys((path.because, path.as_path) for path in self.paths):
            alike = [path for path in self.paths if (path.because, path.as_path) == (because, as_path)]
            senders = ", ".join(f"{path.sender} (next hop {path.next_hop})" for path in alike)
            yield f"{'not ' if because else 'BGP '}from {senders}, {_path(as_path)}" + (because and f": {because}")
        if self.ecmp:
            yield f"ECMP: flows share {self.next_hops} next hops"
        for because in dict.fromkeys(route.because for route in self.beaten):
            routes = [str(route) for route in self.beaten if route.because == because]
            yield f"over {', '.join(routes)}: {because}"
        yield from self.notes

    def json(self) -> ChoiceRow:
        """The parts, for programs."""
        return {
            "table": self.table,
            "prefix": self.prefix,
            "by": self.by,
            "paths": [
                {"from": p.sender, "nextHop": p.next_hop, "asPath": p.as_path, "because": p.because} for p in self.paths
            ],
            "ecmp": self.ecmp,
            "over": [{"prefix": r.prefix, "by": r.by, "because": r.because} for r in self.beaten],
            "notes": [*self.notes],
        }


def nic_choice(nic: str, decision: Decision) -> Choice | None:
    """Which of a NIC's effective routes wins; None if none holds the destination."""
    if not decision.rows:
        return None
    winner, *others = decision.rows
    by_bgp = winner.source is RouteSource.VIRTUAL_NETWORK_GATEWAY
    notes = []
    if winner.next_hop_type is NextHopType.NONE:
        why = ": the next hop is in no virtual network that is this one or peered with it" if by_bgp else ""
        notes.append(f"next hop type None, a black hole{why}")
    listens = decision.listens_to.node if decision.listens_to is not None else ""
    return Choice(
        f"effective routes of {nic}'s NIC" + (f", with BGP from {listens}" if listens else ""),
        str(winner.prefix),
        _KINDS[winner.source],
        len(winner.next_hops),
        tuple(
            Candidate(
                path.peer.name,
                str(path.attributes.next_hop),
                as_path_text(path.attributes.as_path),
                _because(loss, decision.preference),
            )
            for path, loss in decision.paths
        ),
        (
            *(_beaten(row, winner) for row in others),
            *(Beaten(str(left), "BGP", RANGES_FIRST) for left in decision.left_out),
        ),
        tuple(notes),
    )


def _path(as_path: str) -> str:
    """An AS path and its length, which is what counts."""
    length = len(as_path.split("-")) if as_path else 0
    return f"path {as_path} ({length} {'ASN' if length == 1 else 'ASNs'})" if length else "empty path"


def _because(loss: Loss | None, preference: HubRoutingPreference | None) -> str:
    return f"{loss} ({preference})" if loss is Loss.PREFERENCE else str(loss or "")


def _beaten(row: EffectiveRoute, winner: EffectiveRoute) -> Beaten:
    to = " ".join(map(str, row.next_hops)) or row.next_hop_type
    lost_tie = row.state is RouteState.INVALID or row.prefix == winner.prefix
    return Beaten(str(row.prefix), f"{_KINDS[row.source]}, {to}", USER_FIRST if lost_tie else LONGER)
