"""`labkit stop`: power a node off."""

from __future__ import annotations

from labkit.cli.output import LabOption, NodeArgument, say
from labkit.operate.labs.power import power_off
from labkit.operate.look.client import LabClient
from labkit.operate.look.running import running


def command(node: NodeArgument, lab: LabOption = None) -> None:
    """Power a node off, without a goodbye.

    Links go first, then processes: its neighbours must find out by themselves.
    """
    record, status = running(lab)
    power_off(LabClient(record), status, node)
    say(f" {node} is off.  Back on: labkit start {node}")
