"""`labkit whatif`: what a change would do, before it is done."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Network
from typing import Annotated, TypedDict

import typer

from labkit.azure.model import EffectiveRoute, NextHopType, RouteState
from labkit.azure.rules.effective import RESERVED_BLOCKS, RESERVED_BLOCKS_2021
from labkit.azure.rules.rows import EffectiveRow, effective_json
from labkit.cli import complete
from labkit.cli.changing import Trial, only_changing
from labkit.cli.output import Colour, Format, FormatOption, LabOption, note, paint, put, put_json, put_table
from labkit.cli.verb import strict
from labkit.errors import InvalidInput
from labkit.lab.file.problems import nearest
from labkit.names import meant
from labkit.operate.whatif import Outlook, whatif
from labkit.predict.whatif.prepend import MOST_PREPENDS, Prepend
from labkit.predict.whatif.routes import GONE, AdvertisementChange, RouteChange
from labkit.predict.whatif.ways import Way

SHOWN = 20
"""Rows of one table that are shown; JSON has them all."""

VERBS = ("route-server", "route-table", "vnet", "nic", "nva", "gateway", "circuit", "firewall", "apply", "reset")
"""The verbs that change a running lab."""

SEPARATOR = ","


def command(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="COMMAND",
            help="The command that makes the change, without `labkit`; a comma separates several.",
            autocompletion=lambda: [*VERBS],
            show_default=False,
        ),
    ],
    lab: LabOption = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """Show which routes and whose reach a change would change. The running lab stays as it is.

    COMMAND is the command that makes the change, without `labkit`:

    labkit whatif route-server update rs1 --branch-to-branch on

    It changes the lab: route-server, route-table, vnet, nic, nva, gateway, circuit, firewall, apply or reset.

    Several commands, with a comma between them, are tried together: their outcome is judged.

    `labkit whatif nva prepend NVA TIMES` tries an NVA that prepends its ASN.

    Options of whatif, such as --format, go before COMMAND.
    """
    trial = Trial(lab)
    attempt(trial, words)
    now = trial.now()
    found = whatif(now.lab, now.client, trial.changes, trial.prepends)
    for place in found.unsettled[:SHOWN]:
        note(
            f" {paint('!', Colour.YELLOW, sys.stderr)} {place}: the lab's present routes are not those that the rules "
            "predict. Compare: labkit diff"
        )
    if output is Format.JSON:
        put_json({"changes": trial.titles, **_json(found)})
    else:
        _print(trial.titles, found)


def attempt(trial: Trial, words: Iterable[str]) -> None:
    """Run command lines of verbs that change a lab, so that their changes go to `trial`.

    Raises:
        LabkitError: a command line makes no change, or a wrong one.
        TyperException: its arguments are wrong.
    """
    lines = list(_command_lines(words))
    if not lines:
        raise InvalidInput("labkit whatif: nothing to try.", f"Name a verb that changes the lab: {', '.join(VERBS)}.")
    application = _application()
    for line in lines:
        if line[0] not in VERBS:
            near = nearest(line[0], VERBS)
            remedy = f"Did you mean {near}?" if near else f"These change the lab: {', '.join(VERBS)}."
            raise InvalidInput(f"labkit whatif: {line[0]} is not a verb that changes the lab.", remedy)
        application(line, prog_name="labkit whatif", standalone_mode=False, obj=trial)


def _command_lines(words: Iterable[str]) -> Iterator[list[str]]:
    """The words of each command line; a comma is a word or ends one."""
    line: list[str] = []
    for word in words:
        bare = word.removesuffix(SEPARATOR)
        line += [bare] if bare or not word else []
        if bare != word and line:
            yield line
            line = []
    if line:
        yield line


def _application() -> typer.Typer:
    """The commands that change a running lab, and an NVA's prepending, which no verb does by so many times more."""
    app = typer.Typer(name="whatif", no_args_is_help=True, pretty_exceptions_enable=False)
    for verb in VERBS:
        module = importlib.import_module(f"labkit.cli.{verb.replace('-', '_')}")
        if hasattr(module, "app"):
            verbs = only_changing(module.app)
            if verb == "nva":
                verbs.command("prepend", context_settings={"ignore_unknown_options": True})(_prepend)
            app.add_typer(verbs, name=verb)
        else:
            app.command(verb)(module.command)
    return strict(app)


