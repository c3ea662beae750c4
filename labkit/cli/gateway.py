"""`labkit gateway`: the routes and BGP peers of the running lab's gateways."""

from __future__ import annotations

from typing import Annotated

import typer

from labkit.cli import complete
from labkit.cli.output import Format, FormatOption, LabOption, put_json, put_table
from labkit.cli.peering import COLUMNS
from labkit.operate.look.client import LabClient
from labkit.operate.look.running import running

app = typer.Typer(help="Show the routes and BGP peers of the running lab's gateways.", no_args_is_help=True)

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
    """Show the routes that both instances of a gateway have learned.

    The columns and the JSON are those of `az network vnet-gateway list-learned-routes`; LocalAddress is the instance.
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
    """Show the routes that the instances of a gateway advertise to a neighbour.

    The columns and the JSON are those of `az network vnet-gateway list-advertised-routes`; LocalAddress is the
    instance.
    """
    columns = {key: title for key, title in COLUMNS.items() if key != "sourcePeer"}
    _show(("advertised-routes", peer), gateway, columns, lab, output)


@app.command()
def bgp_peers(gateway: GatewayName, lab: LabOption = None, output: FormatOption = Format.TABLE) -> None:
    """Show the BGP peers of a gateway's instances.

    The columns and the JSON are those of `az network vnet-gateway list-bgp-peer-status`; LocalAddress is the instance.
    """
    _show(("bgp-peers",), gateway, PEER_COLUMNS, lab, output)


def _show(path: tuple[str, ...], gateway: str, columns: dict[str, str], lab: str | None, output: Format) -> None:
    listing, *peer = path
    answer = LabClient(running(lab)[0]).get("gateways", gateway, listing, *peer)
    if output is Format.JSON:
        put_json(answer)
        return
    put_table(tuple(columns.values()), [["" if row[k] is None else row[k] for k in columns] for row in answer["value"]])
