"""Networks on premises behind a VPN gateway: user-defined routes that lead there."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest

from labkit.azure.changes.route_tables import DeleteRoute, PutRoute
from labkit.azure.model import NextHopType
from labkit.operate.diff.run import differences
from labkit.operate.look.probes import ping
from labkit.pytest import Boot, RunningLab
from tests.e2e.in_lab import gateways, lab_file, problems, without_bgpd
from tests.e2e.waiting import eventually

BRANCH, OFFICE = IPv4Network("10.250.0.0/16"), IPv4Network("10.251.0.0/16")
BRANCH_HOST = IPv4Address("10.250.0.10")


@pytest.fixture(scope="module")
def lab(labkit_lab: Boot) -> RunningLab:
    return labkit_lab(lab_file("premises"))


def test_every_proof_holds_and_nothing_differs_from_the_rules(lab: RunningLab) -> None:
    assert problems(lab) == []
    eventually(lambda: [str(d) for d in differences(lab.lab, lab.client)], lambda found: found == [])


def test_user_defined_routes_lead_to_the_gateway(lab: RunningLab) -> None:
    """To both its instances, and to the one that has routes [route-to-gateway]."""
    one, other = lab.lab.azure.gateway["vpngw"].instances
    assert gateways(lab, "vm2", BRANCH) == (one, other)
    with without_bgpd(lab, "vpngw-0"):
        eventually(lambda: gateways(lab, "vm2", BRANCH), lambda hops: hops == (other,))
        eventually(lambda: ping(lab.client, "vm2", BRANCH_HOST), bool)
    eventually(lambda: gateways(lab, "vm2", BRANCH), lambda hops: hops == (one, other), 60)
    lab.client.change(PutRoute("to-branch", OFFICE, NextHopType.VIRTUAL_NETWORK_GATEWAY))
    eventually(lambda: gateways(lab, "vm2", OFFICE), lambda hops: hops == (one, other))
    lab.client.change(DeleteRoute("to-branch", OFFICE))
    eventually(lambda: gateways(lab, "vm2", OFFICE), lambda hops: hops is None)
    assert problems(lab, 30) == []