def _prepend(
    ctx: typer.Context,
    nva: Annotated[str, typer.Argument(metavar="NVA", autocompletion=complete.nvas)],
    times: Annotated[int, typer.Argument(metavar="TIMES", help="How many times more; less, if negative.")],
) -> None:
    """Try an NVA that prepends its ASN to the paths it advertises to route servers. Its BGP daemon would do it."""
    if not 0 < abs(times) <= MOST_PREPENDS:
        raise InvalidInput(
            f"labkit whatif nva prepend: {times} is not between 1 and {MOST_PREPENDS}, or -{MOST_PREPENDS} and -1.",
            "Give the number of times more, or less, that the ASN is in the path.",
        )
    ctx.obj.prepend(Prepend(meant(nva, ctx.obj.now().lab.nva) or nva, times))


def _print(titles: Iterable[str], found: Outlook) -> None:
    for title in titles:
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
        put("Reachability, one way: the way back has a row of its own")
        _table(
            ("From", "To", "Before", "After"),
            [(p.source, p.target, _ways(p.before), _ways(p.after)) for p in found.pairs],
        )
    if found.advertised:
        put("Advertised outside Azure, by AS path")
        _table(
            ("To", "By", "Prefix", "Before", "After"),
            [(t.to, t.by, t.prefix, t.before, t.after) for t in found.advertised],
        )
    if not found.nothing and not found.nics:
        but = "" if found.followed else ", except for what is not predicted"
        put(f"No NIC's effective routes would change{but}.\n")
    put("Assumed")
    for line in found.assumed:
        put(f"  {line}")


def _changes(routes: Iterable[RouteChange]) -> Iterator[tuple[object, ...]]:
    """A row for every prefix; the blocks that Azure drops by itself come and go together, and share one."""
    blocks: dict[tuple[str, str, str], list[IPv4Network]] = {}
    for route in routes:
        texts = _rows(route.before), _rows(route.after), route.why
        if route.prefix in (*RESERVED_BLOCKS, *RESERVED_BLOCKS_2021) and {*texts[:2]} == {GONE, NextHopType.NONE}:
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


class WayRow(TypedDict):
    """A way of packets in JSON."""

    disposition: str
    through: list[str]
    at: str
    why: str


class RouteRow(TypedDict):
    """A prefix whose effective routes change, in JSON."""

    prefix: str
    before: list[EffectiveRow]
    after: list[EffectiveRow]
    why: str


class NicRow(TypedDict):
    """NICs whose effective routes change alike, in JSON."""

    nics: list[str]
    routes: list[RouteRow]


PairRow = TypedDict("PairRow", {"from": str, "to": str, "before": list[WayRow], "after": list[WayRow]})
"""Two nodes between which packets go other ways, in JSON."""


class AdvertisementRow(TypedDict):
    """A prefix that is advertised otherwise, in JSON: AS paths, null where it is not advertised."""

    to: str
    by: str
    prefix: str
    before: str | None
    after: str | None


class OutlookJson(TypedDict):
    """A prediction in JSON."""

    nics: list[NicRow]
    reach: list[PairRow]
    advertised: list[AdvertisementRow]
    warnings: list[str]
    assumed: list[str]
    unsettled: list[str]
    followed: bool


def _json(found: Outlook) -> OutlookJson:
    return {
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
        "advertised": [_advertised_json(each) for each in found.advertised],
        "warnings": list(found.warnings),
        "assumed": list(found.assumed),
        "unsettled": list(found.unsettled),
        "followed": found.followed,
    }


def _route_json(change: RouteChange) -> RouteRow:
    return {
        "prefix": str(change.prefix),
        "before": effective_json(change.before)["value"],
        "after": effective_json(change.after)["value"],
        "why": change.why,
    }


def _way_json(way: Way) -> WayRow:
    return {"disposition": str(way.disposition), "through": list(way.through), "at": way.at, "why": way.why}


def _advertised_json(change: AdvertisementChange) -> AdvertisementRow:
    before, after = (None if text == GONE else text for text in (change.before, change.after))
    return {"to": change.to, "by": change.by, "prefix": str(change.prefix), "before": before, "after": after}
