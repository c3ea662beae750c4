"""`labkit route-server`: the settings and peers of the running lab's route servers."""

from __future__ import annotations

from typing import Annotated

import typer

from labkit.azure.model import HubRoutingPreference
from labkit.cli import complete
from labkit.cli.output import Format, FormatOption, LabOption, Switch, note, note_done, put_json, put_table, switch_text
from labkit.errors import InvalidInput
from labkit.operate.look.client import LabClient
from labkit.operate.look.running import running

app = typer.Typer(help="Show and change route servers of the running lab.", no_args_is_help=True)
peering = typer.Typer(help="Show and change the peers of a route server.", no_args_is_help=True)
app.add_typer(peering, name="peering")

BRANCH_TO_BRANCH, PREFERENCE = "allowBranchToBranchTraffic", "hubRoutingPreference"


ServerName = Annotated[
    str | None,
    typer.Argument(
        metavar="[NAME]",
        help="The route server. Default: the only one; `show` shows all.",
        autocompletion=complete.route_servers,
        show_default=False,
    ),
]


@app.command()
def show(name: ServerName = None, lab: LabOption = None, output: FormatOption = Format.TABLE) -> None:
    """Show the settings of route servers.

    The JSON has the names of `az network routeserver show`: one object for NAME, else an object by name.
    """
    client = LabClient(running(lab)[0])
    found = client.get("route-servers") if name is None else {name: client.get("route-servers", name)}
    if output is Format.JSON:
        put_json(found if name is None else found[name])
        return
    rows = [(each, switch_text(settings[BRANCH_TO_BRANCH]), settings[PREFERENCE]) for each, settings in found.items()]
    put_table(("Route server", "Branch-to-branch", "Hub routing preference"), rows)


@app.command()
def update(
    name: ServerName = None,
    branch_to_branch: Annotated[
        Switch | None,
        typer.Option(help="Whether gateways and NVAs receive each other's routes.", show_default=False),
    ] = None,
    hub_routing_preference: Annotated[
        HubRoutingPreference | None,
        typer.Option(
            help="Which kind of route wins for one prefix.",
            show_default=False,
            case_sensitive=False,
        ),
    ] = None,
    lab: LabOption = None,
) -> None:
    """Change the settings of a running route server. `labkit events -f` shows what follows."""
    body: dict[str, object] = {}
    if branch_to_branch is not None:
        body[BRANCH_TO_BRANCH] = branch_to_branch is Switch.ON
    if hub_routing_preference is not None:
        body[PREFERENCE] = str(hub_routing_preference)
    if not body:
        raise InvalidInput(
            "labkit route-server update: nothing to change.",
            f"Give --branch-to-branch on|off, --hub-routing-preference {'|'.join(HubRoutingPreference)}, or both.",
        )
    client = LabClient(running(lab)[0])
    if name is None:
        name = _the_only(list(client.get("route-servers")))
    before = client.get("route-servers", name)
    after = client.put("route-servers", name, body=body)
    title = {BRANCH_TO_BRANCH: "branch-to-branch", PREFERENCE: "hub routing preference"}
    changed = [f"{title[key]} {_text(before[key])} → {_text(after[key])}" for key in body if before[key] != after[key]]
    same = [f"{title[key]} is already {_text(after[key])}" for key in body if before[key] == after[key]]
    note(f" {name}: {', '.join(changed + same)}")


Server = Annotated[
    str, typer.Argument(metavar="ROUTE-SERVER", help="The route server.", autocompletion=complete.route_servers)
]
Peer = Annotated[str, typer.Argument(metavar="PEER", help="The peer's name.", autocompletion=complete.nvas)]


@app.command()
def create(name: Server, lab: LabOption = None) -> None:
    """Create a route server that was deleted, with branch-to-branch off and without peers (`peering create`)."""
    note_done(LabClient(running(lab)[0]).post("route-servers", name))


@app.command()
def delete(name: Server, lab: LabOption = None) -> None:
    """Delete a route server with its peers. NICs lose the routes that it programmed."""
    note_done(LabClient(running(lab)[0]).delete("route-servers", name))


@peering.command("list")
def list_peers(route_server: Server, lab: LabOption = None, output: FormatOption = Format.TABLE) -> None:
    """List the peers of a route server. The JSON has the names of `az network routeserver peering list`."""
    found = LabClient(running(lab)[0]).get("route-servers", route_server, "peers")
    if output is Format.JSON:
        put_json(found)
        return
    put_table(("Name", "PeerAsn", "PeerIp"), [(p["name"], p["peerAsn"], p["peerIp"]) for p in found])


@peering.command("create")
def create_peer(
    route_server: Server,
    peer: Peer,
    peer_asn: Annotated[int | None, typer.Option(help="Default: the ASN of NVA PEER.", show_default=False)] = None,
    peer_ip: Annotated[str | None, typer.Option(help="Default: the address of NVA PEER.", show_default=False)] = None,
    lab: LabOption = None,
) -> None:
    """Create a peer of a route server, or change it. Both instances then have a session with it."""
    given = {"peerAsn": peer_asn, "peerIp": peer_ip}
    body = {key: value for key, value in given.items() if value is not None}
    note_done(LabClient(running(lab)[0]).put("route-servers", route_server, "peers", peer, body=body))


@peering.command("delete")
def delete_peer(route_server: Server, peer: Peer, lab: LabOption = None) -> None:
    """Delete a peer of a route server. Its sessions end."""
    note_done(LabClient(running(lab)[0]).delete("route-servers", route_server, "peers", peer))


def _the_only(names: list[str]) -> str:
    if len(names) == 1:
        return names[0]
    if not names:
        raise InvalidInput("this lab has no route server.", "`labkit status` shows its nodes.")
    raise InvalidInput(
        f"this lab has {len(names)} route servers: {', '.join(names)}.", f"Name one of them, such as {names[0]}."
    )


def _text(setting: object) -> str:
    return switch_text(setting) if isinstance(setting, bool) else str(setting)
