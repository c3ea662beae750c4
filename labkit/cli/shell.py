"""`labkit shell`: an interactive shell in a node."""

from __future__ import annotations

import typer

from labkit.cli.output import LabOption, NodeArgument
from labkit.operate.look.running import running
from labkit.runtimes.select import runtime


def command(node: NodeArgument, lab: LabOption = None) -> None:
    """Open a shell in a node. On NVAs and site routers, `vtysh` is FRR's."""
    record, _ = running(lab)
    raise typer.Exit(runtime(record.runtime).attach(record.lab, node, ("bash",)))
