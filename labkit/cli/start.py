"""`labkit start`: power a node on."""

from __future__ import annotations

from typing import Annotated

import typer

from labkit.cli.output import LabOption, say
from labkit.operate.record import the_running_lab
from labkit.runtimes.select import runtime


def command(node: Annotated[str, typer.Argument(help="The node.")], lab: LabOption = None) -> None:
    """Power a node on again, as after a reboot."""
    record = the_running_lab(lab)
    runtime(record.runtime).start(record.lab, node)
    say(f" {node} is on.")
