"""Which BGP daemon runs in a node."""

from __future__ import annotations

from labkit.daemons.protocol import Daemon
from labkit.daemons.registry import DAEMONS
from labkit.errors import InvalidInput
from labkit.lab.sessions import router_daemons
from labkit.names import meant
from labkit.operate.look.running import lab_of
from labkit.operate.records.record import Record
from labkit.runtimes.protocol import LabStatus


def daemon_in(record: Record, status: LabStatus, name: str) -> Daemon:
    """The BGP daemon in a node of a running lab, which `name` or its handle means.

    Raises:
        InvalidInput: there is no such node, or none runs in it.
        LabkitError: the lab's file can't be read.
    """
    nodes, daemons = sorted(each.name for each in status.nodes), router_daemons(lab_of(record))
    node = meant(name, nodes)
    if node is None:
        raise InvalidInput(f"lab {record.lab} has no node {name!r}.", f"Its nodes are: {', '.join(nodes)}.")
    if node not in daemons:
        raise InvalidInput(f"{node} does not run a BGP daemon.", f"Nodes with one: {', '.join(daemons) or 'none'}.")
    return DAEMONS[daemons[node]]
