"""`labkit routes`: the routing table of a node's kernel, or the BGP table of its daemon."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from labkit.cli.output import Colour, Format, FormatOption, LabOption, NodeArgument, note, paint
from labkit.errors import InvalidInput
from labkit.lab.file.problems import some
from labkit.lab.sessions import router_daemons
from labkit.names import meant
from labkit.operate.look.client import LabClient
from labkit.operate.look.daemon import daemon_in
from labkit.operate.look.live_state import LiveState
from labkit.operate.look.running import lab_of, running
from labkit.operate.verify.oracle import inactive
from labkit.runtimes.select import runtime

UNUSED = (
    "not used, though shown as best: {}. A path of an external neighbour needs a next hop on a link, or a session with "
    "ebgp-multihop. Compare: labkit routes without --bgp"
)


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
    status_of_command = runtime(record.runtime).attach(record.lab, node, argv)
    if bgp and not json:
        live = LiveState(lab_of(record), LabClient(record))
        unused = sorted(inactive(meant(node, router_daemons(live.lab)) or node, live))
        if unused:
            note(f" {paint('!', Colour.YELLOW, sys.stderr)} {UNUSED.format(some([*map(str, unused)]))}")
    raise typer.Exit(status_of_command)
