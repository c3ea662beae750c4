"""`labkit reset`: undo the changes made since the lab started."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from labkit.azure.changes.base import Change
from labkit.cli.changing import change, changing
from labkit.cli.output import LabArgument, LabOption, note, one_lab
from labkit.operate.apply import undo
from labkit.operate.changes import Now


@changing
def command(ctx: typer.Context, lab: LabArgument = None, named: LabOption = None) -> None:
    """Undo all changes that `labkit changes` lists. The lab keeps running."""

    def make(now: Now) -> Sequence[Change]:
        changes = undo(now)
        if not changes:
            note(f"{now.record.title}: no changes.")
        return changes

    change(ctx, one_lab(lab, named), make)
