"""`labkit shell`: an interactive shell in a node."""

from __future__ import annotations

from typing import Annotated

import typer

from labkit.cli.output import LabOption
from labkit.operate.record import the_running_lab
from labkit.runtimes.select import runtime


def command(node: Annotated[str, typer.Argument(help="The node.")], lab: LabOption = None) -> None:
    """Open a shell in a node. On NVAs and site routers, `vtysh` is FRR's."""
    record = the_running_lab(lab)
    raise typer.Exit(runtime(record.runtime).attach(record.lab, node, ("bash", "-i")))
