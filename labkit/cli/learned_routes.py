"""`labkit learned-routes`: what a route server has learned from a peer."""

from __future__ import annotations

from labkit.cli.output import Format, FormatOption, LabOption
from labkit.cli.peering import PeerName, ServerName, show_peering_routes


def command(
    route_server: ServerName,
    peer: PeerName,
    lab: LabOption = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """Show what a route server has learned from a peer.

    The columns and the JSON are those of `az network routeserver peering list-learned-routes`.
    """
    show_peering_routes("learned-routes", route_server, peer, lab, output)
