"""The running lab against the rules: every VM's kernel and every fabric's program must agree with the oracle."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from ipaddress import IPv4Address, IPv4Network

from labkit.azure.model import NextHopType
from labkit.feed.tables import ForwardingTable
from labkit.lab.model import Lab
from labkit.operate.look.kernel import KernelPath
from labkit.operate.look.live_state import LiveState
from labkit.operate.verify.difference import NOTHING, Difference
from labkit.operate.verify.fabric_check import fabric_difference

ON_LINK = {NextHopType.VNET_LOCAL, NextHopType.VNET_PEERING, NextHopType.VNET_GLOBAL_PEERING}


def oracle_checks(lab: Lab) -> Iterator[tuple[str, Callable[[LiveState], str | None]]]:
    """A check for every VM's kernel and one for every fabric, each with its title."""
    for vm in lab.virtual_machines:
        yield (
            f"kernel of {vm.name} agrees with its effective routes",
            partial(kernel_difference, vm.name),
        )
    for vnet in lab.azure.virtual_networks:
        yield (
            f"fabric {vnet.name} agrees with the effective routes",
            partial(fabric_difference, vnet.name),
        )


def kernel_difference(vm: str, live: LiveState) -> str | None:
    """The first difference between a VM's kernel FIB and its effective routes, None if there is none."""
    for found in kernel_differences(vm, live):
        there, right = ("nothing" if text == NOTHING else text for text in (found.there, found.model))
        return f"{found.prefix} is {there} in the kernel of {vm}; expected: {right}. Look: {found.hint}"
    return None


def kernel_differences(vm: str, live: LiveState) -> Iterator[Difference]:
    """Every difference between a VM's kernel FIB and its effective routes, by ascending prefix."""
    nic = live.lab.azure.nic[vm]
    vnet = live.lab.azure.virtual_network[nic.virtual_network]
    subnet = next(s.prefix for s in vnet.subnets if s.name == nic.subnet)
    wanted = {p: h for p, h in _wanted(live.state.forwarding[vm], subnet[1]).items() if p != subnet}
    found: dict[IPv4Network, KernelPath] = {}
    for path in live.kernel(vm):
        if path.protocol != "kernel":
            found.setdefault(path.prefix, path)  # the kernel lists, and uses, the best one first
    for prefix in sorted(wanted.keys() | found.keys()):
        hop = wanted.get(prefix)
        row = found.get(prefix)
        there = _text(row.type, row.gateways) if row is not None else NOTHING
        right = _text(*hop) if hop is not None else NOTHING
        if there != right:
            yield Difference(f"kernel of {vm}", str(prefix), right, there, f"labkit routes {vm}")


def _wanted(table: ForwardingTable, gateway: IPv4Address) -> dict[IPv4Network, tuple[str, tuple[IPv4Address, ...]]]:
    groups: dict[int, tuple[str, tuple[IPv4Address, ...]]] = {}
    for number, group in table.groups.items():
        if group.type is NextHopType.NONE:
            groups[number] = ("blackhole", ())
        elif group.type is NextHopType.INTERNET:
            groups[number] = ("unicast", (gateway,))
        else:
            groups[number] = ("unicast", () if group.type in ON_LINK else tuple(sorted(group.next_hops)))
    return {IPv4Network(prefix): groups[group] for prefix, group in table.routes.items()}


def _text(kind: str, gateways: tuple[IPv4Address, ...]) -> str:
    if gateways:
        return f"via {', '.join(map(str, gateways))}"
    return "on-link" if kind == "unicast" else kind
