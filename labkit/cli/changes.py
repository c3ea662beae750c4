"""`labkit changes`: what was changed since the lab started."""

from __future__ import annotations

from labkit.cli.output import Format, FormatOption, LabOption, note, put, put_json, put_table
from labkit.operate.look.client import LabClient
from labkit.operate.look.running import running


def command(lab: LabOption = None, output: FormatOption = Format.TABLE) -> None:
    """Show changes made to Azure's objects since the lab started.

    `labkit reset` undoes them. Commands run inside nodes (`exec`, `shell`) and nodes powered off are not listed.
    """
    record, _ = running(lab)
    found = LabClient(record).get("changes")
    if output is Format.JSON:
        put_json(found)
    elif found:
        rows = [(c["object"], c["setting"] or "-", c["lab_file"], c["now"]) for c in found]
        put_table(("Object", "Setting", "Lab file", "Now"), rows)
        note("Undo them: labkit reset")
    else:
        put(f"{record.title}: no changes.")
