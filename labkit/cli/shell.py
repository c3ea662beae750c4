"""`labkit shell`: an interactive shell in a node."""

from __future__ import annotations

import typer

from labkit.cli.output import LabOption, NodeArgument
from labkit.operate.look.running import running
from labkit.runtimes.select import runtime


def command(node: NodeArgument, lab: LabOption = None) -> None:
    """Open a shell in a node. NVAs and site routers have FRR's `vtysh`."""
    record, _ = running(lab)
    raise typer.Exit(runtime(record.runtime).attach(record.lab, node, ("bash",)))
