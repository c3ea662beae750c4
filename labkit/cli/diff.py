"""`labkit diff`: where the running lab differs from the model."""

from __future__ import annotations

import typer

from labkit.cli.output import Format, FormatOption, LabArgument, LabOption, note, one_lab, put, put_json, put_table
from labkit.operate.diff.run import differences
from labkit.operate.look.client import LabClient
from labkit.operate.look.live_state import LiveState
from labkit.operate.look.running import lab_of, running

COLUMNS = ("Where", "Prefix", "Expected", "Found")


def command(lab: LabArgument = None, named: LabOption = None, output: FormatOption = Format.TABLE) -> None:
    """Show where the running lab differs from the model, row by row.

    Compares the Adj-RIB-In and Adj-RIB-Out of route servers, gateways and circuits with what their neighbours have,
    effective routes, fabric programs and the kernels of machines. Sessions count as they are: `labkit verify` names
    those that should be up. Exit status 1: something differs.
    """
    record, _ = running(one_lab(lab, named))
    here, client = lab_of(record), LabClient(record)
    found = differences(here, client)
    off = sorted(LiveState(here, client).off)
    for text in here.own_routers.values():
        note(text)
    if off:
        note(f"Not compared, because powered off: {', '.join(off)}")
    if output is Format.JSON:
        put_json([{"where": d.where, "prefix": d.prefix, "model": d.model, "there": d.there} for d in found])
    elif found:
        put_table(COLUMNS, [(d.where, d.prefix or "-", d.model, d.there) for d in found])
        for hint in dict.fromkeys(d.hint for d in found):
            note(f"See: {hint}")
    else:
        put(f"{record.title}: no differences from the model.")
    if found:
        raise typer.Exit(1)
