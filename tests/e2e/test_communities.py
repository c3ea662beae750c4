"""Communities on the way from an appliance through a route server to another one, to a gateway and on-premises."""

from __future__ import annotations

import json

import pytest

from labkit.pytest import Boot, RunningLab
from tests.e2e.in_lab import lab_file, nothing_differs, problems, run
from tests.e2e.waiting import SOON


@pytest.fixture(scope="module")
def lab(labkit_lab: Boot) -> RunningLab:
    return labkit_lab(lab_file("communities"))


def communities(lab: RunningLab, node: str, prefix: str) -> set[str]:
    """The communities on every path that an FRR node has for a prefix."""
    found = json.loads(run(lab, node, "vtysh", "-c", f"show bgp ipv4 unicast {prefix} json"))
    return {path.get("community", {}).get("string", "") for path in found["paths"]}


def test_every_proof_holds(lab: RunningLab) -> None:
    """A VPN gateway with an ASN of its own sends back nothing of what a route server advertises to it."""
    assert problems(lab, SOON) == []
    nothing_differs(lab)


@pytest.mark.parametrize(("node", "prefix"), [("quiet", "10.92.0.0/16"), ("ergw-0", "10.92.0.0/16")])
def test_what_a_route_server_relays_is_marked(lab: RunningLab, node: str, prefix: str) -> None:
    assert communities(lab, node, prefix) == {"65002:9 65517:65517"}


def test_what_comes_from_a_gateway_is_marked(lab: RunningLab) -> None:
    assert communities(lab, "plain", "10.2.0.0/16") == {"65517:65517"}


def test_a_circuit_keeps_communities(lab: RunningLab) -> None:
    assert communities(lab, "onprem", "10.92.0.0/16") == {"65002:9 65517:65517"}
