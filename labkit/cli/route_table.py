"""`labkit route-table`: user-defined routes of the running lab."""

from __future__ import annotations

from typing import Annotated

import typer

from labkit.cli import complete
from labkit.cli.output import Format, FormatOption, LabOption, Switch, put_json, put_table, say
from labkit.errors import InvalidInput
from labkit.operate.client import LabClient
from labkit.operate.running import running

app = typer.Typer(help="Show and change route tables of the running lab.", no_args_is_help=True)

TableName = Annotated[
    str, typer.Argument(metavar="TABLE", help="The route table.", autocompletion=complete.route_tables)
]
Prefix = Annotated[str, typer.Argument(metavar="PREFIX", help="The address prefix, such as 0.0.0.0/0.")]


@app.command()
def show(lab: LabOption = None, output: FormatOption = Format.TABLE) -> None:
    """Show every route table."""
    tables = LabClient(running(lab)[0]).get("route-tables")
    if output is Format.JSON:
        put_json(tables)
        return
    rows = [
        (name, prefix, hop, "no" if table["disable_bgp_route_propagation"] else "yes")
        for name, table in tables.items()
        for prefix, hop in (table["routes"] or {"-": "-"}).items()
    ]
    put_table(("Route table", "Address Prefix", "Next Hop", "BGP propagation"), rows)


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
    say(f" {table}: {prefix} → {next_hop}")


@app.command()
def remove(table: TableName, prefix: Prefix, lab: LabOption = None) -> None:
    """Take a user-defined route away; fine if it is not there."""
    client = LabClient(running(lab)[0])
    body = _table(client, table)
    had = body["routes"].pop(prefix, None)
    client.put("route-tables", table, body=body)
    say(f" {table}: {prefix} → {had} is gone" if had else f" {table} has no route for {prefix}")


@app.command()
def update(
    table: TableName,
    bgp_propagation: Annotated[Switch, typer.Option(help="Whether its subnets' NICs get BGP routes.")],
    lab: LabOption = None,
) -> None:
    """Switch BGP propagation of a route table (Azure's disableBgpRoutePropagation, turned round)."""
    client = LabClient(running(lab)[0])
    body: dict[str, object] = {**_table(client, table), "disable_bgp_route_propagation": bgp_propagation is Switch.OFF}
    client.put("route-tables", table, body=body)
    say(f" {table}: BGP propagation {bgp_propagation}")


def _table(client: LabClient, name: str) -> dict[str, dict[str, str]]:
    tables: dict[str, dict[str, dict[str, str]]] = client.get("route-tables")
    if name not in tables:
        known = ", ".join(sorted(tables)) or "none"
        raise InvalidInput(f"there is no route table {name}.", f"The lab's route tables: {known}.")
    return tables[name]
