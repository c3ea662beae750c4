"""What is changed in a gateway's FRR while it runs, and why it ends sessions."""

from __future__ import annotations

import pytest

from labkit.daemons.frr.gateway import (
    known_routes,
    network_lines,
    range_lines,
    route_lines,
    session_changes,
    session_lines,
    static_lines,
    why_reset,
)
from labkit.daemons.protocol import GatewayRanges


@pytest.mark.parametrize(
    ("neighbour", "text"),
    [
        ({"lastErrorCodeSubcode": "0400", "lastResetDueTo": "BGP Notification send"}, "hold timer expired"),
        (
            {"lastErrorCodeSubcode": "0602", "lastResetDueTo": "BGP Notification received"},
            "administrative shutdown (received from the peer)",
        ),
        ({"lastResetDueTo": "Admin. shutdown"}, "administrative shutdown"),
        ({"lastResetDueTo": "User reset"}, "administrative reset"),
        ({"lastResetDueTo": "Peer closed the session"}, "peer closed the session"),
        ({}, ""),
    ],
)
def test_why_frr_reset_a_session(neighbour: dict[str, str], text: str) -> None:
    assert why_reset(neighbour) == text


BGPD = """
ip prefix-list default seq 5 permit 0.0.0.0/0
ip prefix-list inside seq 5 permit 10.1.0.0/16 le 32
ip prefix-list originated seq 5 permit 10.1.0.0/16
router bgp 65515
 address-family ipv4 unicast
  network 10.1.0.0/16
  network 10.200.0.0/24
"""
STATICD = """
ip route 10.1.0.0/16 10.1.255.1
ip route 10.2.0.0/16 10.1.255.1
ip route 10.200.0.0/24 10.200.0.1
ip route 100.65.0.1/32 10.1.255.1
"""
FAMILY, END = ["router bgp 65515", "address-family ipv4 unicast"], ["exit-address-family", "exit"]
ANEW = "do clear bgp ipv4 unicast * soft"


def lines(*originated: str, vpn: bool = False, of: str = BGPD) -> list[str]:
    return list(range_lines(of, 65515, GatewayRanges(originated, ()), vpn=vpn))


def routes(*adjacent: str) -> list[str]:
    return list(route_lines(STATICD, "10.1.255.1", GatewayRanges((), adjacent)))


def test_with_its_sessions_a_gateway_filters_what_circuits_bring() -> None:
    """And what they have advertised already, too [circuit-relay-filter]."""
    soft = "do clear bgp ipv4 unicast external soft in"
    assert session_lines(65515, ["10.1.0.4", "10.1.0.5"], on=True) == (
        "route-map from-circuit deny 10",
        "exit",
        "router bgp 65515",
        "no neighbor 10.1.0.4 shutdown",
        "no neighbor 10.1.0.5 shutdown",
        soft,
    )
    assert session_lines(65515, ["10.1.0.4"], on=False) == (
        "route-map from-circuit permit 10",
        "exit",
        "router bgp 65515",
        "neighbor 10.1.0.4 shutdown",
        soft,
    )


def test_nothing_is_configured_that_is_there() -> None:
    assert lines("10.1.0.0/16", vpn=True) == []
    assert routes("10.1.0.0/16", "10.2.0.0/16") == []


def test_a_new_range_is_on_the_lists_before_it_is_originated() -> None:
    assert lines("10.1.0.0/16", "10.2.0.0/16", vpn=True) == [
        "ip prefix-list originated permit 10.2.0.0/16",
        "ip prefix-list inside permit 10.2.0.0/16 le 32",
        *FAMILY,
        "network 10.2.0.0/16",
        *END,
        ANEW,
    ]


def test_what_goes_is_on_the_lists_as_long_as_it_is_originated() -> None:
    gone = "no ip prefix-list originated permit 10.1.0.0/16"
    assert lines() == [*FAMILY, "no network 10.1.0.0/16", *END, gone, ANEW]


def test_what_was_half_done_is_finished() -> None:
    listed = BGPD.replace("  network 10.1.0.0/16\n", "")
    assert lines("10.1.0.0/16", of=listed) == [*FAMILY, "network 10.1.0.0/16", *END]
    assert lines(of=listed) == ["no ip prefix-list originated permit 10.1.0.0/16", ANEW]


def test_what_is_adjacent_is_left_to_the_virtual_network() -> None:
    assert routes("10.1.0.0/16", "10.3.0.0/16") == [
        "ip route 10.3.0.0/16 10.1.255.1",
        "no ip route 10.2.0.0/16 10.1.255.1",
    ]


def test_sessions_of_connections() -> None:
    """Only those that are otherwise."""
    there = {"neighbor 10.9.0.1 shutdown", "neighbor 10.9.0.2 remote-as 65010"}
    wanted = {"10.9.0.1": True, "10.9.0.2": False, "10.9.0.3": True}
    assert list(session_changes(there, wanted)) == ["no neighbor 10.9.0.1 shutdown", "neighbor 10.9.0.2 shutdown"]


def test_static_routes_into_tunnels() -> None:
    """A prefix that another tunnel has now is originated on."""
    built = [("10.7.0.0/16", "10.9.0.1"), ("10.7.0.0/16", "10.9.0.2"), ("10.8.0.0/16", "10.9.0.1")]
    routes = [("10.7.0.0/16", "10.9.0.2")]
    there = {"ip route 10.7.0.0/16 10.9.0.1", "ip route 10.8.0.0/16 10.9.0.1", "ip route 10.1.0.0/16 10.1.0.1"}
    assert list(static_lines(there, built, routes)) == [
        "no ip route 10.7.0.0/16 10.9.0.1",
        "ip route 10.7.0.0/16 10.9.0.2",
        "no ip route 10.8.0.0/16 10.9.0.1",
    ]
    networks = {"network 10.7.0.0/16", "network 10.8.0.0/16", "network 10.1.0.0/16"}
    assert list(network_lines(networks, 65515, built, routes)) == [
        "router bgp 65515",
        "address-family ipv4 unicast",
        "no network 10.8.0.0/16",
    ]
    assert list(network_lines({"network 10.7.0.0/16"}, 65515, built, routes)) == []


def test_static_routes_that_the_node_was_not_built_with() -> None:
    """The address space of a network behind a tunnel has changed before, and does again."""
    built, routes = [("10.7.0.0/16", "10.9.0.1")], [("10.6.0.0/16", "10.9.0.1")]
    there = {"ip route 10.5.0.0/16 10.9.0.1", "ip route 10.1.0.0/16 10.1.0.1", "ip prefix-list a permit any"}
    known = known_routes(there, built, routes)
    assert known == (("10.7.0.0/16", "10.9.0.1"), ("10.5.0.0/16", "10.9.0.1"), ("10.6.0.0/16", "10.9.0.1"))
    assert list(static_lines(there, known, routes)) == [
        "no ip route 10.5.0.0/16 10.9.0.1",
        "ip route 10.6.0.0/16 10.9.0.1",
    ]
