"""What FRR's own JSON says, as FRR 10.3 printed it in a lab."""

from __future__ import annotations

import json

import pytest

from labkit.gateway.bmp import CLOSED_HERE
from labkit.gateway.frr import (
    Ranges,
    advertised_paths,
    holds_paths_of,
    range_lines,
    route_lines,
    session_lines,
    summary,
    why_reset,
)

ADVERTISED = """
{"bgpTableVersion":3,"bgpLocalRouterId":"10.1.255.4","defaultLocPrf":100,"localAS":65515,"advertisedRoutes": {
"10.1.0.0/16":{"prefix":"10.1.0.0/16","version":1,"advertisedTo":{"100.65.0.1":{"hostname":"circuit1"}},"paths":[
 {"aspath":{"string":"Local","segments":[],"length":0},"origin":"IGP","metric":0,"weight":32768,"valid":true,
  "sourced":true,"local":true,"bestpath":{"overall":true,"selectionReason":"First path received"},
  "nexthops":[{"ip":"0.0.0.0","hostname":"ergw-0","afi":"ipv4","metric":0,"accessible":true,"used":true}],
  "peer":{"peerId":"0.0.0.0","routerId":"10.1.255.4"}}]},
"10.250.0.0/16":{"prefix":"10.250.0.0/16","version":3,"paths":[
 {"aspath":{"string":"65001 65011","segments":[{"type":"as-sequence","list":[65001,65011]}],"length":2},
  "origin":"IGP","nexthops":[{"ip":"0.0.0.0","afi":"ipv4"}],"peer":{"peerId":"10.1.0.5"}},
 {"aspath":{"string":"65001 {65010,65012}","segments":[{"type":"as-sequence","list":[65001]},
   {"type":"as-set","list":[65010,65012]}],"length":2},
  "origin":"incomplete","bestpath":{"overall":true},"nexthops":[{"ip":"10.1.1.4","afi":"ipv4"}],
  "peer":{"peerId":"10.1.0.4"}}]}},
"totalPrefixCounter":2,"filteredPrefixCounter":0}
"""


def test_advertised_paths() -> None:
    assert list(advertised_paths(json.loads(ADVERTISED))) == [
        {"network": "10.1.0.0/16", "as_path": [], "next_hop": None, "origin": "igp"},
        {
            "network": "10.250.0.0/16",
            "as_path": [65001, [65010, 65012]],
            "next_hop": "10.1.1.4",
            "origin": "incomplete",
        },
    ]


def test_no_such_neighbour() -> None:
    assert list(advertised_paths({"bgpNoSuchNeighbor": True})) == []


def test_summary() -> None:
    peer = {
        "remoteAs": 12076, "localAs": 65515, "msgRcvd": 4, "msgSent": 5, "peerUptimeMsec": 15000, "pfxRcd": 1,
        "state": "Established", "desc": "circuit1",
    }  # fmt: skip
    assert list(summary({"peers": {"100.65.0.1": peer}})) == [
        {
            "neighbour": "100.65.0.1",
            "asn": 12076,
            "state": "Established",
            "seconds": 15.0,
            "received": 4,
            "sent": 5,
            "routes": 1,
        }
    ]
    assert list(summary({})) == []


@pytest.mark.parametrize(
    ("said", "text"),
    [
        ({"lastErrorCodeSubcode": "0400", "lastResetDueTo": "BGP Notification send"}, "hold timer expired"),
        (
            {"lastErrorCodeSubcode": "0602", "lastResetDueTo": "BGP Notification received"},
            "administrative shutdown (the peer's decision)",
        ),
        ({"lastResetDueTo": "Admin. shutdown"}, "administrative shutdown"),
        ({"lastResetDueTo": "User reset"}, "administrative reset"),
        ({"lastResetDueTo": "Peer closed the session"}, "peer closed the session"),
        ({}, CLOSED_HERE),
    ],
)
def test_why_frr_reset_a_session(said: dict[str, str], text: str) -> None:
    assert why_reset(said) == text


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
    return list(range_lines(of, 65515, Ranges(originated, ()), vpn=vpn))


def routes(*adjacent: str) -> list[str]:
    return list(route_lines(STATICD, "10.1.255.1", Ranges((), adjacent)))


def test_with_its_sessions_a_gateway_filters_what_circuits_bring() -> None:
    """Reference §5, WIKI: and what they have said already, too."""
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


def test_nothing_is_said_of_what_is_there() -> None:
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


def test_whether_a_peer_has_paths() -> None:
    said = {"routes": {"10.2.0.0/16": [{"peerId": "10.1.0.4"}, {"peerId": "100.65.0.1"}], "10.3.0.0/16": [{}]}}
    assert holds_paths_of(said, {"10.1.0.4"})
    assert not holds_paths_of(said, {"10.1.0.5"})
    assert not holds_paths_of({}, {"10.1.0.4"})
