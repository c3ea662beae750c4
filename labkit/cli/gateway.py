"""`labkit gateway`: what the gateways of the running lab say and hear."""

from __future__ import annotations

from typing import Annotated

import typer

from labkit.cli import complete
from labkit.cli.output import Format, FormatOption, LabOption, put_json, put_table
from labkit.cli.peering import COLUMNS
from labkit.operate.look.client import LabClient
from labkit.operate.look.running import running

app = typer.Typer(help="Show what the gateways of the running lab say and hear.", no_args_is_help=True)

PEER_COLUMNS = {
    "localAddress": "LocalAddress",
    "neighbor": "Neighbor",
    "asn": "ASN",
    "state": "State",
    "connectedDuration": "ConnectedDuration",
    "routesReceived": "RoutesReceived",
    "messagesSent": "MessagesSent",
    "messagesReceived": "MessagesReceived",
}

GatewayName = Annotated[str, typer.Argument(metavar="GATEWAY", help="The gateway.", autocompletion=complete.gateways)]


@app.command()
def learned_routes(gateway: GatewayName, lab: LabOption = None, output: FormatOption = Format.TABLE) -> None:
    """Show what both instances of a gateway hold.

    Columns and JSON of `az network vnet-gateway list-learned-routes`; LocalAddress says which instance.
    """
    _show(("learned-routes",), gateway, COLUMNS, lab, output)


@app.command()
def advertised_routes(
    gateway: GatewayName,
    peer: Annotated[
        str,
        typer.Argument(
            metavar="PEER",
            help="A circuit, a route server's instance, or an address.",
            autocompletion=complete.neighbours,
        ),
    ],
    lab: LabOption = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """Show what the instances of a gateway tell a neighbour.

    Columns and JSON of `az network vnet-gateway list-advertised-routes`; LocalAddress says which instance.
    """
    columns = {key: title for key, title in COLUMNS.items() if key != "sourcePeer"}
    _show(("advertised-routes", peer), gateway, columns, lab, output)


@app.command()
def bgp_peers(gateway: GatewayName, lab: LabOption = None, output: FormatOption = Format.TABLE) -> None:
    """Show with whom the instances of a gateway speak BGP.

    Columns and JSON of `az network vnet-gateway list-bgp-peer-status`; LocalAddress says which instance.
    """
    _show(("bgp-peers",), gateway, PEER_COLUMNS, lab, output)


def _show(path: tuple[str, ...], gateway: str, columns: dict[str, str], lab: str | None, output: Format) -> None:
    listing, *peer = path
    answer = LabClient(running(lab)[0]).get("gateways", gateway, listing, *peer)
    if output is Format.JSON:
        put_json(answer)
        return
    put_table(tuple(columns.values()), [["" if row[k] is None else row[k] for k in columns] for row in answer["value"]])
