"""`labkit diff`: where the running lab is not what the model says."""

from __future__ import annotations

import typer

from labkit.cli.output import Format, FormatOption, LabOption, put, put_json, put_table, say
from labkit.operate.diff.run import differences
from labkit.operate.look.client import LabClient
from labkit.operate.look.live_state import LiveState
from labkit.operate.look.running import lab_of, running

COLUMNS = ("Where", "Prefix", "The model says", "There is")


def command(lab: LabOption = None, output: FormatOption = Format.TABLE) -> None:
    """Show where the running lab is not what the model says, row by row.

    Compares what route servers, gateways and circuits keep and say, what their neighbours really hold, effective
    routes, fabrics' programs and machines' kernels. A difference is exit status 1.
    """
    record, _ = running(lab)
    here, client = lab_of(record), LabClient(record)
    found = differences(here, client)
    off = sorted(LiveState(here, client).off)
    if off:
        say(f"Not looked into, being off: {', '.join(off)}")
    if output is Format.JSON:
        put_json([{"where": d.where, "prefix": d.prefix, "model": d.model, "there": d.there} for d in found])
    elif found:
        put_table(COLUMNS, [(d.where, d.prefix or "-", d.model, d.there) for d in found])
        for hint in dict.fromkeys(d.hint for d in found):
            say(f"Look: {hint}")
    else:
        put(f"{record.title}: nothing differs from the model.")
    if found:
        raise typer.Exit(1)
