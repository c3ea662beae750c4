"""`labkit routes`: the routing table of a node's kernel, or the BGP table of its daemon."""

from __future__ import annotations

from typing import Annotated

import typer

from labkit.cli.output import Format, FormatOption, LabOption, NodeArgument
from labkit.errors import InvalidInput
from labkit.operate.look.daemon import daemon_in
from labkit.operate.look.running import running
from labkit.runtimes.select import runtime


def command(
    node: NodeArgument,
    bgp: Annotated[bool, typer.Option("--bgp", help="The BGP daemon's table instead of the kernel's FIB.")] = False,
    lab: LabOption = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """Show the routes in a node's kernel or its BGP daemon."""
    json = output is Format.JSON
    record, status = running(lab)
    if bgp:
        daemon = daemon_in(record, status, node)
        shown = daemon.tables.shown_as_json() if json else daemon.tables.shown()
        if shown is None:
            raise InvalidInput(f"{node}: {daemon.name} does not print its tables as JSON.", "Leave out --format json.")
        argv = list(shown)
    else:
        argv = ["ip", *(["-j", "-p"] if json else []), "-4", "route", "show"]
    raise typer.Exit(runtime(record.runtime).attach(record.lab, node, argv))
