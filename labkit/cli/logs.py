"""`labkit logs`: the output of a node's services."""

from __future__ import annotations

from typing import Annotated

import typer

from labkit.cli.output import LabOption, NodeArgument, put
from labkit.operate.look.running import the_lab
from labkit.runtimes.select import runtime


def command(
    node: NodeArgument,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Keep printing new lines.")] = False,
    lab: LabOption = None,
) -> None:
    """Print the output of a node's services. Works for a dead lab too."""
    record = the_lab(lab)
    for line in runtime(record.runtime).logs(record.lab, node, follow):
        put(line, now=follow)
