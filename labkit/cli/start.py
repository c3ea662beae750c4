"""`labkit start`: power a node on."""

from __future__ import annotations

import time

from labkit.cli.output import LabOption, NodeArgument, note, span
from labkit.operate.faults.node_off import NodeOff
from labkit.operate.look.client import LabClient
from labkit.operate.look.running import running


def command(node: NodeArgument, lab: LabOption = None) -> None:
    """Power a node on again."""
    began = time.monotonic()
    record, status = running(lab)
    NodeOff(node).end(LabClient(record), status)
    note(f" {node} is on.   {span(time.monotonic() - began)}")
