"""`labkit status`: nodes, sessions and programming of a running lab."""

from __future__ import annotations

from typing import Any

import typer

from labkit.cli.output import Format, FormatOption, LabOption, put, put_json, put_table
from labkit.errors import CheckFailed
from labkit.operate.client import LabClient
from labkit.operate.record import the_running_lab


def command(lab: LabOption = None, output: FormatOption = Format.TABLE) -> None:
    """Show a lab's nodes, BGP sessions and how far its machines are programmed."""
    record = the_running_lab(lab)
    client = LabClient(record)
    status = client.runtime.inspect(record.lab)
    if status is None:
        raise CheckFailed(f"lab {record.lab} does not run any more.", f"Clear it away: labkit down {record.lab}")
    platform: dict[str, Any] = {"nodes": {}, "sessions": [], "programmed": False}
    if status.state == "running":
        platform = client.get("status")
    if output is Format.JSON:
        nodes = [{"name": n.name, "state": n.state, "health": n.health, "image": n.image} for n in status.nodes]
        put_json(
            {"lab": record.lab, "runtime": record.runtime, "state": status.state, "nodes": nodes, "platform": platform}
        )
        return
    put(f"{record.lab} on {record.runtime}: {status.state}\n")
    rows = [(n.name, n.state, n.health or "-", _programming(platform["nodes"].get(n.name))) for n in status.nodes]
    put_table(("Node", "State", "Health", "Programmed"), rows)
    put("")
    sessions = platform["sessions"]
    put_table(
        ("Route server", "Instance", "Peer", "State", "Reason"),
        [(s["route_server"], s["instance"], s["peer"], s["state"], s["reason"] or "-") for s in sessions],
    )
    if status.state != "running":
        raise typer.Exit(1)


def _programming(node: dict[str, object] | None) -> str:
    if node is None or node["role"] == "routeserver":
        return "-"
    if node["error"]:
        return f"failed: {node['error']}"
    if not node["connected"]:
        return "no feed"
    return "yes" if node["applied_seq"] == node["sent_seq"] != 0 else "under way"
