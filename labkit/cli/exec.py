"""`labkit exec`: a command in a node."""

from __future__ import annotations

from typing import Annotated

import typer

from labkit.cli.output import LabOption
from labkit.operate.record import the_running_lab
from labkit.runtimes.select import runtime


def command(
    node: Annotated[str, typer.Argument(help="The node.")],
    argv: Annotated[list[str], typer.Argument(metavar="[--] COMMAND [ARGUMENTS]...", help="What to run in it.")],
    lab: LabOption = None,
) -> None:
    """Run a command in a node; its output and exit status are passed through."""
    record = the_running_lab(lab)
    command_line = argv[1:] if argv[0] == "--" else argv
    raise typer.Exit(runtime(record.runtime).attach(record.lab, node, command_line))
