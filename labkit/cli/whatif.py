"""`labkit whatif`: what a change would do, before it is done."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Network
from typing import Annotated, Any

import typer

from labkit.azure.model import EffectiveRoute, NextHopType, RouteState
from labkit.azure.rules.effective import RESERVED_BLOCKS
from labkit.azure.rules.rows import effective_json
from labkit.cli.output import Colour, Format, FormatOption, LabOption, note, paint, put, put_json, put_table
from labkit.operate.look.client import LabClient
from labkit.operate.look.running import lab_of, running
from labkit.operate.whatif import Outlook, whatif
from labkit.predict.whatif.routes import GONE, RouteChange, Told
from labkit.predict.whatif.ways import Way
from labkit.predict.whatif.words import FORMS

SHOWN = 20
"""Rows of one table that are shown; JSON has them all."""

SETTINGS = {"ignore_unknown_options": True}


def command(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="CHANGE...",
            help="One or several changes.",
            autocompletion=lambda: list(FORMS),
            show_default=False,
        ),
    ] = None,
    lab: LabOption = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """Show which routes and whose reach a change would change. The running lab stays as it is.

    A change is one of these, with -- before it or without; several stand one after the other.
    """
    record, _ = running(lab)
    found = whatif(lab_of(record), LabClient(record), words or ())
    for place in found.unsettled[:SHOWN]:
        note(
            f" {paint('!', Colour.YELLOW, sys.stderr)} {place}: the lab has other routes now than the rules make of "
            "what was announced. Look: labkit diff"
        )
    if output is Format.JSON:
        put_json(_json(found))
    else:
        _print(found)


# Each form is a line of its own in the help.
command.__doc__ = f"{command.__doc__}\n\n    " + "\n\n    ".join(FORMS.values())


def _print(found: Outlook) -> None:
    for title in found.titles:
        put(f"What if  {title}")
    for warning in found.warnings:
        put(f" {paint('!', Colour.YELLOW)} {warning}")
    put("")
    if found.nothing:
        put("Nothing would change.\n")
    for change in found.nics:
        put(f"Effective routes of {', '.join(change.nics)}")
        _table(("Address Prefix", "Before", "After", "Why"), list(_changes(change.routes)))
    if found.pairs:
        put("Reach, one way: answers have rows of their own")
        _table(
            ("From", "To", "Before", "After"),
            [(p.source, p.target, _ways(p.before), _ways(p.after)) for p in found.pairs],
        )
    if found.told:
        put("Told outside Azure, by their AS paths")
        _table(
            ("To", "By", "Prefix", "Before", "After"), [(t.to, t.by, t.prefix, t.before, t.after) for t in found.told]
        )
    if not found.nothing and not found.nics:
        but = "" if found.followed else ", but for what is not followed"
        put(f"No NIC's effective routes would change{but}.\n")
    put("Assumed")
    for line in found.assumed:
        put(f"  {line}")


def _changes(routes: Iterable[RouteChange]) -> Iterator[tuple[object, ...]]:
    """A row for every prefix; the blocks that Azure drops by itself come and go together, and share one."""
    blocks: dict[tuple[str, str, str], list[IPv4Network]] = {}
    for route in routes:
        texts = _rows(route.before), _rows(route.after), route.why
        if route.prefix in RESERVED_BLOCKS and {*texts[:2]} == {GONE, NextHopType.NONE}:
            blocks.setdefault(texts, []).append(route.prefix)
        else:
            yield (route.prefix, *texts)
    for shared, prefixes in blocks.items():
        yield (f"{len(prefixes)} reserved blocks" if len(prefixes) > 1 else prefixes[0], *shared)


def _table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    put_table(columns, rows[:SHOWN])
    if len(rows) > SHOWN:
        put(f"... and {len(rows) - SHOWN:,} more: --format json")
    put("")


def _rows(rows: Iterable[EffectiveRoute]) -> str:
    """The Active row of a prefix, then the Invalid ones."""
    ordered = sorted(rows, key=lambda row: row.state is not RouteState.ACTIVE)
    return "; ".join(_row(row) for row in ordered) or GONE


def _row(row: EffectiveRoute) -> str:
    words = [str(row.next_hop_type), *map(str, row.next_hops), f"({row.source})" if row.source == "User" else ""]
    text = " ".join(filter(None, words))
    return text if row.state is RouteState.ACTIVE else f"[{row.state}: {text}]"


def _ways(ways: Iterable[Way]) -> str:
    return " or ".join(map(str, ways))


def _json(found: Outlook) -> dict[str, Any]:
    return {
        "changes": list(found.titles),
        "nics": [{"nics": list(c.nics), "routes": [_route_json(r) for r in c.routes]} for c in found.nics],
        "reach": [
            {
                "from": pair.source,
                "to": pair.target,
                "before": [_way_json(way) for way in pair.before],
                "after": [_way_json(way) for way in pair.after],
            }
            for pair in found.pairs
        ],
        "told": [_told_json(told) for told in found.told],
        "warnings": list(found.warnings),
        "assumed": list(found.assumed),
        "unsettled": list(found.unsettled),
        "followed": found.followed,
    }


def _route_json(change: RouteChange) -> dict[str, Any]:
    return {
        "prefix": str(change.prefix),
        "before": effective_json(change.before)["value"],
        "after": effective_json(change.after)["value"],
        "why": change.why,
    }


def _way_json(way: Way) -> dict[str, Any]:
    return {"disposition": str(way.disposition), "through": list(way.through), "at": way.at, "why": way.why}


def _told_json(told: Told) -> dict[str, str | None]:
    before, after = (None if text == GONE else text for text in (told.before, told.after))
    return {"to": told.to, "by": told.by, "prefix": str(told.prefix), "before": before, "after": after}
