"""`labkit vnet`: virtual networks of the running lab and their peerings."""

from __future__ import annotations

from typing import Annotated

import typer

from labkit.azure.changes.base import Change
from labkit.azure.changes.virtual_networks import (
    PEERING_FLAGS,
    DeletePeering,
    PutPeering,
    SetAddressSpace,
    SyncPeering,
    must_be_a_peering,
    peering_side,
)
from labkit.cli import complete
from labkit.cli.changing import change, changing
from labkit.cli.output import Format, FormatOption, LabOption, Switch, put_json, put_table, switch_text
from labkit.errors import InvalidInput
from labkit.lab.route_table import address_prefix
from labkit.names import meant
from labkit.operate.changes import Now
from labkit.operate.look.client import LabClient
from labkit.operate.look.running import running

app = typer.Typer(help="Show and change virtual networks of the running lab.", no_args_is_help=True)
peering = typer.Typer(
    help="Show and change the sides of peerings: no traffic flows until both sides exist.", no_args_is_help=True
)
app.add_typer(peering, name="peering")

Network = Annotated[
    str, typer.Argument(metavar="VNET", help="The virtual network.", autocompletion=complete.virtual_networks)
]
Remote = Annotated[
    str, typer.Argument(metavar="REMOTE", help="The peered virtual network.", autocompletion=complete.virtual_networks)
]
UseRemoteGateways = Annotated[
    Switch | None,
    typer.Option(help="Whether this side uses the route server and gateways of the other.", show_default=False),
]
AllowGatewayTransit = Annotated[
    Switch | None,
    typer.Option(help="Whether the other side may use the route server and gateways of this one.", show_default=False),
]
AllowForwardedTraffic = Annotated[
    Switch | None,
    typer.Option(help="Whether this side accepts traffic that the other side only forwards.", show_default=False),
]


@app.command()
def show(lab: LabOption = None, output: FormatOption = Format.TABLE) -> None:
    """Show virtual networks and their address spaces."""
    found = LabClient(running(lab)[0]).get("virtual-networks")
    if output is Format.JSON:
        put_json(found)
        return
    put_table(("Name", "AddressPrefixes"), [(v["name"], ", ".join(v["addressPrefixes"])) for v in found])


@app.command()
@changing
def update(
    ctx: typer.Context,
    name: Network,
    address_prefixes: Annotated[
        list[str],
        typer.Option(metavar="PREFIX [PREFIX ...]", help="All prefixes of the new address space."),
    ],
    more: Annotated[list[str] | None, typer.Argument(metavar="PREFIX", hidden=True)] = None,
    lab: LabOption = None,
) -> None:
    """Change the address space of a virtual network. Peered ones have the former until `labkit vnet peering sync`."""
    prefixes = [prefix for given in (*address_prefixes, *(more or ())) for prefix in given.split()]
    if not prefixes:
        raise InvalidInput(
            "labkit vnet update: no prefix given.", "Give all prefixes: --address-prefixes 10.1.0.0/16 10.8.0.0/16"
        )
    ranges = tuple(address_prefix(prefix) for prefix in prefixes)
    change(ctx, lab, lambda _now: [SetAddressSpace(name, ranges)])


@peering.command("list")
def list_peerings(lab: LabOption = None, output: FormatOption = Format.TABLE) -> None:
    """List the sides of peerings. The JSON has the names of `az network vnet peering list`."""
    found = LabClient(running(lab)[0]).get("peerings")
    if output is Format.JSON:
        put_json(found)
        return
    rows = [
        (
            p["virtualNetwork"],
            p["remoteVirtualNetwork"],
            p["peeringState"],
            p["peeringSyncLevel"],
            *(switch_text(p[flag]) for flag in PEERING_FLAGS),
        )
        for p in found
    ]
    flags = ("UseRemoteGateways", "AllowGatewayTransit", "AllowForwarded")
    put_table(("VNet", "Remote", "PeeringState", "PeeringSyncLevel", *flags), rows)


@peering.command("create")
@changing
def create_peering(
    ctx: typer.Context,
    vnet: Network,
    remote: Remote,
    *,
    use_remote_gateways: UseRemoteGateways = None,
    allow_gateway_transit: AllowGatewayTransit = None,
    allow_forwarded_traffic: AllowForwardedTraffic = None,
    lab: LabOption = None,
) -> None:
    """Create a side of a peering that was deleted. The lab file must declare it.

    The other side must not be Disconnected: updating it, or deleting and creating it, makes it Initiated.
    """

    def make(now: Now) -> list[Change]:
        ends = _ends(now, vnet, remote)
        if peering_side(now.azure, *ends) is not None:
            raise InvalidInput(
                f"the peering {ends[0]} to {ends[1]} already exists.", "Change it: labkit vnet peering update"
            )
        return [PutPeering(vnet, remote, *switches)]

    switches = _switches(use_remote_gateways, allow_gateway_transit, allow_forwarded_traffic)
    change(ctx, lab, make)


@peering.command("update")
@changing
def update_peering(
    ctx: typer.Context,
    vnet: Network,
    remote: Remote,
    *,
    use_remote_gateways: UseRemoteGateways = None,
    allow_gateway_transit: AllowGatewayTransit = None,
    allow_forwarded_traffic: AllowForwardedTraffic = None,
    lab: LabOption = None,
) -> None:
    """Change the settings of a side of a peering."""
    switches = _switches(use_remote_gateways, allow_gateway_transit, allow_forwarded_traffic)
    if not any(switch is not None for switch in switches):
        raise InvalidInput(
            "labkit vnet peering update: nothing to change.",
            "Give --use-remote-gateways, --allow-gateway-transit or --allow-forwarded-traffic on|off.",
        )

    def make(now: Now) -> list[Change]:
        must_be_a_peering(now.azure, *_ends(now, vnet, remote))
        return [PutPeering(vnet, remote, *switches)]

    change(ctx, lab, make)


@peering.command("delete")
@changing
def delete_peering(ctx: typer.Context, vnet: Network, remote: Remote, lab: LabOption = None) -> None:
    """Delete a side of a peering. No traffic crosses the peering without it."""
    change(ctx, lab, lambda _now: [DeletePeering(vnet, remote)])


@peering.command("sync")
@changing
def sync_peering(ctx: typer.Context, vnet: Network, remote: Remote, lab: LabOption = None) -> None:
    """Sync a side of a peering, so that VNET has the address space that REMOTE has now."""
    change(ctx, lab, lambda _now: [SyncPeering(vnet, remote)])


def _ends(now: Now, local: str, remote: str) -> tuple[str, str]:
    """The virtual networks that are meant."""
    known = now.azure.virtual_network
    return meant(local, known) or local, meant(remote, known) or remote


def _switches(*given: Switch | None) -> list[bool | None]:
    return [None if switch is None else switch is Switch.ON for switch in given]
