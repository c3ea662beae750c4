"""What a gateway's FRR has, in Azure's words."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest

from labkit.azure.model import Gateway, Origin, PeerKind
from labkit.controller.gateway_views import advertised_rows, peer_row, time_span
from labkit.daemons.tables import AdvertisedPath, BgpNeighbour

GATEWAY = Gateway("ergw", "hub", PeerKind.EXPRESSROUTE_GATEWAY, (IPv4Address("10.1.255.4"), IPv4Address("10.1.255.5")))
PATHS = [
    AdvertisedPath(
        IPv4Network("10.250.0.0/16"),
        (65001, frozenset({65010, 65011})),
        IPv4Address("10.1.1.4"),
        Origin.INCOMPLETE,
    ),
    AdvertisedPath(IPv4Network("10.1.0.0/16"), (), None, Origin.IGP),
]


def test_an_external_neighbour_gets_the_gateways_asn_and_address() -> None:
    rows = advertised_rows(GATEWAY, 1, 12076, PATHS)
    assert [(r["network"], r["asPath"], r["nextHop"], r["origin"]) for r in rows] == [
        ("10.1.0.0/16", "65515", "10.1.255.5", "Igp"),
        ("10.250.0.0/16", "65515-65001-{65010,65011}", "10.1.255.5", "Incomplete"),
    ]
    assert {(r["localAddress"], r["sourcePeer"], r["weight"]) for r in rows} == {("10.1.255.5", None, 0)}


def test_an_internal_neighbour_gets_them_as_they_are() -> None:
    rows = advertised_rows(GATEWAY, 0, 65515, PATHS)
    assert [(r["network"], r["asPath"], r["nextHop"]) for r in rows] == [
        ("10.1.0.0/16", "", "10.1.255.4"),
        ("10.250.0.0/16", "65001-{65010,65011}", "10.1.1.4"),
    ]


@pytest.mark.parametrize(
    ("shown", "state", "duration"),
    [
        ("Established", "Connected", "00:01:40"),
        ("Idle", "Idle", None),
        ("Idle (PfxCt)", "Idle", None),
        ("Connect", "Connecting", None),
        ("Active", "Connecting", None),
        ("OpenSent", "Connecting", None),
    ],
)
def test_states(shown: str, state: str, duration: str | None) -> None:
    neighbour = BgpNeighbour(IPv4Address("100.65.0.1"), 12076, shown, 100.0, received=4, sent=5, routes=1)
    assert peer_row(IPv4Address("10.1.255.4"), neighbour) == {
        "asn": 12076,
        "connectedDuration": duration,
        "localAddress": "10.1.255.4",
        "messagesReceived": 4,
        "messagesSent": 5,
        "neighbor": "100.65.0.1",
        "routesReceived": 1,
        "state": state,
    }


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "00:00:00"), (59, "00:00:59"), (3600, "01:00:00"), (86399, "23:59:59"), (86400, "1.00:00:00"),
        (9 * 86400 + 3893.5, "9.01:04:53.5000000"), (0.25, "00:00:00.2500000"),
    ],
)  # fmt: skip
def test_time_spans_are_dotnets(seconds: float, text: str) -> None:
    assert time_span(seconds) == text
