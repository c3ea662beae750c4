"""`labkit list`: the labs on this machine."""

from __future__ import annotations

import time
from datetime import datetime

from labkit.cli.output import Colour, Format, FormatOption, put_json, put_table, say, span
from labkit.operate import lifecycle
from labkit.operate.record import everything
from labkit.operate.running import inspect


def command(output: FormatOption = Format.TABLE) -> None:
    """List the labs on this machine."""
    labs = []
    for record in everything():
        status = inspect(record)
        labs.append(
            {
                "lab": record.lab,
                "runtime": record.runtime,
                "state": status.state if status is not None else "dead" if record.runtime else "damaged",
                "nodes": len(status.nodes) if status is not None else 0,
                "created": datetime.fromtimestamp(record.created).astimezone().isoformat(timespec="seconds"),
                "lab_file": record.lab_file,
            }
        )
    if output is Format.JSON:
        put_json(labs)
        return
    if not labs:
        say(f"No lab runs here. Bring one up: labkit up LAB    (labkit comes with: {', '.join(lifecycle.bundled())})")
        return
    rows = [
        (lab["lab"], lab["runtime"] or "?", lab["state"], lab["nodes"], _age(str(lab["created"])), lab["lab_file"])
        for lab in labs
    ]
    put_table(("Lab", "Runtime", "State", "Nodes", "Age", "Lab file"), rows, _colour)
    for lab in labs:
        if lab["state"] in ("dead", "damaged"):
            say(f"{lab['lab']} is {lab['state']}. Clear it away: labkit down {lab['lab']}")


def _age(created: str) -> str:
    return span(time.time() - datetime.fromisoformat(created).timestamp())


def _colour(cell: str) -> Colour | None:
    return {"running": Colour.GREEN, "deploying": Colour.YELLOW, "dead": Colour.RED, "damaged": Colour.RED}.get(cell)
