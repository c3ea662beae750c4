"""Gateways: packets by the effective routes of GatewaySubnet, and internal BGP between instances."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Network
from typing import Any

import pytest

from labkit.operate.look.live_state import LiveState
from labkit.operate.trace.run import Trace
from labkit.pytest import Boot, RunningLab
from tests.e2e.by_the_rules import astray
from tests.e2e.in_lab import (
    configure,
    effective,
    lab_file,
    nothing_differs,
    put_table,
    run,
    traced,
    wait_until_programmed,
)
from tests.e2e.waiting import eventually

BRANCH1 = IPv4Network("172.20.1.0/24")
BRANCH1_ROUTER, BRANCH1_HOST = "172.20.1.1", "172.20.1.10"
ZERO, ONE = "10.64.200.6", "10.64.200.7"
BESIDE = ("10.64.200.4", "10.64.200.5")
BOTH = [("VirtualNetworkGateway", "Active", "VirtualNetworkGateway", [ZERO, ONE])]


@pytest.fixture(scope="module")
def lab(labkit_lab: Boot) -> RunningLab:
    return labkit_lab(lab_file("gateways"))


def seen(lab: RunningLab, found: Trace) -> list[str | None]:
    """Who answers a traceroute."""
    owners = LiveState(lab.lab, lab.client).owners
    return [owners[hop] if hop else None for hop in found.real]


def test_from_circuit_to_circuit_by_the_routes_of_the_gateway_subnet(lab: RunningLab) -> None:
    """Not by the gateway's own BGP table, which has both sides: without the table they meet without the appliance."""
    of_subnet = lab.client.get("effective-routes", "core/GatewaySubnet")["value"]
    assert [row["nextHopIpAddress"] for row in of_subnet if row["source"] == "User"] == [["10.63.0.4"]] * 2
    assert lab.client.get("next-hops", "ergw-1", "10.170.0.4") == {
        "nextHopIpAddress": "10.63.0.4",
        "nextHopType": "VirtualAppliance",
        "routeTableId": "by-nva",
    }
    assert seen(lab, traced(lab, "vm1", "vm2")) == ["c1", None, "nva", "c2", None, "vm2"]
    assert astray(lab.lab, lab.client) == []
    put_table(lab, "by-nva")
    try:
        wait_until_programmed(lab)
        assert seen(lab, traced(lab, "vm1", "vm2")) == ["c1", None, "c2", None, "vm2"]
        assert astray(lab.lab, lab.client) == []
        put_table(lab, "by-nva", {"10.170.0.0/16": "None"})
        assert seen(lab, traced(lab, "vm1", "vm2", "dropped")) == ["c1"]
    finally:
        put_table(lab, "by-nva", {"10.169.0.0/16": "nva", "10.170.0.0/16": "nva"})
    wait_until_programmed(lab)
    assert seen(lab, traced(lab, "vm2", "vm1")) == ["c2", None, "nva", "c1", None, "vm1"]


def listed(lab: RunningLab, *words: str) -> list[dict[str, Any]]:
    rows = lab.client.get("gateways", *words)["value"]
    assert isinstance(rows, list)
    return rows


def of_branch1(lab: RunningLab, gateway: str) -> list[tuple[str, str, str, str, int]]:
    """The rows of a branch's prefix in a gateway's table."""
    return sorted(
        (row["localAddress"], row["sourcePeer"], row["origin"], row["asPath"], row["weight"])
        for row in listed(lab, gateway, "learned-routes")
        if row["network"] == str(BRANCH1)
    )


def states(lab: RunningLab, gateway: str) -> dict[tuple[str, str], str]:
    """The state of each session of a gateway, by both addresses."""
    return {(row["localAddress"], row["neighbor"]): row["state"] for row in listed(lab, gateway, "bgp-peers")}


@contextmanager
def without_tunnel(lab: RunningLab) -> Iterator[None]:
    """The first instance of the VPN gateway has lost its tunnel to the first branch."""
    tunnel = run(lab, "vpngw-0", "ip", "-o", "route", "get", BRANCH1_HOST).split(" dev ")[1].split()[0]
    run(lab, "vpngw-0", "ip", "link", "set", tunnel, "down")
    configure(lab, "vpngw-0", "router bgp 65515", f"neighbor {BRANCH1_ROUTER} shutdown")  # before the hold time ends
    try:
        yield
    finally:
        run(lab, "vpngw-0", "ip", "link", "set", tunnel, "up")
        configure(lab, "vpngw-0", "router bgp 65515", f"no neighbor {BRANCH1_ROUTER} shutdown")
    eventually(lambda: len(of_branch1(lab, "vpngw")), lambda rows: rows == 4)


