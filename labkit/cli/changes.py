"""`labkit changes`: what was changed since the lab came up."""

from __future__ import annotations

from labkit.cli.output import Format, FormatOption, LabOption, put, put_json, put_table, say
from labkit.operate.look.client import LabClient
from labkit.operate.look.running import running


def command(lab: LabOption = None, output: FormatOption = Format.TABLE) -> None:
    """Show where Azure's objects are no longer what the lab file says, by changes made while the lab runs.

    `labkit reset` undoes them. What was done inside nodes (`exec`, `shell`) or to their power is not among them.
    """
    record, _ = running(lab)
    found = LabClient(record).get("changes")
    if output is Format.JSON:
        put_json(found)
    elif found:
        rows = [(c["object"], c["setting"] or "-", c["lab_file"], c["now"]) for c in found]
        put_table(("Object", "Setting", "Lab file", "Now"), rows)
        say("Undo them: labkit reset")
    else:
        put(f"{record.title}: everything is as its lab file says.")
