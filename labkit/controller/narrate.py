"""Changes of effective routes in the words of the event log."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv4Network

from labkit.controller.platform import TableChange
from labkit.feed.tables import NextHops, desired

FEW = 3
"""So many prefixes are named; more are counted."""


def route_changes(changes: Iterable[TableChange]) -> Iterator[tuple[str, str]]:
    """Who saw which routes change, as `(NICs, text)`; NICs that saw the same are named together."""
    nics: dict[str, list[str]] = {}
    for change in changes:
        for text in _texts(desired(change.before), desired(change.after)):
            nics.setdefault(text, []).extend(change.nics)
    for text, who in nics.items():
        yield " ".join(sorted(who)), text


def _texts(before: Mapping[IPv4Network, NextHops], after: Mapping[IPv4Network, NextHops]) -> Iterator[str]:
    moves: dict[tuple[NextHops | None, NextHops | None], list[IPv4Network]] = {}
    for prefix in before.keys() | after.keys():
        old, new = before.get(prefix), after.get(prefix)
        if old != new:
            moves.setdefault((old, new), []).append(prefix)
    for (old, new), prefixes in sorted(moves.items(), key=lambda move: min(move[1])):
        named = " ".join(map(str, sorted(prefixes))) if len(prefixes) <= FEW else f"{len(prefixes):,} prefixes"
        yield f"{named}  {old or '—'} → {new or '—'}"
