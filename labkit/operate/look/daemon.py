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
    lab = lab_of(record)
    nodes, daemons = sorted(each.name for each in status.nodes), router_daemons(lab)
    node = meant(name, nodes)
    if node is None:
        raise InvalidInput(f"lab {record.lab} has no node {name!r}.", f"Its nodes are: {', '.join(nodes)}.")
    if node not in daemons and node in lab.own_routers:
        raise InvalidInput(f"{node} {lab.nva[node].own_router}.", f"What is in it can be asked: labkit shell {node}")
    if node not in daemons:
        raise InvalidInput(f"{node} does not run a BGP daemon.", f"Nodes with one: {', '.join(daemons) or 'none'}.")
    return DAEMONS[daemons[node]]