def test_gateways_beside_each_other_exchange_routes(lab: RunningLab) -> None:
    """Rows as published: two of IBgp for every branch, the networks' ranges with weight 32769, nothing at circuits."""
    assert of_branch1(lab, "vpngw") == [
        (ZERO, ONE, "IBgp", "65001", 32768),
        (ZERO, BRANCH1_ROUTER, "EBgp", "65001", 32768),
        (ONE, ZERO, "IBgp", "65001", 32768),
        (ONE, BRANCH1_ROUTER, "EBgp", "65001", 32768),
    ]
    assert of_branch1(lab, "beside") == [(BESIDE[0], peer, "IBgp", "65001", 32768) for peer in (ZERO, ONE)]
    own = [row for row in listed(lab, "vpngw", "learned-routes") if row["network"] == f"{BRANCH1_ROUTER}/32"]
    assert sorted((row["localAddress"], row["sourcePeer"], row["origin"]) for row in own) == [
        (ZERO, ZERO, "Network"),
        (ZERO, ONE, "IBgp"),
        (ONE, ZERO, "IBgp"),
        (ONE, ONE, "Network"),
    ]
    given = LiveState(lab.lab, lab.client).bgp("branch2").paths
    assert [p.as_path for p in given if str(p.prefix) == f"{BRANCH1_ROUTER}/32"] == [(65515,)] * 2
    assert f"{BRANCH1_ROUTER}/32" not in {row["network"] for row in listed(lab, "beside", "learned-routes")}
    ranges = [row for row in listed(lab, "vpngw", "learned-routes") if row["network"] == "10.64.0.0/16"]
    by_beside = {(row["localAddress"], row["sourcePeer"]) for row in ranges if row["weight"] == 32769}
    assert by_beside == {(own, peer) for own in (ZERO, ONE) for peer in BESIDE}
    found = states(lab, "vpngw")
    assert found[ZERO, ONE] == found[ONE, BESIDE[1]] == "Connected"
    assert found[ZERO, ZERO] == "Unknown"
    assert str(BRANCH1) not in {row["network"] for row in listed(lab, "beside", "advertised-routes", "c1")}
    nothing_differs(lab)


def test_an_instance_without_its_tunnel_uses_the_others(lab: RunningLab) -> None:
    """Its table says so, machines keep it as a next hop, and what they send to it arrives."""
    with without_tunnel(lab):
        eventually(
            lambda: [row for row in of_branch1(lab, "vpngw") if row[0] == ZERO],
            lambda rows: rows == [(ZERO, ONE, "IBgp", "65001", 32768)],
        )
        assert effective(lab, "vm3", BRANCH1) == BOTH
        eventually(lambda: run(lab, "vpngw-0", "ip", "route", "get", BRANCH1_HOST), lambda way: " dev instance " in way)
        assert astray(lab.lab, lab.client) == []
        nothing_differs(lab)
        # Each probe is a flow of its own, and flows are shared among both instances.
        ten = ("traceroute", "-n", "-q", "10", "-f", "2", "-m", "2", BRANCH1_HOST)
        eventually(lambda: run(lab, "vm3", *ten).splitlines()[-1].count(" ms"), lambda answers: answers == 10)


def test_a_route_table_that_covers_the_gateway_subnet_cuts_the_instances(lab: RunningLab) -> None:
    """Sessions end with the hold time. An instance without a tunnel has nothing then, and machines the other alone."""
    put_table(lab, "empty", {"10.64.200.0/24": "None"})
    try:
        eventually(lambda: states(lab, "vpngw")[ZERO, ONE], lambda state: state != "Connected")
        eventually(lambda: states(lab, "beside")[BESIDE[0], ONE], lambda state: state != "Connected")
        assert effective(lab, "vm3", BRANCH1) == BOTH, "each has its tunnel"
        with without_tunnel(lab):
            only = [("VirtualNetworkGateway", "Active", "VirtualNetworkGateway", [ONE])]
            eventually(lambda: effective(lab, "vm3", BRANCH1), lambda rows: rows == only)
            nothing_differs(lab)
            put_table(lab, "empty")
        eventually(lambda: states(lab, "vpngw")[ZERO, ONE], lambda state: state == "Connected")
    finally:
        put_table(lab, "empty")
    eventually(lambda: effective(lab, "vm3", BRANCH1), lambda rows: rows == BOTH)
    nothing_differs(lab)
