"""`labkit stop`: power a node off."""

from __future__ import annotations

from typing import Annotated

import typer

from labkit.cli.output import LabOption, say
from labkit.operate.record import the_running_lab
from labkit.runtimes.select import runtime


def command(node: Annotated[str, typer.Argument(help="The node.")], lab: LabOption = None) -> None:
    """Power a node off: links first, then processes, so that no protocol says goodbye."""
    record = the_running_lab(lab)
    runtime(record.runtime).stop(record.lab, node)
    say(f" {node} is off.  Back on: labkit start {node}")
