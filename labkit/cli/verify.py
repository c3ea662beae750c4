"""`labkit verify`: does the running lab do what its file claims and what the rules say?"""

from __future__ import annotations

from typing import Annotated

import typer

from labkit.cli.output import Format, FormatOption, LabOption, put_json, say
from labkit.cli.results import failures
from labkit.lab.load import load
from labkit.operate.client import LabClient
from labkit.operate.record import the_running_lab
from labkit.operate.verify import verify


def command(
    lab: Annotated[str | None, typer.Argument(help="The lab. Default: the only one there is.")] = None,
    within: Annotated[
        float | None, typer.Option(help="Seconds that everything may take, in place of each proof's own; 0 looks once.")
    ] = None,
    output: FormatOption = Format.TABLE,
    also: LabOption = None,
) -> None:
    """Check every proof of the lab's file, every VM's kernel and every fabric's program."""
    record = the_running_lab(lab or also)
    outcomes = verify(load(record.folder / "lab.yml"), LabClient(record), within=within)
    if output is Format.JSON:
        put_json([{"proof": o.title, "line": o.line, "ok": o.ok, "problem": o.problem} for o in outcomes])
    else:
        for outcome in outcomes:
            if outcome.ok:
                say(f" ✓ {outcome.title}")
    if any(not o.ok for o in outcomes):
        if output is Format.TABLE:
            failures(outcomes)
        raise typer.Exit(1)
