"""`labkit routes`: a node's own routing table, from its kernel or its BGP daemon."""

from __future__ import annotations

from typing import Annotated

import typer

from labkit.cli.output import Format, FormatOption, LabOption
from labkit.operate.record import the_running_lab
from labkit.runtimes.select import runtime


def command(
    node: Annotated[str, typer.Argument(help="The node.")],
    bgp: Annotated[bool, typer.Option("--bgp", help="FRR's BGP table in place of the kernel's FIB.")] = False,
    lab: LabOption = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """Show a node's own routes: `ip route` in its kernel, or `show bgp ipv4 unicast` in its FRR."""
    json = output is Format.JSON
    if bgp:
        argv = ["vtysh", "-c", "show bgp ipv4 unicast" + (" json" if json else "")]
    else:
        argv = ["ip", *(["-j", "-p"] if json else []), "-4", "route", "show"]
    record = the_running_lab(lab)
    raise typer.Exit(runtime(record.runtime).attach(record.lab, node, argv))
