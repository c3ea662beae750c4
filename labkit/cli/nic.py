"""`labkit nic`: NICs of the running lab."""

from __future__ import annotations

from typing import Annotated

import typer

from labkit.azure.changes.nics import SetIpForwarding, customer_nics
from labkit.azure.model import Nic
from labkit.cli import complete
from labkit.cli.changing import change, changing
from labkit.cli.output import Format, FormatOption, LabOption, Switch, put_json, put_table, switch_text
from labkit.names import meant
from labkit.operate.changes import Now
from labkit.operate.look.running import running

app = typer.Typer(help="Show and change NICs of the running lab.", no_args_is_help=True)

NicName = Annotated[
    str,
    typer.Argument(metavar="NIC", help="The NIC, or its machine if that has one.", autocompletion=complete.own_nics),
]


@app.command("list")
def list_nics(lab: LabOption = None, output: FormatOption = Format.TABLE) -> None:
    """List the NICs of virtual machines and NVAs. The JSON has the names of `az network nic list`."""
    nics = customer_nics(Now(running(lab)[0]).azure)
    if output is Format.JSON:
        put_json([_json(nic) for nic in nics])
        return
    rows = [
        (n.name, f"{n.virtual_network}/{n.subnet}", ", ".join(map(str, n.addresses)), switch_text(n.ip_forwarding))
        for n in nics
    ]
    put_table(("Name", "Subnet", "PrivateIPAddress", "IPForwarding"), rows)


@app.command()
@changing
def update(
    ctx: typer.Context,
    name: NicName,
    *,
    ip_forwarding: Annotated[
        Switch,
        typer.Option(help="Whether the NIC may send and receive packets of other addresses than its own."),
    ],
    lab: LabOption = None,
) -> None:
    """Change a NIC. The guest's own forwarding is another setting: `labkit exec NODE -- sysctl net.ipv4.ip_forward`."""

    def make(now: Now) -> list[SetIpForwarding]:
        machine = meant(name, (nic.machine for nic in now.azure.nics))
        nics = now.azure.nics_of(machine) if machine is not None else ()
        only = nics[0].name if len(nics) == 1 else name
        return [SetIpForwarding(only, ip_forwarding is Switch.ON)]

    change(ctx, lab, make)


def _json(nic: Nic) -> dict[str, str | bool | list[str]]:
    return {
        "name": nic.name,
        "virtualMachine": nic.machine,
        "virtualNetwork": nic.virtual_network,
        "subnet": nic.subnet,
        "privateIPAddress": str(nic.address),
        "secondaryPrivateIPAddresses": [*map(str, nic.secondary)],
        "macAddress": nic.mac,
        "enableIPForwarding": nic.ip_forwarding,
    }
