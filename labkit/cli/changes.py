"""`labkit changes`: what was changed since the lab started."""

from __future__ import annotations

from labkit.azure.changes.registry import to_json
from labkit.cli.output import Format, FormatOption, LabArgument, LabOption, note, one_lab, put, put_json, put_table
from labkit.lab.running import carry_out
from labkit.operate.changes import Now
from labkit.operate.diff.by_hand import changes_by_hand
from labkit.operate.look.live_state import LiveState
from labkit.operate.look.running import running


def command(lab: LabArgument = None, named: LabOption = None, output: FormatOption = Format.TABLE) -> None:
    """Show changes made to Azure's objects since the lab started, and by hand to routers' configurations.

    `labkit reset` undoes the first. Other commands run inside nodes (`exec`, `shell`) and nodes powered off are not
    listed. The JSON is a list for `labkit apply`: it makes the same changes to a lab that has just started.
    """
    record, _ = running(one_lab(lab, named))
    now = Now(record)
    found = now.client.changes()
    if output is Format.JSON:
        put_json(to_json(found))
        return
    if found:
        done = carry_out(now.lab, now.lab.azure, found).done
        put_table(("Kind", "Object", "Change"), [(each.change.kind, each.change.subject, each.what) for each in done])
        note("Undo them: labkit reset")
    by_hand = list(changes_by_hand(LiveState(now.lab, now.client), now.azure))
    if by_hand:
        put_table(("Where", "Before", "Now"), [(each.where, each.model, each.there) for each in by_hand])
    if not (found or by_hand):
        put(f"{record.title}: no changes.")
