"""Variants of lab files: the overview lab's with two SD-WAN appliances, and what NVAs do to paths."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from labkit.errors import InvalidInput
from labkit.lab.load import load_text
from labkit.operate.labs import lifecycle
from labkit.operate.look.running import controllers_text, lab_of
from labkit.operate.records import record as records
from labkit.pytest import Boot, RunningLab
from labkit.resources import topologies
from labkit.runtimes.select import runtime
from tests.e2e.in_lab import (
    configure,
    effective,
    gateways,
    lab_file,
    problems,
    reaches,
    traced,
    wait_until_programmed,
    without_bgpd,
)
from tests.e2e.in_lab import variant as changed
from tests.e2e.waiting import SOON, eventually

BRANCH, VNET = IPv4Network("10.250.0.0/16"), IPv4Network("10.1.0.0/16")
BRANCH_HOST = IPv4Address("10.250.0.10")
FIRST, SECOND = IPv4Address("10.1.1.4"), IPv4Address("10.1.1.5")
FIRST_LINK, SECOND_LINK = IPv4Address("100.64.0.1"), IPv4Address("100.64.0.5")
VMS = ("vm1", "vm2")
Gone = Callable[[RunningLab], AbstractContextManager[None]]
Addresses = tuple[IPv4Address, ...]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return changed(
        topologies() / "overview" / "lab.yml", tmp_path_factory.mktemp("lab"), {"name: overview": "name: overview-pair"}
    )


def kernels_become(lab: RunningLab, *hops: IPv4Address) -> None:
    """Wait until every VM's kernel has the branch via these appliances, and the branch answers every VM and back."""
    eventually(lambda: [gateways(lab, vm, BRANCH) for vm in VMS], lambda found: found == [hops] * len(VMS))
    wait_until_programmed(lab)
    for vm in VMS:
        assert effective(lab, vm, BRANCH) == [
            ("VirtualNetworkGateway", "Active", "VirtualNetworkGateway", [str(hop) for hop in hops])
        ]
    reaches(lab.client, "vm1", BRANCH_HOST)
    reaches(lab.client, "branch-host", lab.lab.azure.nic["vm2"].address)


def branch_returns_by(lab: RunningLab, *links: IPv4Address) -> None:
    eventually(lambda: set(gateways(lab, "branch", VNET) or ()), lambda found: found == set(links))


@contextmanager
def withdrawn(lab: RunningLab) -> Iterator[None]:
    """The first appliance has lost its branch, and withdraws it."""
    (link,) = (link for link in lab.lab.wan_links if link.router == "sdwan-nva")
    session = f"neighbor {link.site_address.ip} shutdown"
    configure(lab, "sdwan-nva", "router bgp 65001", session)
    try:
        yield
    finally:
        configure(lab, "sdwan-nva", "router bgp 65001", f"no {session}")


def killed(lab: RunningLab) -> AbstractContextManager[None]:
    return without_bgpd(lab, "sdwan-nva")


# In the order of the variants: only one of a lab's runs at a time, so each turn to another takes a boot.


def turn_to_the_second_and_back(lab: RunningLab, hops: Addresses, links: Addresses, gone: Gone) -> None:
    assert problems(lab, SOON) == []
    kernels_become(lab, *hops)
    branch_returns_by(lab, *links)
    with gone(lab):
        kernels_become(lab, SECOND)
        branch_returns_by(lab, SECOND_LINK)
    kernels_become(lab, *hops)
    assert problems(lab, SOON) == []


@pytest.mark.parametrize("gone", [withdrawn, killed])
def test_machines_turn_from_both_appliances_to_the_second(labkit_lab: Boot, file: Path, gone: Gone) -> None:
    lab = labkit_lab(file, variant="active-active")
    turn_to_the_second_and_back(lab, (FIRST, SECOND), (FIRST_LINK, SECOND_LINK), gone)


def test_a_trace_follows_the_packet_over_equal_paths(labkit_lab: Boot, file: Path) -> None:
    lab = labkit_lab(file, variant="active-active")
    for source, target in 4 * [("vm1", "branch"), ("vm2", "branch"), ("branch-host", "vm1")]:
        traced(lab, source, target, "delivered")


@pytest.mark.parametrize("gone", [withdrawn, killed])
def test_machines_turn_from_the_first_appliance_to_the_second(labkit_lab: Boot, file: Path, gone: Gone) -> None:
    lab = labkit_lab(file, variant="active-passive")
    turn_to_the_second_and_back(lab, (FIRST,), (FIRST_LINK,), gone)


def test_a_running_lab_knows_its_variant(labkit_lab: Boot, file: Path, labkit_runtime: str) -> None:
    lab = labkit_lab(file, variant="active-passive")
    record = records.read("overview-pair")
    assert record is not None
    assert record.variant == "active-passive"
    assert lab_of(record) == lab.lab
    controllers = load_text(controllers_text(record), "the controller's")
    assert (controllers.azure, controllers.nvas) == (lab.lab.azure, lab.lab.nvas)
    assert [p.claim for p in controllers.proofs] == [p.claim for p in lab.lab.proofs]
    again = lifecycle.up(str(file), runtime(labkit_runtime), lifecycle.Silent(), "active-passive")
    assert not again.fresh
    for other in ("", "active-active"):
        with pytest.raises(InvalidInput, match="lab overview-pair runs already, in variant active-passive"):
            lifecycle.up(str(file), runtime(labkit_runtime), lifecycle.Silent(), other)


def test_machines_have_the_load_balancer_as_their_one_next_hop(labkit_lab: Boot, file: Path) -> None:
    lab = labkit_lab(file, variant="load-balancer")
    frontend = lab.lab.azure.load_balancer["sdwan-lb"].address
    assert problems(lab, SOON) == []
    kernels_become(lab, frontend)
    with killed(lab):
        eventually(
            lambda: [(b["backend"], b["state"]) for b in lab.client.get("status")["backends"]],
            lambda found: found == [("sdwan-nva", "Down"), ("sdwan-nva-2", "Up")],
        )
        kernels_become(lab, frontend)
        assert traced(lab, "vm1", "branch", "delivered").predicted[0] == SECOND
    assert problems(lab, SOON) == []


def test_the_base_is_as_before(labkit_lab: Boot, file: Path, labkit_runtime: str) -> None:
    """It comes after the variants: a test that asks for another variant has the one before taken down."""
    lab = labkit_lab(file)
    assert "sdwan-nva-2" not in lab.lab.nva
    kernels_become(lab, FIRST)
    with pytest.raises(InvalidInput, match="runs already, without a variant"):
        lifecycle.up(str(file), runtime(labkit_runtime), lifecycle.Silent(), "active-passive")


@pytest.mark.parametrize("variant", ["", "override"])
def test_an_nva_between_two_route_servers(labkit_lab: Boot, variant: str) -> None:
    """FRR's as-override [nva-as-override]; the lab's proofs have what it does."""
    assert problems(labkit_lab(lab_file("override"), variant=variant), SOON) == []
