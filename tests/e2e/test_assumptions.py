"""The same lab with every assumption as it is by default, and with every one the other way."""

from __future__ import annotations

import json
from ipaddress import IPv4Address, IPv4Network

import pytest

from labkit.azure.changes.route_servers import SetRouteServerSettings
from labkit.pytest import Boot, RunningLab
from tests.e2e.in_lab import gateways, lab_file, nothing_differs, problems, run
from tests.e2e.waiting import SOON, eventually

EDGE, ONE = IPv4Address("100.65.0.1"), IPv4Address("10.1.1.4")
VPN = (IPv4Address("10.1.255.6"), IPv4Address("10.1.255.7"))
TWO_HOPS, ONE_HOP, ONE_LESS = (IPv4Network(f"10.{n}.0.0/16") for n in (93, 94, 95))
TODAY, OTHERWISE = "", "otherwise"


@pytest.fixture(scope="module", params=[TODAY, OTHERWISE], ids=["today", "otherwise"])
def lab(labkit_lab: Boot, request: pytest.FixtureRequest) -> RunningLab:
    return labkit_lab(lab_file("assumptions"), variant=request.param)


def communities(lab: RunningLab, node: str, prefix: str) -> set[str]:
    """The communities on the paths that an NVA has for a prefix from the route server."""
    found = json.loads(run(lab, node, "vtysh", "-c", f"show bgp ipv4 unicast {prefix} json"))
    return {p.get("community", {}).get("string", "") for p in found.get("paths", []) if p["aspath"]["string"]}


def test_every_proof_holds_and_nothing_differs_from_the_rules(lab: RunningLab) -> None:
    assert problems(lab, SOON) == []
    nothing_differs(lab)


def test_who_wins_between_equals(lab: RunningLab) -> None:
    shared, with_vpn = {TODAY: ((EDGE,), (ONE, *VPN)), OTHERWISE: ((ONE, EDGE), (ONE,))}[lab.lab.variant]
    assert gateways(lab, "vm1", TWO_HOPS) == shared
    assert gateways(lab, "vm1", ONE_HOP) == with_vpn


def test_reserved_blocks(lab: RunningLab) -> None:
    rows = lab.client.get("effective-routes", "vm1")["value"]
    found = {prefix for row in rows for prefix in row["addressPrefix"] if row["nextHopType"] == "None"}
    assert len(found) == {TODAY: 21, OTHERWISE: 15}[lab.lab.variant]
    assert ("25.48.0.0/12" in found) is (lab.lab.variant == OTHERWISE)


def test_communities(lab: RunningLab) -> None:
    spoke, exported, kept = {
        TODAY: ({"65518:65518"}, {"65517:65517"}, set()),
        OTHERWISE: ({""}, {""}, {"no-export"}),
    }[lab.lab.variant]
    assert communities(lab, "two", "10.2.0.0/16") == spoke
    assert communities(lab, "one", "10.92.0.0/16") == exported
    assert communities(lab, "two", str(ONE_LESS)) == kept


def test_without_branch_to_branch(lab: RunningLab) -> None:
    """Last: whether the preference counts then is an assumption too."""
    assert gateways(lab, "vm1", ONE_LESS) == (ONE,), "the shorter path"
    lab.client.change(SetRouteServerSettings("rs1", False))
    hop = {TODAY: ONE, OTHERWISE: EDGE}[lab.lab.variant]
    eventually(lambda: communities(lab, "one", "10.92.0.0/16"), lambda found: found == set())
    eventually(lambda: gateways(lab, "vm1", ONE_LESS), lambda hops: hops == (hop,))
    lab.client.change(SetRouteServerSettings("rs1", True))
    eventually(lambda: gateways(lab, "vm1", ONE_LESS), lambda hops: hops == (ONE,))
    assert problems(lab, SOON) == []
