"""`labkit verify`: whether the running lab does what its file claims and what Azure's rules require."""

from __future__ import annotations

import time
from typing import Annotated, NotRequired, TypedDict

import typer

from labkit.cli.output import Format, FormatOption, LabArgument, LabOption, note, one_lab, put, put_json, span
from labkit.cli.results import ComparisonTable, comparison_json, listing
from labkit.operate.labs.lifecycle import must_be_its_file
from labkit.operate.look.client import LabClient
from labkit.operate.look.running import lab_of, running
from labkit.operate.records.lab_files import find_lab_file
from labkit.operate.verify.run import Outcome, verify


def command(
    lab: LabArgument = None,
    *,
    within: Annotated[
        float | None,
        typer.Option(min=0, help="Seconds for all checks, instead of each proof's own time; 0: once."),
    ] = None,
    output: FormatOption = Format.TABLE,
    named: LabOption = None,
) -> None:
    """Check all proofs of a running lab.

    Also compares BGP sessions, kernels and fabric programs with what Azure's rules and the lab file expect. Exit
    status 1: a check failed.
    """
    began = time.monotonic()
    meant = one_lab(lab, named)
    record, _ = running(meant)
    if meant not in (None, record.lab):
        must_be_its_file(record, find_lab_file(str(meant)))
    built = lab_of(record)
    outcomes = verify(built, LabClient(record), within=within)
    if output is Format.JSON:
        put_json([_json(outcome) for outcome in outcomes])
    else:
        listing(outcomes)
    for text in built.own_routers.values():
        note(text)
    bad = sum(not o.ok for o in outcomes)
    result = f"{bad} of {len(outcomes)} checks failed" if bad else f"all {len(outcomes)} checks passed"
    show = note if output is Format.JSON else put  # next to JSON it is a message
    show(f"{record.title}: {result} ({span(time.monotonic() - began)}).")
    if bad:
        raise typer.Exit(1)


class OutcomeRow(TypedDict):
    """A check in JSON; `published` is there for a comparison with a published table."""

    proof: str
    line: int
    ok: bool
    problem: str
    published: NotRequired[ComparisonTable]


def _json(outcome: Outcome) -> OutcomeRow:
    row: OutcomeRow = {
        "proof": outcome.title,
        "line": outcome.line,
        "ok": outcome.ok,
        "problem": outcome.problem,
    }
    return row if outcome.comparison is None else {**row, "published": comparison_json(outcome.comparison)}
