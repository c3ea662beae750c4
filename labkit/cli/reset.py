"""`labkit reset`: Azure's objects as the lab file has them."""

from __future__ import annotations

from labkit.cli.output import LabOption, say_done
from labkit.operate.look.client import LabClient
from labkit.operate.look.running import running


def command(lab: LabOption = None) -> None:
    """Undo what `labkit changes` shows: Azure's objects become what the lab file says. The lab goes on running."""
    say_done(LabClient(running(lab)[0]).post("reset"))
