"""Names as Azure has them, and their handles."""

from __future__ import annotations

import re
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.names import (
    LENGTHS,
    LONGEST_HANDLE,
    MACHINE_LENGTHS,
    NETWORK_LENGTHS,
    handle,
    in_any_case,
    interface,
    is_valid,
    meant,
    node,
)

NAMES = st.text("abzABZ019_.-", min_size=1, max_size=80).filter(is_valid)

NASTY = (
    "vm1", "VM2", "br1", "br1-tg42n", "eth0", "lo", "all", "a" * 15, "a" * 16, "A.b", "a_b", "a-b", "a_", "1", "0.1",
    *(f"{c}{i:02}" for c in ("fw-prod-westeurope-", "fw-prod-westeurope_", "fw-prod-westeurope.") for i in range(12)),
    *(f"rs-of-the-hub-in-westeurope-{i}" for i in (0, 1)), "Branch.Office-host", "branch-office-hamburg-host", "x" * 80,
)  # fmt: skip


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # What can be the name of a host and of an interface is its own handle.
        ("vm1", "vm1"),
        ("Spoke-Firewall1", "Spoke-Firewall1"),
        # The beginning, a hash of the whole, the number at the end.
        ("VNet_Hub.Prod", "vnet-h-vw8vn"),
        ("nva-firewall.prod-westeurope_01", "nva-swbkd-01"),
        ("nva-firewall.prod-westeurope_02", "nva-swbkd-02"),
        ("nva-firewall.prod-westeurope-02", "nva-thnq7-02"),
        ("Branch.Office_Hamburg-host", "bran-f7kx9-host"),
        # Linux has these itself.
        ("br1", "br1-tg42n"),
        ("ETH0", "eth0-f723t"),
        ("default", "defaul-p4pmk"),
        ("gre0", "gre0-r8tck"),
        # It looks like a handle that is made, and is none.
        ("br1-tg42n", "br1-tg-scnjk"),
    ],
)
def test_handles(name: str, expected: str) -> None:
    assert handle(name) == expected


@given(NAMES)
def test_a_handle_is_a_host_name_and_an_interface(name: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?", handle(name))
    assert len(handle(name)) <= LONGEST_HANDLE
    assert handle(name) == name or handle(name) == handle(name.swapcase()), "one that is made ignores case"


@given(NAMES)
def test_no_name_is_the_handle_of_another(name: str) -> None:
    assert handle(handle(name)) != handle(name) or handle(name) == name


def test_handles_of_names_that_share_much_differ() -> None:
    assert len({handle(name).casefold() for name in NASTY}) == len(NASTY)


@pytest.mark.parametrize("machine", ["fw", "a" * 13, "a" * 14, "nva-firewall.prod-westeurope_01", "rs-1234567-123"])
def test_interfaces_of_a_machines_nics(machine: str) -> None:
    found = [interface(machine, number) for number in range(8)]
    assert found[0] == handle(machine)
    assert all(len(name) <= LONGEST_HANDLE for name in found)
    assert len({*found}) == len(found)
    if len(handle(machine)) <= LONGEST_HANDLE - 2:
        assert found[1:3] == [f"{handle(machine)}.1", f"{handle(machine)}.2"]


def test_an_interface_of_a_further_nic_is_no_other_machines() -> None:
    ports = {interface(machine, number): (machine, number) for machine in NASTY for number in range(8)}
    assert len(ports) == 8 * len(NASTY)


@pytest.mark.parametrize("machine", ["firewall-prod01", "nva-firewall.prod-westeurope_01"])
def test_an_interface_of_a_further_nic_is_no_machine_whose_name_ends_like_it(machine: str) -> None:
    assert handle(f"{machine}.1") not in {interface(machine, number) for number in range(8)}


def test_names_are_meant_in_any_case_and_by_handle() -> None:
    first, second = "nva-firewall.prod-westeurope_01", "nva-firewall.prod-westeurope_02"
    names = [first, second, handle(first), "vm1", f"{second}/Nic.Inside"]
    assert meant(first, names) == meant(first.upper(), names) == first
    assert meant(handle(second), names) == meant(handle(second).upper(), names) == second
    assert meant(handle(first), names) == handle(first), "a name comes before a handle"
    assert meant(f"{handle(second)}/nic.inside", names) == f"{second}/Nic.Inside"
    assert meant("VM1", names) == "vm1"
    assert meant("vm2", names) is None
    assert in_any_case(handle(second), names) is None


@given(st.lists(NAMES, min_size=1, max_size=6, unique_by=str.casefold))
def test_every_name_and_handle_is_understood(names: list[str]) -> None:
    handles = [handle(name) for name in names]
    for name in names:
        assert meant(name, names) == meant(name.swapcase(), names) == name
        assert node(name, handles) == node(name.swapcase(), handles) == handle(name)
        if in_any_case(handle(name), names) is None:
            assert meant(handle(name), names) == name
            assert node(handle(name), handles) == handle(name)


def test_a_node_of_a_foreign_topology_has_its_own_name() -> None:
    assert node("my_node", ["other", "my_node"]) == "my_node"
    assert node("nobody", ["other", "my_node"]) is None


@pytest.mark.parametrize("name", ["a", "9", "a_", "A.b_c-d", "x" * 80])
def test_azure_takes(name: str) -> None:
    assert is_valid(name)


@pytest.mark.parametrize("name", ["", "-a", "_a", ".a", "a-", "a.", "a b", "a/b", "ä", "x" * 81, "a\n"])
def test_azure_does_not_take(name: str) -> None:
    assert not is_valid(name)


@pytest.mark.parametrize(
    ("lengths", "shortest", "longest"), [(LENGTHS, 1, 80), (NETWORK_LENGTHS, 2, 64), (MACHINE_LENGTHS, 1, 64)]
)
def test_azure_takes_other_lengths_of_networks_and_machines(lengths: range, shortest: int, longest: int) -> None:
    assert [n for n in range(100) if is_valid("x" * n, lengths)] == [*range(shortest, longest + 1)]


def test_case_alone_never_separates_handles() -> None:
    """Names that Azure holds to be one are one for Linux too, so that a clash is found by either."""
    for one, other in combinations(NASTY, 2):
        assert handle(one).casefold() != handle(other).casefold()
