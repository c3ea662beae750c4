"""What `verify` and `diff` find in the kernel of a machine with two NICs: each table, and each policy rule."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from labkit.azure.model import ON_LINK, EffectiveRoute, NextHopType
from labkit.azure.rules.effective import active, effective_routes
from labkit.controller.tables import Table, diff
from labkit.feed.tables import desired
from labkit.lab.load import read
from labkit.lab.plan.addressing import subnet_of
from labkit.lab.plan.nic_tables import RT_TABLE_MAIN, nic_table
from labkit.operate.look.kernel import KernelHop, KernelPath
from labkit.operate.look.live_state import LiveState
from labkit.operate.verify.difference import NOTHING
from labkit.operate.verify.oracle import kernel_difference, kernel_differences

LAB = read(Path(__file__).parents[2] / "e2e" / "labs" / "two-nics.lab.yml").lab
OUTSIDE, INSIDE = LAB.azure.nics_of("client")
ROWS = {nic.name: list(active(effective_routes(LAB.azure, nic.name, {}))) for nic in (OUTSIDE, INSIDE)}


def path(row: EffectiveRoute, gateway: IPv4Address) -> KernelPath:
    by_gateway = row.next_hop_type in {NextHopType.INTERNET, NextHopType.NONE}
    hops = (gateway,) if by_gateway else () if row.next_hop_type in ON_LINK else tuple(sorted(row.next_hops))
    return KernelPath(row.prefix, "unicast", tuple(KernelHop("eth0", hop) for hop in hops), "65")


class Kernel:
    """The client's kernel as it should be; tests alter it."""

    lab = LAB

    def __init__(self) -> None:
        tables = {name: diff(Table(), desired(rows))[0].message() for name, rows in ROWS.items()}
        self.state = SimpleNamespace(forwarding=tables)
        own = {
            nic.name: [path(row, subnet_of(LAB.azure, nic)[1]) for row in ROWS[nic.name]] for nic in (OUTSIDE, INSIDE)
        }
        connected = [KernelPath(subnet_of(LAB.azure, nic), "unicast", (), "kernel") for nic in (OUTSIDE, INSIDE)]
        self.tables: dict[int, list[KernelPath]] = {
            RT_TABLE_MAIN: [*connected, *own[OUTSIDE.name]],
            nic_table(0): own[OUTSIDE.name],
            nic_table(1): own[INSIDE.name],
        }
        self.rules: dict[IPv4Address, int] = {OUTSIDE.address: nic_table(0), INSIDE.address: nic_table(1)}

    def kernel(self, node: str, table: int) -> tuple[KernelPath, ...]:
        assert node == "client"
        return tuple(self.tables[table])

    def table_from(self, node: str, source: IPv4Address) -> int | None:
        assert node == "client"
        return self.rules.get(source)

    def without(self, table: int, prefix: str) -> None:
        self.tables[table] = [path for path in self.tables[table] if path.prefix != IPv4Network(prefix)]


def differences(kernel: Kernel) -> Mapping[tuple[str, str], tuple[str, str]]:
    found = kernel_differences("client", cast(LiveState, kernel))
    return {(d.where, d.prefix): (d.model, d.there) for d in found}


def test_a_kernel_as_it_should_be() -> None:
    assert {str(row.prefix) for row in ROWS[INSIDE.name]} >= {"10.1.0.0/16", "10.2.0.0/16", "0.0.0.0/0"}
    assert differences(Kernel()) == {}
    assert kernel_difference("client", cast(LiveState, Kernel())) is None


@pytest.mark.parametrize(
    ("table", "where"),
    [
        (RT_TABLE_MAIN, "kernel of client"),
        (nic_table(0), "kernel of client, table 100 of NIC client/outside"),
        (nic_table(1), "kernel of client, table 101 of NIC client/inside"),
    ],
)
def test_a_route_that_one_table_lacks(table: int, where: str) -> None:
    kernel = Kernel()
    kernel.without(table, "10.1.0.0/16")
    assert differences(kernel) == {(where, "10.1.0.0/16"): ("on-link", NOTHING)}


def test_a_rule_that_is_lost_or_leads_elsewhere() -> None:
    kernel = Kernel()
    del kernel.rules[OUTSIDE.address]
    kernel.rules[INSIDE.address] = nic_table(0)
    assert differences(kernel) == {
        ("kernel of client, table 100 of NIC client/outside", ""): (f"from {OUTSIDE.address} lookup 100", NOTHING),
        ("kernel of client, table 101 of NIC client/inside", ""): (
            f"from {INSIDE.address} lookup 101",
            f"from {INSIDE.address} lookup 100",
        ),
    }
    assert kernel_difference("client", cast(LiveState, kernel)) == (
        "the policy rule of its NIC is nothing in the kernel of client, table 100 of NIC client/outside; expected: "
        f"from {OUTSIDE.address} lookup 100. Look: labkit exec client -- ip rule show"
    )
