"""`labkit advertised-routes`: what a route server advertises to a peer."""

from __future__ import annotations

from typing import Annotated

import typer

from labkit.cli import complete
from labkit.cli.output import Format, FormatOption, LabOption
from labkit.cli.peering import show_peering_routes


def command(
    route_server: Annotated[
        str, typer.Argument(metavar="SERVER", help="The route server.", autocompletion=complete.route_servers)
    ],
    peer: Annotated[str, typer.Argument(metavar="PEER", help="The peer's name.", autocompletion=complete.peers)],
    lab: LabOption = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """Show what a route server advertises to a peer.

    The columns and the JSON are those of `az network routeserver peering list-advertised-routes`.
    """
    show_peering_routes("advertised-routes", route_server, peer, lab, output)
