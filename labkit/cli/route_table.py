"""`labkit route-table`: user-defined routes of the running lab."""

from __future__ import annotations

from typing import Annotated

import typer

from labkit.azure.changes.base import Change
from labkit.azure.changes.route_tables import (
    AssociateRouteTable,
    DeleteRoute,
    DeleteRouteTable,
    DissociateRouteTable,
    PutRoute,
    PutRouteTable,
    route_table_of,
)
from labkit.cli import complete
from labkit.cli.changing import change, changing
from labkit.cli.output import Format, FormatOption, LabOption, Switch, put_json, put_table
from labkit.errors import InvalidInput
from labkit.lab.route_table import address_prefix, user_route
from labkit.names import in_any_case
from labkit.operate.changes import Now
from labkit.operate.look.client import LabClient
from labkit.operate.look.running import running

app = typer.Typer(help="Show and change route tables of the running lab.", no_args_is_help=True)

TableName = Annotated[
    str, typer.Argument(metavar="TABLE", help="The route table.", autocompletion=complete.route_tables)
]
Subnet = Annotated[
    str,
    typer.Argument(
        metavar="VNET/SUBNET", help="The subnet, with its virtual network.", autocompletion=complete.subnets
    ),
]
Prefix = Annotated[str, typer.Argument(metavar="PREFIX", help="The address prefix, such as 0.0.0.0/0.")]


@app.command()
def show(lab: LabOption = None, output: FormatOption = Format.TABLE) -> None:
    """Show every route table, its routes and its subnets."""
    found = LabClient(running(lab)[0]).get("route-tables")
    if output is Format.JSON:
        put_json(found)
        return
    rows = [
        (
            table["name"],
            *route,
            "no" if table["disableBgpRoutePropagation"] else "yes",
            " ".join(table["subnets"]) or "-",
        )
        for table in found
        for route in [(r["addressPrefix"], r["nextHopIpAddress"] or r["nextHopType"]) for r in table["routes"]]
        or [("-", "-")]
    ]
    put_table(("Route table", "Address Prefix", "Next Hop", "BGP propagation", "Subnets"), rows)


@app.command()
@changing
def create(
    ctx: typer.Context,
    table: Annotated[str, typer.Argument(metavar="TABLE", help="The new table's name.")],
    bgp_propagation: Annotated[Switch, typer.Option(help="Whether its subnets' NICs get BGP routes.")] = Switch.ON,
    lab: LabOption = None,
) -> None:
    """Create a route table without routes. It has no effect until it is associated with a subnet: `associate`."""

    def make(now: Now) -> list[Change]:
        known = in_any_case(table, now.azure.route_table)
        if known is not None:
            raise InvalidInput(
                f"route table {known} already exists.", "Change it: labkit route-table add, remove or update"
            )
        return [PutRouteTable(table, disable_bgp_route_propagation=bgp_propagation is Switch.OFF or None)]

    change(ctx, lab, make)


@app.command()
@changing
def delete(ctx: typer.Context, table: TableName, lab: LabOption = None) -> None:
    """Delete a route table. It must not be associated with a subnet."""
    change(ctx, lab, lambda _now: [DeleteRouteTable(table)])


@app.command()
@changing
def associate(ctx: typer.Context, table: TableName, subnet: Subnet, lab: LabOption = None) -> None:
    """Associate a route table with a subnet, in place of the subnet's present one."""
    network, name = _ends(subnet)
    change(ctx, lab, lambda _now: [AssociateRouteTable(network, name, table)])


@app.command()
@changing
def dissociate(ctx: typer.Context, subnet: Subnet, lab: LabOption = None) -> None:
    """Dissociate a subnet from its route table."""
    network, name = _ends(subnet)
    change(ctx, lab, lambda _now: [DissociateRouteTable(network, name)])


@app.command()
@changing
def add(
    ctx: typer.Context,
    table: TableName,
    prefix: Prefix,
    next_hop: Annotated[
        str,
        typer.Argument(
            metavar="NEXT-HOP",
            help="Internet, VnetLocal, VirtualNetworkGateway, None, or an appliance's name or address.",
        ),
    ],
    *,
    replace: Annotated[bool, typer.Option("--replace", help="Put it in the place of the one for its prefix.")] = False,
    lab: LabOption = None,
) -> None:
    """Add a user-defined route. As in Azure, a second one for a prefix is a RouteConflict: `--replace` replaces it."""

    def make(now: Now) -> list[Change]:
        route = user_route(prefix, next_hop, now.lab.azure)
        return [PutRoute(table, route.prefix, route.next_hop_type, route.next_hop, replace or None)]

    change(ctx, lab, make)


@app.command()
@changing
def remove(ctx: typer.Context, table: TableName, prefix: Prefix, lab: LabOption = None) -> None:
    """Remove a user-defined route. It is no error if there is none."""
    network = address_prefix(prefix)
    change(ctx, lab, lambda _now: [DeleteRoute(table, network)])


@app.command()
@changing
def update(
    ctx: typer.Context,
    table: TableName,
    bgp_propagation: Annotated[Switch, typer.Option(help="Whether its subnets' NICs get BGP routes.")],
    lab: LabOption = None,
) -> None:
    """Switch the BGP propagation of a route table (the opposite of Azure's disableBgpRoutePropagation)."""

    def make(now: Now) -> list[Change]:
        known = in_any_case(table, now.azure.route_table) or table
        route_table_of(now.azure, known)
        return [PutRouteTable(known, disable_bgp_route_propagation=bgp_propagation is Switch.OFF)]

    change(ctx, lab, make)


def _ends(subnet: str) -> tuple[str, str]:
    network, slash, name = subnet.partition("/")
    if not (network and slash and name):
        raise InvalidInput(f"{subnet} is not a subnet.", "Write VNET/SUBNET, such as hub/nva.")
    return network, name
