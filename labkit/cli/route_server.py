"""`labkit route-server`: the settings of the running lab's route servers."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from labkit.azure.model import HubRoutingPreference
from labkit.cli import complete
from labkit.cli.output import Format, FormatOption, LabOption, put_json, put_table, say
from labkit.errors import InvalidInput
from labkit.operate.client import LabClient
from labkit.operate.running import lab_of, running

app = typer.Typer(help="Show and change route servers of the running lab.", no_args_is_help=True)

BRANCH_TO_BRANCH, PREFERENCE = "allowBranchToBranchTraffic", "hubRoutingPreference"


class Switch(StrEnum):
    """What a setting may be."""

    ON = "on"
    OFF = "off"


ServerName = Annotated[
    str | None,
    typer.Argument(
        metavar="[NAME]",
        help="The route server. Default: the only one, or all of them to show.",
        autocompletion=complete.route_servers,
        show_default=False,
    ),
]


@app.command()
def show(name: ServerName = None, lab: LabOption = None, output: FormatOption = Format.TABLE) -> None:
    """Show the settings of route servers.

    JSON under the names of `az network routeserver show`; of all of them by name, of the one that NAME says alone.
    """
    client, names = _servers(lab)
    found = {each: client.get("route-servers", each) for each in ([name] if name is not None else names)}
    if output is Format.JSON:
        put_json(found if name is None else found[name])
        return
    rows = [(each, _switch(settings[BRANCH_TO_BRANCH]), settings[PREFERENCE]) for each, settings in found.items()]
    put_table(("Route server", "Branch-to-branch", "Hub routing preference"), rows)


@app.command()
def update(
    name: ServerName = None,
    branch_to_branch: Annotated[
        Switch | None,
        typer.Option(help="Whether gateways and NVAs hear each other's routes.", show_default=False),
    ] = None,
    hub_routing_preference: Annotated[
        HubRoutingPreference | None,
        typer.Option(help="Which of equal prefixes wins.", show_default=False, case_sensitive=False),
    ] = None,
    lab: LabOption = None,
) -> None:
    """Change the settings of a route server while it runs. BGP tells the rest of the lab: `labkit events -f`."""
    body: dict[str, object] = {}
    if branch_to_branch is not None:
        body[BRANCH_TO_BRANCH] = branch_to_branch is Switch.ON
    if hub_routing_preference is not None:
        body[PREFERENCE] = str(hub_routing_preference)
    if not body:
        raise InvalidInput(
            "labkit route-server update: nothing to change.",
            f"Say --branch-to-branch on|off, --hub-routing-preference {'|'.join(HubRoutingPreference)}, or both.",
        )
    client, names = _servers(lab)
    if name is None:
        name = _the_only(names)
    before = client.get("route-servers", name)
    after = client.put("route-servers", name, body=body)
    told = {BRANCH_TO_BRANCH: "branch-to-branch", PREFERENCE: "hub routing preference"}
    changed = [f"{told[key]} {_text(before[key])} → {_text(after[key])}" for key in body if before[key] != after[key]]
    same = [f"{told[key]} is {_text(after[key])} already" for key in body if before[key] == after[key]]
    say(f" {name}: {', '.join(changed + same)}")


def _servers(lab: str | None) -> tuple[LabClient, list[str]]:
    record, _ = running(lab)
    return LabClient(record), [server.name for server in lab_of(record).azure.route_servers]


def _the_only(names: list[str]) -> str:
    if len(names) == 1:
        return names[0]
    if not names:
        raise InvalidInput("this lab has no route server.", "`labkit status` shows what it has.")
    raise InvalidInput(f"{len(names)} route servers: {', '.join(names)}.", f"Say which, such as {names[0]}.")


def _text(setting: object) -> str:
    return _switch(setting) if isinstance(setting, bool) else str(setting)


def _switch(on: bool) -> str:
    return Switch.ON if on else Switch.OFF
