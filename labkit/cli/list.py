"""`labkit list`: the labs on this machine."""

from __future__ import annotations

from datetime import datetime

from labkit.cli.output import Format, FormatOption, put_json, put_table
from labkit.operate.record import everything
from labkit.runtimes.select import runtime


def command(output: FormatOption = Format.TABLE) -> None:
    """List the labs on this machine."""
    labs = []
    for record in everything():
        status = runtime(record.runtime).inspect(record.lab)
        labs.append(
            {
                "lab": record.lab,
                "runtime": record.runtime,
                "state": status.state if status is not None else "dead",
                "nodes": len(status.nodes) if status is not None else 0,
                "created": datetime.fromtimestamp(record.created).astimezone().isoformat(timespec="seconds"),
                "lab_file": record.lab_file,
            }
        )
    if output is Format.JSON:
        put_json(labs)
        return
    put_table(("Lab", "Runtime", "State", "Nodes", "Created", "Lab file"), [tuple(lab.values()) for lab in labs])
