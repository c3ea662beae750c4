"""`labkit shell`: an interactive shell in a node."""

from __future__ import annotations

from typing import Annotated

import typer

from labkit.cli.output import LabOption, NodeArgument
from labkit.operate.look.daemon import daemon_in
from labkit.operate.look.running import running
from labkit.runtimes.select import runtime


def command(
    node: NodeArgument,
    bgp: Annotated[bool, typer.Option("--bgp", help="The BGP daemon's own shell, such as FRR's vtysh.")] = False,
    lab: LabOption = None,
) -> None:
    """Open a shell in a node, or that of its BGP daemon."""
    record, status = running(lab)
    argv = daemon_in(record, status, node).services.console if bgp else ("bash",)
    raise typer.Exit(runtime(record.runtime).attach(record.lab, node, argv))
