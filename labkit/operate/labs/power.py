"""Nodes powered off and on, with an entry in the controller's event log before what follows from it."""

from __future__ import annotations

from contextlib import suppress

from labkit.errors import CheckFailed
from labkit.operate.look.client import LabClient
from labkit.runtimes.protocol import LabStatus


def power_off(client: LabClient, status: LabStatus, node: str) -> None:
    """Power a node of a lab with this status off; raises as `Runtime.stop` does."""
    _log(client, status, node, on=False)
    client.runtime.stop(client.record.lab, node)


def power_on(client: LabClient, status: LabStatus, node: str) -> None:
    """Power a node of a lab with this status on; raises as `Runtime.start` does."""
    _log(client, status, node, on=True)
    client.runtime.start(client.record.lab, node)


def _log(client: LabClient, status: LabStatus, node: str, *, on: bool) -> None:
    """Log it before it is done, so that what follows from it comes after it in the log."""
    changes = any(n.name == node and (n.state == "stopped") is on for n in status.nodes)
    if changes:
        with suppress(CheckFailed):  # the controller may be off or dead
            client.put("nodes", node, "power", body={"on": on})
