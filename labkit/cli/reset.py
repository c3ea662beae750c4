"""`labkit reset`: undo the changes made since the lab started."""

from __future__ import annotations

from labkit.cli.output import LabOption, note_done
from labkit.operate.look.client import LabClient
from labkit.operate.look.running import running


def command(lab: LabOption = None) -> None:
    """Undo all changes that `labkit changes` lists. The lab keeps running."""
    note_done(LabClient(running(lab)[0]).post("reset"))
