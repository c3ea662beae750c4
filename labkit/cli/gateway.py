"""`labkit gateway`: the routes, BGP peers and connections of the running lab's gateways."""

from __future__ import annotations

from typing import Annotated

import typer

from labkit.azure.changes.base import Change
from labkit.azure.changes.gateways import CreateConnection, CreateGateway, DeleteConnection, DeleteGateway
from labkit.azure.model import Connection
from labkit.azure.rules.gateways import device_of
from labkit.cli import complete
from labkit.cli.changing import change, changing
from labkit.cli.output import Format, FormatOption, LabOption, Switch, put_json, put_table, switch_text
from labkit.cli.peering import COLUMNS
from labkit.errors import InvalidInput
from labkit.names import meant
from labkit.operate.changes import Now
from labkit.operate.look.client import LabClient
from labkit.operate.look.running import running

app = typer.Typer(help="Show and change gateways of the running lab and their connections.", no_args_is_help=True)

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

connection = typer.Typer(help="Show and change the connections of gateways.", no_args_is_help=True)
app.add_typer(connection, name="connection")

GatewayName = Annotated[str, typer.Argument(metavar="GATEWAY", help="The gateway.", autocompletion=complete.gateways)]


Remote = Annotated[
    str,
    typer.Argument(
        metavar="REMOTE",
        help="The circuit, site, NVA or VPN gateway at the other end.",
        autocompletion=complete.neighbours,
    ),
]


@app.command("list")
def list_gateways(lab: LabOption = None, output: FormatOption = Format.TABLE) -> None:
    """List the gateways. The JSON has the names of `az network vnet-gateway list`."""
    found = LabClient(running(lab)[0]).get("gateways")
    if output is Format.JSON:
        put_json(found)
        return
    rows = [
        (
            *(each[key] for key in ("name", "virtualNetwork", "gatewayType")),
            switch_text(each["activeActive"]),
            each["asn"],
            ", ".join(each["ipAddresses"]),
        )
        for each in found
    ]
    put_table(("Name", "VNet", "GatewayType", "ActiveActive", "ASN", "IpAddresses"), rows)


@app.command()
@changing
def create(
    ctx: typer.Context,
    gateway: GatewayName,
    active_active: Annotated[
        Switch | None,
        typer.Option(help="Whether a VPN gateway has two instances. Default: as in the lab file.", show_default=False),
    ] = None,
    lab: LabOption = None,
) -> None:
    """Create a gateway that was deleted, without connections (`connection create`)."""

    def make(now: Now) -> list[Change]:
        built = now.lab.azure.gateway
        known = meant(gateway, built)
        if known is None:
            raise InvalidInput(
                f"the lab has no nodes for a gateway {gateway}.", f"Its file declares: {', '.join(built) or 'none'}."
            )
        of_file = built[known]
        addresses = of_file.instances[:1] if active_active is Switch.OFF else of_file.instances
        if active_active is Switch.ON and len(addresses) == 1:
            raise InvalidInput(
                f"the lab has one node for gateway {known}.", "Set active_active: true in the lab file for two."
            )
        return [CreateGateway(known, of_file.virtual_network, of_file.kind, addresses, of_file.asn)]

    change(ctx, lab, make)


@app.command()
@changing
def delete(ctx: typer.Context, gateway: GatewayName, lab: LabOption = None) -> None:
    """Delete a gateway that has no connection. NICs lose the routes that it programmed."""
    change(ctx, lab, lambda _now: [DeleteGateway(gateway)])


@app.command()
def learned_routes(gateway: GatewayName, lab: LabOption = None, output: FormatOption = Format.TABLE) -> None:
    """Show the routes that a gateway has learned.

    The columns and the JSON are those of `az network vnet-gateway list-learned-routes`; LocalAddress is the instance.
    Of an ExpressRoute gateway Azure lists one of two: `labkit routes INSTANCE --bgp` has each.
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
    """Show the routes that a gateway advertises to a neighbour.

    The columns and the JSON are those of `az network vnet-gateway list-advertised-routes`; LocalAddress is the
    instance: of an ExpressRoute gateway Azure lists one of two.
    """
    columns = {key: title for key, title in COLUMNS.items() if key != "sourcePeer"}
    _show(("advertised-routes", peer), gateway, columns, lab, output)


@app.command()
def bgp_peers(gateway: GatewayName, lab: LabOption = None, output: FormatOption = Format.TABLE) -> None:
    """Show the BGP peers of a gateway's instances.

    The columns and the JSON are those of `az network vnet-gateway list-bgp-peer-status`; LocalAddress is the instance.
    Of an ExpressRoute gateway Azure lists one of two: `labkit status` has all sessions.
    """
    _show(("bgp-peers",), gateway, PEER_COLUMNS, lab, output)


@connection.command("list")
def list_connections(lab: LabOption = None, output: FormatOption = Format.TABLE) -> None:
    """List the connections of gateways. The JSON has the names of Azure's objects."""
    found = LabClient(running(lab)[0]).get("connections")
    if output is Format.JSON:
        put_json(found)
        return
    columns = {"name": "Name", "virtualNetworkGateway": "Gateway", "remote": "Remote"}
    put_table(tuple(columns.values()), [[each[key] for key in columns] for each in found])


@connection.command("create")
@changing
def create_connection(
    ctx: typer.Context,
    gateway: GatewayName,
    remote: Remote,
    authorization: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The authorization of another subscription's circuit. Default: as in the lab file.",
            show_default=False,
        ),
    ] = None,
    lab: LabOption = None,
) -> None:
    """Create a connection of a gateway that was deleted. Its line or tunnels are there since the lab was built."""

    def make(now: Now) -> list[Change]:
        built = _connection(now, gateway, remote)
        redeemed = authorization or built.authorization or None
        return [CreateConnection(built.name, built.gateway, built.remote, redeemed)]

    change(ctx, lab, make)


@connection.command("delete")
@changing
def delete_connection(ctx: typer.Context, gateway: GatewayName, remote: Remote, lab: LabOption = None) -> None:
    """Delete a connection of a gateway: its sessions end, and nothing goes over its line or tunnels."""
    change(ctx, lab, lambda now: [DeleteConnection(_connection(now, gateway, remote).name)])


def _connection(now: Now, gateway: str, remote: str) -> Connection:
    """The connection of the lab file between the two.

    Raises:
        InvalidInput: there is none.
    """
    azure = now.lab.azure
    ends = {(c.gateway, device_of(azure, c)): c for c in azure.connections}
    near = meant(gateway, azure.gateway)
    far = meant(remote, [each for _, each in ends])
    if near is None or far is None or (near, far) not in ends:
        known = ", ".join(" ".join(each) for each in ends) or "none"
        raise InvalidInput(f"the lab has no connection of {gateway} to {remote}.", f"Its file declares: {known}.")
    return ends[near, far]


def _show(path: tuple[str, ...], gateway: str, columns: dict[str, str], lab: str | None, output: Format) -> None:
    listing, *peer = path
    answer = LabClient(running(lab)[0]).get("gateways", gateway, listing, *peer)
    if output is Format.JSON:
        put_json(answer)
        return
    put_table(tuple(columns.values()), [["" if row[k] is None else row[k] for k in columns] for row in answer["value"]])
