"""Appliances that peer with each other from NIC to NIC: what a relay passes on by internal and external BGP."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest

from labkit.lab.plan.bgp_sessions import bgp_sessions
from labkit.operate.look.live_state import LiveState
from labkit.operate.look.snapshot import customer_adj_ribs_out, read
from labkit.predict.converge import CustomerRouters
from labkit.pytest import Boot, RunningLab
from tests.e2e.by_the_rules import astray, expected, unlike
from tests.e2e.in_lab import effective, gateways, lab_file, off, problems, reaches, run, without_bgpd
from tests.e2e.waiting import SOON, eventually

HOSTS = {
    f"10.199.{n}.0/24": name for n, name in enumerate(("relay1", "node1", "node2", "node3", "plain", "edge", "far"))
}
SHARED = "10.199.100.0/24"
"""Two nodes advertise it: a relay advertises that of the lower identifier."""


@pytest.fixture(scope="module")
def lab(labkit_lab: Boot) -> RunningLab:
    return labkit_lab(lab_file("relay"))


def by_prefix(lab: RunningLab) -> dict[str, list[str]]:
    """Where vm's effective routes lead for everybody's prefix."""
    found = {prefix: effective(lab, "vm", IPv4Network(prefix)) for prefix in (*HOSTS, SHARED)}
    return {prefix: hop for prefix, rows in found.items() for _, _, _, hop in rows}


def wanted(lab: RunningLab, *without: str) -> dict[str, list[str]]:
    hosts = HOSTS | {SHARED: "node2" if "node1" in without else "node1"}
    return {prefix: [str(lab.lab.azure.nic[name].address)] for prefix, name in hosts.items() if name not in without}


def test_every_prefix_keeps_its_next_hop(lab: RunningLab) -> None:
    assert problems(lab, SOON) == []
    eventually(lambda: by_prefix(lab), lambda found: found == wanted(lab))
    eventually(lambda: unlike(lab.lab, lab.lab.azure, lab.client), lambda found: found == [])
    assert astray(lab.lab, lab.client) == []


def test_every_attribute_is_as_predicted(lab: RunningLab) -> None:
    """Next hops, ORIGINATOR_ID, CLUSTER_LIST, MED and local preference, on every session of two routers."""
    live = LiveState(lab.lab, lab.client)
    customers = CustomerRouters(lab.lab, live.azure)
    advertised = customer_adj_ribs_out(customers, live, read(live).adj_ribs_in)
    end = expected(lab.lab, live.azure, advertised)
    sessions = [session for session in customers.sessions if session.neighbour.name in customers.routers]
    assert len(sessions) == 30
    for session in sessions:
        there = live.bgp(session.router).adj_rib_in(session.neighbour.address)
        assert there == end.routers.adj_rib_in[session.router][session], session


def test_a_loopback_is_identifier_and_end_of_sessions(lab: RunningLab) -> None:
    """Its neighbours reach it by a route table's route to its NIC; what it sends has it as source and next hop."""
    one, two = IPv4Address("10.99.0.1"), IPv4Address("10.99.0.2")
    live = LiveState(lab.lab, lab.client)
    assert live.bgp("loop1").is_established(two)
    assert live.bgp("loop3").is_established(one)
    assert {path.next_hop for path in live.bgp("loop3").paths} == {one}
    assert {path.next_hop for path in live.bgp("loop1").paths if path.neighbour == two} == {two}
    reaches(lab.client, "loop3", one)
    reaches(lab.client, "loop2", one)


def test_a_link_that_flaps_leaves_the_routes_whose_next_hops_are_loopbacks(lab: RunningLab) -> None:
    """The session goes on, and bgpd has no reason to resolve its next hops again."""
    far = IPv4Network("10.199.12.0/24")
    before = gateways(lab, "loop1", far)
    assert before
    for _ in range(3):
        run(lab, "loop1", "sh", "-c", "ip link set eth0 down; ip link set eth0 up")
        eventually(lambda: gateways(lab, "loop1", far), lambda hops: hops == before)
    assert problems(lab, SOON) == []


def test_one_relay_is_enough_for_its_clients(lab: RunningLab) -> None:
    # No client of the other relay, edge is the neighbour of one, and has a longer path to one prefix.
    others = wanted(lab, "relay1", "plain", "far") | {"10.199.6.0/24": wanted(lab)["10.199.5.0/24"]}
    with without_bgpd(lab, "relay1"):
        eventually(lambda: by_prefix(lab), lambda found: found == others)
        reaches(lab.client, "vm", lab.lab.site["branch"].host.address.ip)
    eventually(lambda: by_prefix(lab), lambda found: found == wanted(lab))
    eventually(lambda: problems(lab), lambda found: found == [])


def test_a_silent_node_is_gone_after_the_hold_time_of_its_sessions(lab: RunningLab) -> None:
    holds = {str(session): session.hold for session in bgp_sessions(lab.lab)}
    assert (holds["relay1 - node1"], holds["relay1 - node2"]) == (3, 180)
    with off(lab, "node1"):
        eventually(lambda: by_prefix(lab), lambda found: found == wanted(lab, "node1"))
    eventually(lambda: by_prefix(lab), lambda found: found == wanted(lab))
    hop = (IPv4Address(wanted(lab)["10.199.1.0/24"][0]),)
    eventually(lambda: gateways(lab, "node2", IPv4Network("10.199.1.0/24")), lambda found: found == hop)


def test_bird_relays_and_is_relayed_as_well(labkit_lab: Boot) -> None:
    """A relay, a client, an external neighbour and an end of a loopback's session run BIRD, the others FRR."""
    mixed = labkit_lab(lab_file("relay"), variant="bird")
    assert problems(mixed, SOON) == []
    eventually(lambda: by_prefix(mixed), lambda found: found == wanted(mixed))
