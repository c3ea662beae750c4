"""Packets through gateways: GatewaySubnet's effective routes lead what comes by a circuit or a tunnel."""

from __future__ import annotations

import pytest

from labkit.operate.look.live_state import LiveState
from labkit.operate.trace.run import Trace, trace
from labkit.pytest import Boot, RunningLab
from tests.e2e.by_the_rules import astray
from tests.e2e.in_lab import lab_file, put_table
from tests.e2e.waiting import eventually


@pytest.fixture(scope="module")
def lab(labkit_lab: Boot) -> RunningLab:
    return labkit_lab(lab_file("gateways"))


def agreed(lab: RunningLab, source: str, target: str) -> Trace:
    return eventually(lambda: trace(lab.lab, lab.client, source, target), lambda found: found.agrees, 15)


def seen(lab: RunningLab, found: Trace) -> list[str | None]:
    """Who answers a traceroute."""
    owners = LiveState(lab.lab, lab.client).owners
    return [owners[hop] if hop else None for hop in found.real]


def test_from_circuit_to_circuit_by_the_routes_of_the_gateway_subnet(lab: RunningLab) -> None:
    """Not by the gateway's own BGP table, which has both sides: without the table they meet without the appliance."""
    assert seen(lab, agreed(lab, "vm1", "vm2")) == ["c1", None, "nva", "c2", None, "vm2"]
    assert astray(lab.lab, lab.client) == []
    put_table(lab, "by-nva")
    try:
        assert seen(lab, agreed(lab, "vm1", "vm2")) == ["c1", None, "c2", None, "vm2"]
        assert astray(lab.lab, lab.client) == []
        put_table(lab, "by-nva", {"10.170.0.0/16": "None"})
        found = agreed(lab, "vm1", "vm2")
        assert (found.verdict, seen(lab, found)) == ("dropped", ["c1"])
    finally:
        put_table(lab, "by-nva", {"10.169.0.0/16": "nva", "10.170.0.0/16": "nva"})
    assert seen(lab, agreed(lab, "vm2", "vm1")) == ["c2", None, "nva", "c1", None, "vm1"]
