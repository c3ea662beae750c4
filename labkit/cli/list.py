"""`labkit list`: the labs on this machine."""

from __future__ import annotations

import time
from datetime import datetime

from labkit.cli.output import Colour, Format, FormatOption, note, put_json, put_table, span
from labkit.errors import EnvironmentProblem
from labkit.operate.look.running import inspect
from labkit.operate.records.lab_files import bundled
from labkit.operate.records.others import others
from labkit.operate.records.record import everything, strangers


def command(output: FormatOption = Format.TABLE) -> None:
    """List the labs on this machine, including other users' labs on Docker."""
    labs = []
    own = everything()
    for record in [*own, *others(own, _silent)]:
        state, nodes = "dead" if record.runtime else "damaged", 0
        try:
            status = inspect(record)
            if status is not None:
                state, nodes = status.state, len(status.nodes)
        except EnvironmentProblem as problem:  # its runtime does not work; the other labs are still shown
            state = "unknown"
            note(f"{record.lab}: {problem.message}\n    {problem.remedy}")
        labs.append(
            {
                "lab": record.lab,
                "variant": record.variant,
                "runtime": record.runtime,
                "state": state,
                "nodes": nodes,
                "created": datetime.fromtimestamp(record.created).astimezone().isoformat(timespec="seconds"),
                "lab_file": record.lab_file,
                "problem": record.problem,
            }
        )
    if output is Format.JSON:
        put_json(labs)
        return
    for stranger in strangers():
        note(f"{str(stranger)!a} is not a lab's folder. Remove it.")
    if not labs:
        note(f"No lab runs here. Start one: labkit up LAB    (labkit comes with: {', '.join(bundled())})")
        return
    rows = [
        (
            lab["lab"],
            lab["variant"] or "-",
            lab["runtime"] or "?",
            lab["state"],
            lab["nodes"],
            _age(str(lab["created"])),
            lab["lab_file"] or ("?" if lab["problem"] else "not yours"),
        )
        for lab in labs
    ]
    put_table(("Lab", "Variant", "Runtime", "State", "Nodes", "Age", "Lab file"), rows, _colour)
    for lab in labs:
        if lab["state"] in ("dead", "damaged"):
            why = f": {lab['problem']}" if lab["problem"] else ""
            note(f"{lab['lab']} is {lab['state']}{why}. Remove it: labkit down {lab['lab']}")


def _silent(problem: EnvironmentProblem) -> None:
    note(f"labs on Docker are not listed: {problem.message}\n    {problem.remedy}")


def _age(created: str) -> str:
    return span(time.time() - datetime.fromisoformat(created).timestamp())


def _colour(cell: str) -> Colour | None:
    return {"running": Colour.GREEN, "deploying": Colour.YELLOW, "dead": Colour.RED, "damaged": Colour.RED}.get(cell)
