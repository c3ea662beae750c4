"""The two listings of a route server's peering, which differ in one column."""

from __future__ import annotations

from typing import Annotated

import typer

from labkit.cli import complete
from labkit.cli.output import Format, put_json, put_table
from labkit.operate.look.client import LabClient
from labkit.operate.look.running import running

ServerName = Annotated[
    str, typer.Argument(metavar="SERVER", help="The route server.", autocompletion=complete.route_servers)
]
PeerName = Annotated[str, typer.Argument(metavar="PEER", help="The peer's name.", autocompletion=complete.peers)]

COLUMNS = {
    "localAddress": "LocalAddress",
    "network": "Network",
    "nextHop": "NextHop",
    "sourcePeer": "SourcePeer",
    "origin": "Origin",
    "asPath": "AsPath",
    "weight": "Weight",
}


def show_peering_routes(listing: str, route_server: str, peer: str, lab: str | None, output: Format) -> None:
    """Show `learned-routes` or `advertised-routes` of a peering; only learned routes have a source peer."""
    answer = LabClient(running(lab)[0]).get(listing, route_server, peer)
    if output is Format.JSON:
        put_json(answer)
        return
    columns = {key: title for key, title in COLUMNS.items() if key != "sourcePeer" or listing == "learned-routes"}
    rows = [[row[key] for key in columns] for role in sorted(answer) for row in answer[role]]
    put_table(tuple(columns.values()), rows)
