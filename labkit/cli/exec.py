"""`labkit exec`: a command in a node."""

from __future__ import annotations

from typing import Annotated

import typer

from labkit.cli.output import LabOption, NodeArgument
from labkit.operate.look.running import running
from labkit.runtimes.select import runtime


def command(
    node: NodeArgument,
    argv: Annotated[list[str], typer.Argument(metavar="[--] COMMAND [ARGUMENT]...", help="The command to run.")],
    lab: LabOption = None,
) -> None:
    """Run a command in a node. Input, output and exit status are passed through.

    For example: labkit exec vm1 -- ip route.  Options of labkit, such as --lab, go before NODE.
    """
    record, _ = running(lab)
    command_line = argv[1:] if argv[0] == "--" else argv
    raise typer.Exit(runtime(record.runtime).attach(record.lab, node, command_line))
