"""`labkit route-table`: user-defined routes of the running lab."""

from __future__ import annotations

from typing import Annotated

import typer

from labkit.cli import complete
from labkit.cli.output import Format, FormatOption, LabOption, Switch, note, note_done, put_json, put_table
from labkit.errors import InvalidInput
from labkit.lab.route_table import RouteTableText
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
    client = LabClient(running(lab)[0])
    tables, subnets = client.get("route-tables"), client.get("subnets")
    users = {name: [of for of, subnet in subnets.items() if subnet["routeTable"] == name] for name in tables}
    if output is Format.JSON:
        put_json({name: {**table, "subnets": users[name]} for name, table in tables.items()})
        return
    rows = [
        (
            name,
            prefix,
            hop,
            "no" if table["disable_bgp_route_propagation"] else "yes",
            " ".join(users[name]) or "-",
        )
        for name, table in tables.items()
        for prefix, hop in (table["routes"] or {"-": "-"}).items()
    ]
    put_table(("Route table", "Address Prefix", "Next Hop", "BGP propagation", "Subnets"), rows)


@app.command()
def create(
    table: Annotated[str, typer.Argument(metavar="TABLE", help="The new table's name.")],
    bgp_propagation: Annotated[Switch, typer.Option(help="Whether its subnets' NICs get BGP routes.")] = Switch.ON,
    lab: LabOption = None,
) -> None:
    """Create a route table without routes. It has no effect until it is associated with a subnet: `associate`."""
    body = {"disable_bgp_route_propagation": bgp_propagation is Switch.OFF}
    note_done(LabClient(running(lab)[0]).post("route-tables", table, body=body))


@app.command()
def delete(table: TableName, lab: LabOption = None) -> None:
    """Delete a route table. It must not be associated with a subnet."""
    note_done(LabClient(running(lab)[0]).delete("route-tables", table))


@app.command()
def associate(table: TableName, subnet: Subnet, lab: LabOption = None) -> None:
    """Associate a route table with a subnet, in place of the subnet's present one."""
    note_done(LabClient(running(lab)[0]).put("subnets", *_ends(subnet), body={"routeTable": table}))


@app.command()
def dissociate(subnet: Subnet, lab: LabOption = None) -> None:
    """Dissociate a subnet from its route table."""
    note_done(LabClient(running(lab)[0]).put("subnets", *_ends(subnet), body={"routeTable": None}))


@app.command()
def add(
    table: TableName,
    prefix: Prefix,
    next_hop: Annotated[
        str, typer.Argument(metavar="NEXT-HOP", help="Internet, VnetLocal, None, or an appliance's name or address.")
    ],
    lab: LabOption = None,
) -> None:
    """Add a user-defined route, or replace the one for its prefix."""
    client = LabClient(running(lab)[0])
    body = _table(client, table)
    body["routes"][prefix] = next_hop
    client.put("route-tables", table, body=body)
    note(f" {table}: {prefix} → {next_hop}")


@app.command()
def remove(table: TableName, prefix: Prefix, lab: LabOption = None) -> None:
    """Remove a user-defined route. It is no error if there is none."""
    client = LabClient(running(lab)[0])
    body = _table(client, table)
    had = body["routes"].pop(prefix, None)
    client.put("route-tables", table, body=body)
    note(f" {table}: {prefix} → {had} removed" if had else f" {table} has no route for {prefix}")


@app.command()
def update(
    table: TableName,
    bgp_propagation: Annotated[Switch, typer.Option(help="Whether its subnets' NICs get BGP routes.")],
    lab: LabOption = None,
) -> None:
    """Switch the BGP propagation of a route table (the opposite of Azure's disableBgpRoutePropagation)."""
    client = LabClient(running(lab)[0])
    body = _table(client, table)
    body["disable_bgp_route_propagation"] = bgp_propagation is Switch.OFF
    client.put("route-tables", table, body=body)
    note(f" {table}: BGP propagation {bgp_propagation}")


def _table(client: LabClient, name: str) -> RouteTableText:
    """A route table's content."""
    tables: dict[str, RouteTableText] = client.get("route-tables")
    if name not in tables:
        known = ", ".join(sorted(tables)) or "none"
        raise InvalidInput(
            f"there is no route table {name}.",
            f"The lab's route tables: {known}. Create one: labkit route-table create {name}",
        )
    return tables[name]


def _ends(subnet: str) -> tuple[str, str]:
    network, slash, name = subnet.partition("/")
    if not (network and slash and name):
        raise InvalidInput(f"{subnet} is not a subnet.", "Write VNET/SUBNET, such as hub/nva.")
    return network, name
