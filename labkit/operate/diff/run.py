"""Everything in which the running lab differs from the model: speakers, controller, fabrics, kernels."""

from __future__ import annotations

from collections.abc import Iterator

from labkit.lab.model import Lab
from labkit.operate.diff.bgp import (
    effective_differences,
    gateway_differences,
    held_differences,
    server_differences,
)
from labkit.operate.diff.by_hand import changes_by_hand
from labkit.operate.diff.outside import site_differences
from labkit.operate.look.client import LabClient
from labkit.operate.look.live_state import LiveState
from labkit.operate.look.snapshot import read
from labkit.operate.verify.difference import Difference
from labkit.operate.verify.fabric_check import fabric_differences
from labkit.operate.verify.firewall_check import firewall_differences
from labkit.operate.verify.oracle import kernel_differences, router_differences, routers


def differences(lab: Lab, client: LabClient) -> list[Difference]:
    """What differs, in the order in which a route travels, each row once. Nodes that are off have nothing to compare.

    Only what differs in two consecutive reads is reported: an update that is still under way is not a difference.

    Raises:
        CheckFailed: something that runs does not answer.
    """
    first = list(_once(LiveState(lab, client)))
    if not first:
        return []
    still = set(_once(LiveState(lab, client)))
    return [found for found in dict.fromkeys(first) if found in still]


def _once(live: LiveState) -> Iterator[Difference]:
    snapshot = read(live)
    for part in (server_differences, held_differences, gateway_differences):
        yield from part(snapshot, live)
    yield from site_differences(snapshot, live)
    yield from effective_differences(snapshot)
    yield from changes_by_hand(live, snapshot.azure)
    for vnet in live.lab.azure.virtual_networks:
        if vnet.name not in live.off:
            yield from fabric_differences(vnet.name, live)
    for firewall in live.lab.azure.firewalls:
        for node in (instance.node for instance in firewall.instance_ids):
            if node not in live.off:
                yield from firewall_differences(node, live)
    for vm in live.lab.virtual_machines:
        if vm.name not in live.off:
            yield from kernel_differences(vm.name, live)
    for router in (r for r in routers(live.lab) if r not in live.lab.own_routers):
        yield from router_differences(router, live)
