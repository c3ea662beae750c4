"""`labkit routes`: the routing table of a node's kernel, or the BGP table of its daemon."""

from __future__ import annotations

from typing import Annotated

import typer

from labkit.cli.output import Format, FormatOption, LabOption, NodeArgument
from labkit.errors import InvalidInput
from labkit.operate.look.running import lab_of, running
from labkit.runtimes.select import runtime


def command(
    node: NodeArgument,
    bgp: Annotated[bool, typer.Option("--bgp", help="FRR's BGP table instead of the kernel's FIB.")] = False,
    lab: LabOption = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """Show the routes in a node's kernel or its FRR. Runs `ip route`, or `show bgp ipv4 unicast` in vtysh."""
    json = output is Format.JSON
    record, status = running(lab)
    if bgp:
        found = lab_of(record)
        instances = [i.node for gateway in found.azure.gateways for i in gateway.instance_ids]
        routers = [*found.nva, *instances, *found.azure.circuit, *(site.name for site in found.sites)]
        if node not in routers and any(n.name == node for n in status.nodes):
            raise InvalidInput(f"{node} does not run FRR.", f"Nodes with FRR: {', '.join(routers) or 'none'}.")
        argv = ["vtysh", "-c", "show bgp ipv4 unicast" + (" json" if json else "")]
    else:
        argv = ["ip", *(["-j", "-p"] if json else []), "-4", "route", "show"]
    raise typer.Exit(runtime(record.runtime).attach(record.lab, node, argv))
