"""`labkit effective-routes`: the effective routes of a NIC, as Azure shows them."""

from __future__ import annotations

from typing import Annotated

import typer

from labkit.cli import complete
from labkit.cli.output import Format, FormatOption, LabOption, put_json, put_table
from labkit.operate.look.client import LabClient
from labkit.operate.look.running import running

COLUMNS = ("Source", "State", "Address Prefix", "Next Hop Type", "Next Hop IP")


def command(
    nic: Annotated[
        str,
        typer.Argument(
            metavar="NIC",
            help="A machine or NVA (its primary NIC), machine/NIC, a gateway's instance, or network/GatewaySubnet.",
            autocompletion=complete.nics,
        ),
    ],
    lab: LabOption = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """Show the effective routes of a NIC, as Azure does.

    The columns and the JSON are those of `az network nic show-effective-route-table`. Azure itself can't show those of
    GatewaySubnet: by them goes what a gateway receives by circuits and tunnels, while its BGP table (`labkit gateway
    learned-routes`) decides over which of these it sends what comes out of the virtual network.
    """
    answer = LabClient(running(lab)[0]).get("effective-routes", nic)
    if output is Format.JSON:
        put_json(answer)
        return
    rows = [
        (row["source"], row["state"], prefix, row["nextHopType"], hop)
        for row in answer["value"]
        for prefix in row["addressPrefix"]
        for hop in row["nextHopIpAddress"] or [""]
    ]
    put_table(COLUMNS, rows)
