"""`labkit circuit`: the authorizations of the running lab's ExpressRoute circuits."""

from __future__ import annotations

from typing import Annotated

import typer

from labkit.azure.changes.circuits import CreateAuthorization, DeleteAuthorization
from labkit.cli import complete
from labkit.cli.changing import change, changing
from labkit.cli.output import Format, FormatOption, LabOption, put_json, put_table
from labkit.operate.look.client import LabClient
from labkit.operate.look.running import running

app = typer.Typer(help="Show and change circuits of the running lab.", no_args_is_help=True)

auth = typer.Typer(help="Show and change the authorizations of circuits.", no_args_is_help=True)
app.add_typer(auth, name="auth")

CircuitName = Annotated[str, typer.Argument(metavar="CIRCUIT", help="The circuit.", autocompletion=complete.circuits)]

AuthorizationName = Annotated[str, typer.Argument(metavar="NAME", help="The authorization.")]


@auth.command("list")
def list_authorizations(lab: LabOption = None, output: FormatOption = Format.TABLE) -> None:
    """List the authorizations. The JSON has the names of `az network express-route auth list`."""
    found = LabClient(running(lab)[0]).get("authorizations")
    if output is Format.JSON:
        put_json(found)
        return
    columns = {
        "name": "Name",
        "circuit": "Circuit",
        "authorizationUseStatus": "AuthorizationUseStatus",
        "connection": "Connection",
    }
    put_table(tuple(columns.values()), [[each[key] or "" for key in columns] for each in found])


@auth.command()
@changing
def create(ctx: typer.Context, circuit: CircuitName, name: AuthorizationName, lab: LabOption = None) -> None:
    """Create an authorization, by which a gateway of another subscription can connect to a circuit."""
    change(ctx, lab, lambda _now: [CreateAuthorization(circuit, name)])


@auth.command()
@changing
def delete(ctx: typer.Context, circuit: CircuitName, name: AuthorizationName, lab: LabOption = None) -> None:
    """Delete an authorization. The connection that has redeemed it is deleted with it."""
    change(ctx, lab, lambda _now: [DeleteAuthorization(circuit, name)])
