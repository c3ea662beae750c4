"""`labkit trace` where ways are odd: it predicts what the real traceroute sees, and has which route won and why."""

from __future__ import annotations

import json
from collections.abc import Iterator
from ipaddress import IPv4Network

import pytest

from labkit.azure.changes.virtual_networks import SetAddressSpace
from labkit.azure.forwarding import Disposition
from labkit.cli.app import run as labkit
from labkit.operate.trace.run import Trace
from labkit.pytest import Boot, RunningLab
from tests.e2e.in_lab import off, problems, run, traced
from tests.e2e.waiting import SOON, eventually


def at(found: Trace, place: str) -> list[str]:
    """The reasons given at a place, the first time that the packet is there."""
    step = next(step for step in found.steps if step.place == place)
    assert step.choice is not None
    return [*step.choice.lines()]


@pytest.fixture(scope="module")
def two_circuits(labkit_lab: Boot) -> Iterator[RunningLab]:
    lab = labkit_lab("dual-homed-expressroute")
    yield lab
    assert problems(lab, SOON) == []


def test_each_decision_has_its_reasons(two_circuits: RunningLab) -> None:
    found = traced(two_circuits, "vm02", "onprem1")
    around = "65002-65002-65001-65001-12076-65021"
    longest = "over 10.0.0.0/8 (system, None), 0.0.0.0/0 (system, Internet): the longest prefix wins"
    assert at(found, "vnet0") == [
        "BGP from csr1 (next hop 10.101.3.10), path 65001-65001-12076-65021 (4 ASNs)",
        f"not from csr2 (next hop 10.102.3.10), path {around} (6 ASNs): its AS path is longer",
        longest,
    ]
    assert at(found, "csr1") == [
        "BGP from rs1-0 (next hop 10.101.1.4), rs1-1 (next hop 10.101.1.5), path 65515-12076-65021 (3 ASNs)",
        "over 0.0.0.0/0: the longest prefix wins",
    ]
    of_csr1 = at(found, "vnet1")
    assert of_csr1[0].startswith("BGP from ergw1-")
    assert [line.partition(": ")[2] for line in of_csr1[1:]] == [
        "with a route server only one ExpressRoute connection is used",
        "the hub routing preference prefers others (ExpressRoute)",
        "the longest prefix wins",
    ]
    assert at(found, "circuit1") == ["BGP from onprem1 (next hop 192.168.20.17), path 65021 (1 ASN)"]


def test_json_has_the_parts(two_circuits: RunningLab, capsys: pytest.CaptureFixture[str]) -> None:
    name = two_circuits.client.record.lab
    eventually(lambda: labkit(["trace", "vm02", "onprem1", "-l", name]), lambda status: status == 0)
    capsys.readouterr()
    assert labkit(["trace", "vm02", "onprem1", "-l", name, "-o", "json"]) == 0
    (step,) = (s for s in json.loads(capsys.readouterr().out)["steps"] if s["place"] == "vnet0")
    choice = step["choice"]
    assert (choice["prefix"], choice["by"], choice["ecmp"]) == ("10.2.13.0/25", "BGP", False)
    assert [(p["from"], p["because"]) for p in choice["paths"]] == [("csr1", ""), ("csr2", "its AS path is longer")]
    assert [r["prefix"] for r in choice["over"]] == ["10.0.0.0/8", "0.0.0.0/0"]


def test_a_peered_range_wins_over_bgp_inside_it(two_circuits: RunningLab) -> None:
    found = traced(two_circuits, "vm02", "vm14")
    (line,) = (line for line in at(found, "vnet0") if line.startswith("over 10.101."))
    assert line.startswith("over 10.101.4.0/24 (BGP), 10.101.0.0/16 (BGP): BGP inside a virtual network's own range")


