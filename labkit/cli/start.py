"""`labkit start`: power a node on."""

from __future__ import annotations

import time

from labkit.cli.output import LabOption, NodeArgument, say, span
from labkit.operate.running import running
from labkit.runtimes.select import runtime


def command(node: NodeArgument, lab: LabOption = None) -> None:
    """Power a node on again, as after a reboot."""
    began = time.monotonic()
    record, _ = running(lab)
    runtime(record.runtime).start(record.lab, node)
    say(f" {node} is on.   {span(time.monotonic() - began)}")
