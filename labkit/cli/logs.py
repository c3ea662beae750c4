"""`labkit logs`: what a node's services said."""

from __future__ import annotations

from typing import Annotated

import typer

from labkit.cli.output import LabOption, put
from labkit.operate.record import the_running_lab
from labkit.runtimes.select import runtime


def command(
    node: Annotated[str, typer.Argument(help="The node.")],
    follow: Annotated[bool, typer.Option("--follow", help="Wait for more.")] = False,
    lab: LabOption = None,
) -> None:
    """Print the log of a node: what its services wrote."""
    record = the_running_lab(lab)
    for line in runtime(record.runtime).logs(record.lab, node, follow):
        put(line)
