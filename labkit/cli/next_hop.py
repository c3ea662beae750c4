"""`labkit next-hop`: where a NIC sends packets to an address, as Network Watcher has it."""

from __future__ import annotations

from typing import Annotated

import typer

from labkit.cli import complete
from labkit.cli.output import Format, FormatOption, LabOption, put_json, put_table
from labkit.operate.look.client import LabClient
from labkit.operate.look.running import running

COLUMNS = ("NextHopIpAddress", "NextHopType", "RouteTableId")


def command(
    nic: Annotated[
        str,
        typer.Argument(
            metavar="NIC",
            help="A machine or NVA (its primary NIC), machine/NIC, a gateway's instance, or network/GatewaySubnet.",
            autocompletion=complete.nics,
        ),
    ],
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="Where the packets go.")],
    lab: LabOption = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """Show where a NIC sends packets to an address.

    The columns and the JSON are those of `az network watcher show-next-hop`. Of equal next hops it has one; `labkit
    effective-routes` has all of them, and `labkit trace` what comes after.
    """
    row = LabClient(running(lab)[0]).get("next-hops", nic, address)
    if output is Format.JSON:
        put_json(row)
        return
    put_table(COLUMNS, [(row["nextHopIpAddress"], row["nextHopType"], row["routeTableId"])])
