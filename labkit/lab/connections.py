"""The lines and tunnels of gateways' connections, which stay as they were built while connections come and go. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from labkit.azure.model import Azure, InstanceId
from labkit.lab.model import Lab, Line, Tunnel


def connection_names(lab: Lab, tunnel: Tunnel) -> tuple[str, ...]:
    """The connections that a tunnel needs: its gateway's; of two gateways, that of either one."""
    ends = (tunnel.near.name, tunnel.far.name), (tunnel.far.name, tunnel.near.name)
    return tuple(f"{near}-{far}" for near, far in ends if near in lab.gateway)


def connection_name(gateway: str, line: Line) -> str:
    """The connection that a line is of."""
    return f"{gateway}-{line.circuit}"


def unconnected(lab: Lab, azure: Azure) -> frozenset[frozenset[str]]:
    """The pairs of nodes between which there is a line or a tunnel, but no connection in what Azure has become."""
    return frozenset(frozenset(nodes) for nodes in _unconnected(lab, azure))


def _unconnected(lab: Lab, azure: Azure) -> Iterator[tuple[str, str]]:
    there = {connection.name for connection in azure.connections}
    instances = {i.node for gateway in azure.gateways for i in gateway.instance_ids}
    built = {i.node for gateway in lab.azure.gateways for i in gateway.instance_ids}
    if there == {connection.name for connection in lab.azure.connections} and instances == built:
        return
    for gateway in lab.gateways:
        for line in gateway.lines:
            node = InstanceId(gateway.name, line.instance).node
            if connection_name(gateway.name, line) not in there or node not in instances:
                yield node, line.router
    for tunnel in lab.tunnels:
        missing = {tunnel.near.node, tunnel.far.node} & built - instances
        if missing or not there.issuperset(connection_names(lab, tunnel)):
            yield tunnel.near.node, tunnel.far.node
