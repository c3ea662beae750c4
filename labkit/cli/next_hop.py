"""`labkit next-hop`: where a NIC sends packets to an address, as Network Watcher has it."""

from __future__ import annotations

from typing import Annotated

import typer

from labkit.azure.rules.decision import Decision
from labkit.cli import complete
from labkit.cli.output import Format, FormatOption, LabOption, note, put_json, put_table
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

    The columns and the JSON are those of `az network watcher show-next-hop`, which has one of several equal next hops.

    All of them are named below the table. `labkit trace` has what comes after.
    """
    client = LabClient(running(lab)[0])
    row = client.get("next-hops", nic, address)
    if output is Format.JSON:
        put_json(row)
        return
    put_table(COLUMNS, [(row["nextHopIpAddress"], row["nextHopType"], row["routeTableId"])])
    decision = client.fetch(Decision, "decisions", nic, address)
    hops = decision.rows[0].next_hops if decision.rows else ()
    if len(hops) > 1:
        note(f" one of {len(hops)} equal next hops: {', '.join(map(str, hops))}")
