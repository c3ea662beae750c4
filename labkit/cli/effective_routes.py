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
            metavar="NIC", help="A machine or NVA (its primary NIC), or machine/NIC.", autocompletion=complete.nics
        ),
    ],
    lab: LabOption = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """Show the effective routes of a NIC, as Azure does.

    The columns and the JSON are those of `az network nic show-effective-route-table`.
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
