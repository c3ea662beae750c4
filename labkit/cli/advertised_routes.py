"""`labkit advertised-routes`: what a route server advertises to a peer."""

from __future__ import annotations

from labkit.cli.output import Format, FormatOption, LabOption
from labkit.cli.peering import PeerName, ServerName, show_peering_routes


def command(
    route_server: ServerName,
    peer: PeerName,
    lab: LabOption = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """Show what a route server advertises to a peer.

    The columns and the JSON are those of `az network routeserver peering list-advertised-routes`.
    """
    show_peering_routes("advertised-routes", route_server, peer, lab, output)
