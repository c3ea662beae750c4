"""`labkit stop`: power a node off."""

from __future__ import annotations

from labkit.cli.output import LabOption, NodeArgument, note
from labkit.names import meant
from labkit.operate.faults.node_off import NodeOff
from labkit.operate.look.client import LabClient
from labkit.operate.look.running import running


def command(name: NodeArgument, lab: LabOption = None) -> None:
    """Power a node off abruptly: no BGP NOTIFICATION is sent.

    Its links are cut before its processes end, so that neighbours notice only by their timers or the missing link.
    """
    record, status = running(lab)
    node = meant(name, (each.name for each in status.nodes)) or name
    fault = NodeOff(node)
    fault.begin(LabClient(record), status)
    note(f" {fault.describe()}.  Power it on: labkit start {node}")
