"""`labkit stop`: power a node off."""

from __future__ import annotations

from labkit.cli.output import LabOption, NodeArgument, note
from labkit.operate.labs.power import power_off
from labkit.operate.look.client import LabClient
from labkit.operate.look.running import running


def command(node: NodeArgument, lab: LabOption = None) -> None:
    """Power a node off abruptly: no BGP NOTIFICATION is sent.

    Its links are cut before its processes end, so that neighbours notice only by their timers or the missing link.
    """
    record, status = running(lab)
    power_off(LabClient(record), status, node)
    note(f" {node} is off.  Power it on: labkit start {node}")
