"""A pair of firewalls with a NIC outside and a NIC inside, a load balancer on each side: whose flow meets which."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network

import pytest

from labkit.azure.forwarding import Disposition
from labkit.lab.plan.nic_tables import nic_table
from labkit.operate.look.live_state import LiveState
from labkit.operate.look.probes import ping
from labkit.pytest import Boot, RunningLab
from tests.e2e.by_the_rules import astray
from tests.e2e.in_lab import effective, gateways, nothing_differs, off, problems, run, traced
from tests.e2e.test_nva_options import CONNECTIONS, connections
from tests.e2e.waiting import SOON, eventually

DEFAULT = IPv4Network("0.0.0.0/0")
INSIDE, VM1, VM2 = IPv4Address("10.0.2.6"), IPv4Address("10.1.1.4"), IPv4Address("10.2.1.4")
INTERNET = IPv4Address("198.51.100.10")
FIREWALLS = ("fw1", "fw2")


@pytest.fixture(scope="module")
def lab(labkit_lab: Boot) -> RunningLab:
    return labkit_lab("two-armed")


@pytest.fixture(name="_whole")
def whole(lab: RunningLab) -> Iterator[None]:
    """The test leaves the lab as it found it, and that is checked."""
    yield
    assert problems(lab, SOON) == []
    nothing_differs(lab)


def until_up(lab: RunningLab, *up: str) -> None:
    """Wait until these backends are up, and no others."""

    def states() -> dict[str, str]:
        return {row["backend"]: row["state"] for row in lab.client.get("status")["backends"]}

    wanted = {f"{fw}/{nic}": "Down" for fw in FIREWALLS for nic in ("inside", "outside")} | dict.fromkeys(up, "Up")
    eventually(states, lambda found: found == wanted)


def both() -> list[str]:
    return [f"{fw}/{nic}" for fw in FIREWALLS for nic in ("inside", "outside")]


@pytest.mark.usefixtures("_whole")
def test_each_daemon_has_its_sessions_inside_and_a_table_for_each_nic(lab: RunningLab) -> None:
    until_up(lab, *both())
    peers = {peer["name"]: peer["peerIp"] for peer in lab.client.get("route-servers", "rs", "peers")}
    assert peers == {"fw1": "10.0.2.4", "fw2": "10.0.2.5"}
    live = LiveState(lab.lab, lab.client)
    for fw in FIREWALLS:
        main = {str(path.prefix): path.gateways for path in live.kernel(fw)}
        ways = [main[p] for p in ("0.0.0.0/0", "10.250.0.0/16", "10.0.0.0/8", "10.1.0.0/16")]
        outside, inside = (IPv4Address("10.0.1.1"),), (IPv4Address("10.0.2.1"),)
        assert ways == [outside, outside, inside, inside], "static routes, and spokes by BGP"
        tables = [[p.gateways for p in live.kernel(fw, nic_table(n)) if p.prefix == DEFAULT] for n in (0, 1)]
        assert tables == [[outside], [inside]]
    assert {daemon.daemon for daemon in lab.lab.nvas} == {"frr", "bird"}
    for vm in ("vm1", "vm2"):
        assert gateways(lab, vm, DEFAULT) == (INSIDE,)
        assert effective(lab, vm, DEFAULT)[0][3] == [str(INSIDE)]


@pytest.mark.usefixtures("_whole")
def test_every_connection_meets_one_firewall_in_both_directions(lab: RunningLab) -> None:
    until_up(lab, *both())
    assert connections(lab, "internet", INTERNET, "vm1") == CONNECTIONS
    assert connections(lab, "vm2", VM2, "vm1") == CONNECTIONS
    assert connections(lab, "vm1", VM1, "branch-host") == CONNECTIONS
    for source, target in (
        ("vm1", "internet"),
        ("vm1", "vm2"),
        ("branch", "vm1"),
        ("fw2/inside", "vm1"),
        ("fw1", "vm2"),
    ):
        assert traced(lab, source, target).disposition is Disposition.DELIVERED
    assert astray(lab.lab, lab.client) == []


@pytest.mark.usefixtures("_whole")
def test_a_link_that_flaps_leaves_a_router_its_tables(lab: RunningLab) -> None:
    for router, link in (*((fw, "eth1") for fw in FIREWALLS), ("edge", "eth0")):
        run(lab, router, "sh", "-c", f"ip link set {link} down; ip link set {link} up")
    eventually(lambda: problems(lab), lambda found: found == [])
    until_up(lab, *both())


@pytest.mark.usefixtures("_whole")
def test_one_firewall_takes_everything(lab: RunningLab) -> None:
    until_up(lab, *both())
    with off(lab, "fw1"):
        until_up(lab, "fw2/inside", "fw2/outside")
        assert gateways(lab, "vm1", DEFAULT) == (INSIDE,), "the frontend stays the next hop"
        assert connections(lab, "internet", INTERNET, "vm1") == CONNECTIONS
        assert connections(lab, "vm1", VM1, "branch-host") == CONNECTIONS
    until_up(lab, *both())


def test_two_load_balancers_do_not_know_of_each_other_s_flows(labkit_lab: Boot) -> None:
    lab = labkit_lab("two-armed", variant="no-snat-inside")
    until_up(lab, *both())
    assert connections(lab, "vm2", VM2, "vm1") == CONNECTIONS, "one load balancer brings both directions to one backend"
    assert connections(lab, "vm1", VM1, "branch-host") in range(1, CONNECTIONS)
    assert problems(lab) == [], "ping is fine"


def test_probes_of_a_guest_with_one_table_fail_inside(labkit_lab: Boot) -> None:
    lab = labkit_lab("two-armed", variant="one-table")
    until_up(lab, "fw1/outside", "fw2/outside")
    assert not ping(lab.client, "vm1", INTERNET)
    assert traced(lab, "vm1", "internet").disposition is Disposition.NO_BACKEND
    assert problems(lab, SOON) == []