def test_a_loop_is_shown_once(two_circuits: RunningLab, capsys: pytest.CaptureFixture[str]) -> None:
    found = traced(two_circuits, "vm14", "vm24")
    assert found.verdict == "loops until its TTL expires"
    assert [step.place for step in found.steps] == ["vm14", "vnet1", "csr1", "vnet1", "csr1"]
    assert labkit(["trace", "vm14", "vm24", "-l", two_circuits.client.record.lab]) == 0
    assert "predicted:        10.101.3.10 (12 times)" in capsys.readouterr().out


def test_an_appliance_drops_its_own_packet_that_comes_back(two_circuits: RunningLab) -> None:
    """In the loop where others' packets circle, this one has the appliance's own source: its kernel drops it."""
    found = traced(two_circuits, "csr1", "vm24")
    assert (found.disposition, found.predicted, found.real) == (Disposition.OWN_SOURCE, (), ())
    assert [step.place for step in found.steps] == ["csr1", "vnet1", "csr1"]


def test_with_a_circuit_off_the_gateway_answers(two_circuits: RunningLab) -> None:
    try:
        with off(two_circuits, "circuit1"):
            for source, target in (("vm02", "onprem1"), ("vm14", "onprem1"), ("onprem1", "vm02")):
                traced(two_circuits, source, target, "dropped")
    finally:
        # They have not noticed, and would keep their old sessions with it for the hold time.
        for line in two_circuits.lab.gateway["ergw1"].lines:
            run(two_circuits, f"ergw1-{line.instance}", "vtysh", "-c", f"clear bgp {line.edge}")
    traced(two_circuits, "vm02", "onprem1", "delivered")


@pytest.mark.parametrize("node", ["vm02", "csr1", "circuit1", "onprem1-host"])
def test_a_machine_to_itself(two_circuits: RunningLab, node: str) -> None:
    found = traced(two_circuits, node, node)
    assert (found.verdict, len(found.predicted), len(found.real)) == ("delivered", 1, 1)


def test_an_address_that_nobody_has(two_circuits: RunningLab) -> None:
    for source, target, where in (
        ("onprem1", "10.2.13.77", "onprem1"),
        ("vm02", "10.100.0.200", "vnet0"),
        ("vm02", "10.9.9.9", "vnet0"),
    ):
        found = traced(two_circuits, source, target)
        assert (found.verdict, found.steps[-1].place) == ("dropped", where), found


def test_a_black_hole_is_called_one(two_circuits: RunningLab) -> None:
    """The NIC's row of type None, of which the machine itself knows nothing."""
    step = traced(two_circuits, "vm02", "10.9.9.9").steps[-1]
    assert (step.decision, step.why) == (
        "10.0.0.0/8 → dropped",
        "a black hole: effective route of vm02's NIC, source Default, next hop type None",
    )
    assert step.choice is not None
    assert "next hop type None, a black hole" in [*step.choice.lines()]


def test_a_route_server_sends_nothing_but_bgp(two_circuits: RunningLab, capsys: pytest.CaptureFixture[str]) -> None:
    assert labkit(["trace", "rs1-0", "vm14", "-l", two_circuits.client.record.lab]) == 2
    assert "rs1-0 is an instance of a route server" in capsys.readouterr().err


@pytest.fixture
def covered(labkit_lab: Boot) -> Iterator[RunningLab]:
    """The hub has a range that holds the branch behind its VPN gateway."""
    lab = labkit_lab("expressroute-vpn")
    before = IPv4Network("10.100.0.0/23")
    lab.client.change(SetAddressSpace("hub", (before, IPv4Network("10.200.0.0/24"))))
    yield lab
    lab.client.change(SetAddressSpace("hub", (before,)))


def test_a_range_that_holds_a_sites_addresses(covered: RunningLab) -> None:
    """They are nobody's in the network, where packets to them end now."""
    for source, target in (("vm1", "branch"), ("onprem", "branch"), ("branch-host", "vm1"), ("branch", "onprem")):
        found = traced(covered, source, target)
        if target == "branch":
            assert found.verdict == "dropped", found
            assert "in a virtual network" in found.steps[-1].why
