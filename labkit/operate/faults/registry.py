"""Every kind of fault there is."""

from __future__ import annotations

from labkit.operate.faults.fault import Fault
from labkit.operate.faults.node_off import NodeOff

FAULTS: tuple[type[Fault], ...] = (NodeOff,)
"""The kinds of faults; a new one is a file here and a line of this list."""
