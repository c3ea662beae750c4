"""`labkit route-server`: the settings and peers of the running lab's route servers."""

from __future__ import annotations

from ipaddress import AddressValueError, IPv4Address
from typing import Annotated, Any

import typer

from labkit.azure.changes.base import Change
from labkit.azure.changes.route_servers import (
    CreateRouteServer,
    DeletePeer,
    DeleteRouteServer,
    PutPeer,
    SetRouteServerSettings,
)
from labkit.azure.model import HubRoutingPreference
from labkit.cli import complete
from labkit.cli.changing import change, changing
from labkit.cli.output import Format, FormatOption, LabOption, Switch, put_json, put_table, switch_text
from labkit.errors import InvalidInput
from labkit.lab.sessions import peer_name
from labkit.names import meant
from labkit.operate.changes import Now
from labkit.operate.look.client import LabClient
from labkit.operate.look.running import running

app = typer.Typer(help="Show and change route servers of the running lab.", no_args_is_help=True)
peering = typer.Typer(help="Show and change the peers of a route server.", no_args_is_help=True)
app.add_typer(peering, name="peering")

ServerName = Annotated[
    str | None,
    typer.Argument(
        metavar="[NAME]",
        help="The route server. Default: the only one; `show` shows all.",
        autocompletion=complete.route_servers,
        show_default=False,
    ),
]


@app.command("list")
def list_servers(lab: LabOption = None, output: FormatOption = Format.TABLE) -> None:
    """List the route servers. The JSON has the names of `az network routeserver list`."""
    _print(LabClient(running(lab)[0]).get("route-servers"), output)


@app.command()
def show(name: ServerName = None, lab: LabOption = None, output: FormatOption = Format.TABLE) -> None:
    """Show the settings of route servers.

    The JSON has the names of `az network routeserver show`: one object for NAME, else a list.
    """
    client = LabClient(running(lab)[0])
    found = client.get("route-servers") if name is None else [client.get("route-servers", name)]
    if output is Format.JSON and name is not None:
        put_json(found[0])
    else:
        _print(found, output)


def _print(servers: list[dict[str, Any]], output: Format) -> None:
    if output is Format.JSON:
        put_json(servers)
        return
    rows = [
        (s["name"], switch_text(s["allowBranchToBranchTraffic"]), s["hubRoutingPreference"], s["provisioningState"])
        for s in servers
    ]
    put_table(("Route server", "Branch-to-branch", "Hub routing preference", "ProvisioningState"), rows)


@app.command()
@changing
def update(
    ctx: typer.Context,
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
    switch = None if branch_to_branch is None else branch_to_branch is Switch.ON
    if switch is None and hub_routing_preference is None:
        raise InvalidInput(
            "labkit route-server update: nothing to change.",
            f"Give --branch-to-branch on|off, --hub-routing-preference {'|'.join(HubRoutingPreference)}, or both.",
        )

    def make(now: Now) -> list[Change]:
        server = _the_only(list(now.azure.route_server)) if name is None else name
        return [SetRouteServerSettings(server, switch, hub_routing_preference)]

    change(ctx, lab, make)


Server = Annotated[
    str, typer.Argument(metavar="ROUTE-SERVER", help="The route server.", autocompletion=complete.route_servers)
]
Peer = Annotated[str, typer.Argument(metavar="PEER", help="The peer's name.", autocompletion=complete.nvas)]


@app.command()
@changing
def create(ctx: typer.Context, name: Server, lab: LabOption = None) -> None:
    """Create a route server that was deleted, with branch-to-branch off and without peers (`peering create`)."""

    def make(now: Now) -> list[Change]:
        built = now.lab.azure.route_server
        known = meant(name, built)
        if known is None:
            raise InvalidInput(
                f"the lab has no nodes for a route server {name}.",
                f"Its file declares: {', '.join(built) or 'none'}.",
            )
        return [CreateRouteServer(known, built[known].virtual_network, built[known].instances)]

    change(ctx, lab, make)


@app.command()
@changing
def delete(ctx: typer.Context, name: Server, lab: LabOption = None) -> None:
    """Delete a route server with its peers. NICs lose the routes that it programmed."""
    change(ctx, lab, lambda _now: [DeleteRouteServer(name)])


@peering.command("list")
def list_peers(route_server: Server, lab: LabOption = None, output: FormatOption = Format.TABLE) -> None:
    """List the peers of a route server. The JSON has the names of `az network routeserver peering list`."""
    found = LabClient(running(lab)[0]).get("route-servers", route_server, "peers")
    if output is Format.JSON:
        put_json(found)
        return
    columns = {"name": "Name", "peerAsn": "PeerAsn", "peerIp": "PeerIp", "provisioningState": "ProvisioningState"}
    put_table(tuple(columns.values()), [[peer[key] for key in columns] for peer in found])


@peering.command("create")
@changing
def create_peer(
    ctx: typer.Context,
    route_server: Server,
    peer: Peer,
    *,
    peer_asn: Annotated[int | None, typer.Option(help="Default: the ASN of NVA PEER.", show_default=False)] = None,
    peer_ip: Annotated[str | None, typer.Option(help="Default: the address of NVA PEER.", show_default=False)] = None,
    lab: LabOption = None,
) -> None:
    """Create a peer of a route server, or change it. Both instances then have a session with it.

    PEER is the peer's name, or a NIC of an NVA as NVA/NIC: the peer then has the name of the NVA and the NIC's address.
    """

    def make(now: Now) -> list[Change]:
        known = meant(peer, (*now.lab.nva, *now.lab.azure.nic)) or peer
        name = peer_name(now.lab, known)
        nva, nic = now.lab.nva.get(name), now.lab.azure.nic.get(known) or next(iter(now.lab.azure.nics_of(known)), None)
        asn = peer_asn if peer_asn is not None or nva is None else nva.asn
        address = peer_ip if peer_ip is not None or nva is None or nic is None else str(nic.address)
        if asn is None or address is None:
            raise InvalidInput(
                f"{peer} is not an NVA of this lab with BGP, so its ASN and its address are needed.",
                "Give --peer-asn and --peer-ip.",
            )
        return [PutPeer(route_server, name, _asn(asn), _address(address))]

    change(ctx, lab, make)


@peering.command("delete")
@changing
def delete_peer(ctx: typer.Context, route_server: Server, peer: Peer, lab: LabOption = None) -> None:
    """Delete a peer of a route server. Its sessions end."""
    change(ctx, lab, lambda now: [DeletePeer(route_server, peer_name(now.lab, peer))])


def _asn(number: int) -> int:
    if not 0 < number < 1 << 32:
        raise InvalidInput(f"{number} is not an ASN.", "Use a private one, such as 65001.")
    return number


def _address(text: str) -> IPv4Address:
    try:
        return IPv4Address(text)
    except AddressValueError:
        raise InvalidInput(f"{text} is not an IPv4 address.", "Write one such as 10.1.1.4.") from None


def _the_only(names: list[str]) -> str:
    if len(names) == 1:
        return names[0]
    if not names:
        raise InvalidInput("this lab has no route server.", "`labkit status` shows its nodes.")
    raise InvalidInput(
        f"this lab has {len(names)} route servers: {', '.join(names)}.", f"Name one of them, such as {names[0]}."
    )
