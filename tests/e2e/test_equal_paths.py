"""Equal paths by BGP that leave a router by different ways: two NICs, a NIC and an overlay, a NIC and a site's link."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest

from labkit.operate.look.kernel import read as read_routes
from labkit.pytest import Boot, RunningLab
from tests.e2e.by_the_rules import astray, unlike
from tests.e2e.in_lab import kernel, lab_file, problems, traced
from tests.e2e.waiting import SOON

BRANCH, TAIL = IPv4Network("10.250.0.0/16"), IPv4Network("10.251.0.0/16")
ROUTERS = ("frr", "bird")


@pytest.fixture(scope="module")
def lab(labkit_lab: Boot) -> RunningLab:
    return labkit_lab(lab_file("equal-paths"))


@pytest.mark.parametrize("router", ROUTERS)
def test_the_kernel_shares_flows_among_nics_and_links(lab: RunningLab, router: str) -> None:
    table = kernel(lab, router)
    overlay = next(f"vxlan{each.vni}" for each in lab.lab.overlays if router in each.nvas)
    assert sorted(hop.device for hop in table[BRANCH].hops) == ["eth0", "eth1", overlay]
    assert sorted(hop.device for hop in table[TAIL].hops) == ["eth0", "eth2"]


def test_every_way_is_predicted(lab: RunningLab) -> None:
    assert problems(lab, SOON) == []
    assert unlike(lab.lab, lab.lab.azure, lab.client) == []
    assert astray(lab.lab, lab.client) == []


@pytest.mark.parametrize(
    ("source", "target"), [("vm1", "branch"), ("vm2", "branch"), ("vm2", "tail"), ("branch-host", "vm1")]
)
def test_packets_go_as_traced(lab: RunningLab, source: str, target: str) -> None:
    traced(lab, source, target, "delivered")


@pytest.mark.parametrize("router", ROUTERS)
def test_a_routers_own_packets_have_the_address_of_their_way_out(lab: RunningLab, router: str) -> None:
    targets: dict[IPv4Address | None, str] = {}
    for target in (str(BRANCH[n]) for n in range(77, 100)):
        (row,) = read_routes(lab.client.run(router, "ip", "-4", "-j", "route", "get", target).stdout)
        targets.setdefault(row.source, target)
    assert len(targets) == 3
    for source, target in targets.items():
        assert traced(lab, router, target).steps[0].address == str(source)
