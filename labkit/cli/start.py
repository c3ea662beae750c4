"""`labkit start`: power a node on."""

from __future__ import annotations

import time

from labkit.cli.output import LabOption, NodeArgument, note, span
from labkit.names import meant
from labkit.operate.faults.node_off import NodeOff
from labkit.operate.look.client import LabClient
from labkit.operate.look.held_sessions import held_with
from labkit.operate.look.running import running


def command(name: NodeArgument, lab: LabOption = None) -> None:
    """Power a node on again.

    Neighbours that have not noticed that it was off keep their BGP sessions; new ones come up once these have ended.
    """
    began = time.monotonic()
    record, status = running(lab)
    node = meant(name, (each.name for each in status.nodes)) or name
    client = LabClient(record)
    held = held_with(client, status, node)
    NodeOff(node).end(client, status)
    note(f" {node} is on.   {span(time.monotonic() - began)}")
    for session in held:
        note(f" {session.text(time.time())}. A new one comes up then.")
