"""`labkit verify`: does the running lab do what its file claims and what the rules say?"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from labkit.cli import complete
from labkit.cli.output import Format, FormatOption, LabOption, put, put_json, say, span
from labkit.cli.results import comparison_json, listing
from labkit.operate.labs import lifecycle
from labkit.operate.look.client import LabClient
from labkit.operate.look.running import lab_of, running
from labkit.operate.verify.run import Outcome, verify


def command(
    lab: Annotated[
        str | None,
        typer.Argument(
            metavar="LAB",
            help="The lab's name, or its file. Default: the only lab there is.",
            autocompletion=complete.labs,
        ),
    ] = None,
    within: Annotated[
        float | None,
        typer.Option(min=0, help="Seconds that everything may take, in place of each proof's own; 0 looks once."),
    ] = None,
    output: FormatOption = Format.TABLE,
    also: LabOption = None,
) -> None:
    """Check all proofs of a running lab.

    Also compares every VM's kernel and every fabric's program with what Azure's rules say.
    """
    began = time.monotonic()
    record, _ = running(lifecycle.lab_name(lab) if lab else also)
    if lab and lab != record.lab:
        lifecycle.must_be_its_file(record, Path(lifecycle.find_lab_file(lab)))
    outcomes = verify(lab_of(record), LabClient(record), within=within)
    if output is Format.JSON:
        put_json([_json(outcome) for outcome in outcomes])
    else:
        listing(outcomes)
    bad = sum(not o.ok for o in outcomes)
    result = f"{bad} of {len(outcomes)} checks do not hold" if bad else f"all {len(outcomes)} checks hold"
    tell = say if output is Format.JSON else put  # beside JSON it is talk
    tell(f"{record.title}: {result} ({span(time.monotonic() - began)}).")
    if bad:
        raise typer.Exit(1)


def _json(outcome: Outcome) -> dict[str, object]:
    said: dict[str, object] = {
        "proof": outcome.title,
        "line": outcome.line,
        "ok": outcome.ok,
        "problem": outcome.problem,
    }
    return said if outcome.comparison is None else {**said, "published": comparison_json(outcome.comparison)}
