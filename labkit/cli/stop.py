"""`labkit stop`: power a node off."""

from __future__ import annotations

from labkit.cli.output import LabOption, NodeArgument, say
from labkit.operate.running import running
from labkit.runtimes.select import runtime


def command(node: NodeArgument, lab: LabOption = None) -> None:
    """Power a node off, without a goodbye.

    Links go first, then processes: its neighbours must find out by themselves.
    """
    record, _ = running(lab)
    runtime(record.runtime).stop(record.lab, node)
    say(f" {node} is off.  Back on: labkit start {node}")
