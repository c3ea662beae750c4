"""The service between FRR and the controller; the test plays both."""

from __future__ import annotations

import socket
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from itertools import repeat
from pathlib import Path
from typing import Any, cast

import pytest

from labkit.azure.model import Origin, PathAttributes
from labkit.daemons.frr.daemon import FRR
from labkit.daemons.protocol import GatewayRanges
from labkit.daemons.tables import AdvertisedPath, BgpNeighbour
from labkit.feed.bgp import AdjRibOutQuery, FromGateway, GatewayConfig, NeighboursQuery, ToGateway
from labkit.feed.client import Feed, Lost, Received
from labkit.feed.service import Settings
from labkit.gateway.bmp import CLOSED_HERE, BmpStream
from labkit.gateway.monitor import Connected, Disconnected, Reported
from labkit.gateway.service import PATIENCE, GatewayService
from tests.unit.feed.wire import written

from . import bmp_bytes as made

STRANGER = "192.0.2.9"
PATH = PathAttributes(IPv4Address(made.CIRCUIT), (12076, 65020))
ROUTE = made.monitoring(
    made.CIRCUIT, made.update_body(announced=["10.2.0.0/16"], attributes=made.attributes_bytes(PATH))
)
CONFIG = GatewayConfig(
    asn=65515,
    route_servers=(IPv4Address(made.SERVER),),
    sessions=True,
    no_sessions="branch-to-branch is off",
    gateways=(IPv4Address("10.1.255.9"),),
    with_gateways=False,
    vpn=False,
    subnet_gateway=IPv4Address("10.1.255.1"),
    originated=(IPv4Network("10.1.0.0/16"),),
    adjacent=(IPv4Network("10.1.0.0/16"),),
)


class Controller:
    """The controller's end of a feed: what it received."""

    def __init__(self) -> None:
        self.received: list[dict[str, Any]] = []

    def send(self, message: object) -> bool:
        self.received.append(written(message))
        return True

    @property
    def kinds(self) -> list[str]:
        return [message["type"] for message in self.received]

    def sends(self, service: GatewayService, message: ToGateway) -> None:
        service.handle(Received(cast("Feed[ToGateway, FromGateway]", self), 7, message))


class Frr:
    """FRR's end of its connection to the service."""

    def __init__(self, service: GatewayService) -> None:
        self._service = service
        self._stream = BmpStream(FRR.bmp)
        self._here, there = socket.socketpair()
        service.handle(Connected(there))

    def reports(self, *messages: bytes) -> None:
        self._service.handle(Reported(tuple(self._stream.feed(b"".join(messages), time.time()))))

    def is_left(self) -> bool:
        """Whether the service has closed the connection."""
        self._here.setblocking(False)
        try:
            return self._here.recv(1) == b""
        except BlockingIOError:
            return False

    def ends(self) -> None:
        """Close the connection."""
        self._here.close()
        self._service.handle(Disconnected())


class Gateway:
    """A gateway's daemon that only remembers how its sessions were switched, and what it was asked."""

    def __init__(self) -> None:
        self.switched: list[bool] = []
        self.connected: list[bool] = []
        self.routes: list[tuple[int, tuple[tuple[str, str], ...], tuple[tuple[str, str], ...]]] = []
        self.has_paths: Iterator[bool] = iter([False])
        self.asked: list[frozenset[str]] = []

    def set_sessions(self, asn: int, route_servers: Collection[str], *, on: bool) -> None:
        assert (asn, *route_servers) == (65515, made.SERVER)
        self.switched.append(on)

    def set_neighbours(self, asn: int, neighbours: Collection[str], *, on: bool) -> None:
        assert (asn, *neighbours, on) == (65515, "10.1.255.9", False)

    def set_connections(self, asn: int, sessions: Mapping[str, bool], *, vpn: bool) -> None:
        assert (asn, *sessions, vpn) == (65515, made.CIRCUIT, False)
        self.connected += sessions.values()

    def set_static_routes(
        self, asn: int, built: Collection[tuple[str, str]], routes: Collection[tuple[str, str]]
    ) -> None:
        self.routes.append((asn, tuple(built), tuple(routes)))

    def set_ranges(self, asn: int, subnet_gateway: str, ranges: GatewayRanges, *, vpn: bool) -> None:
        assert (asn, subnet_gateway, ranges.originated, vpn) == (65515, "10.1.255.1", ("10.1.0.0/16",), False)

    def advertised(self, peer: str) -> tuple[AdvertisedPath, ...]:
        path = AdvertisedPath(IPv4Network("10.1.0.0/16"), (65001, frozenset({2, 1})), None, Origin.IGP)
        return (path,) if peer == made.CIRCUIT else ()

    def peers(self) -> tuple[BgpNeighbour, ...]:
        return (BgpNeighbour(IPv4Address(made.CIRCUIT), 12076, "Established", 15.0, 4, 5, 1),)

    def has_paths_of(self, peers: Collection[str]) -> bool:
        self.asked.append(frozenset(peers))
        return next(self.has_paths)

    def why_closed(self, peer: str) -> str:
        return "" if peer == STRANGER else "hold timer expired"


@pytest.fixture
def gateway() -> Gateway:
    return Gateway()


@pytest.fixture
def it(tmp_path: Path, gateway: Gateway) -> GatewayService:
    return GatewayService(Settings("gateway", "ergw-0", ready=tmp_path), gateway, FRR.bmp, 11019)


def later(service: GatewayService, seconds: float) -> None:
    """So many seconds pass."""
    service.do_due(time.monotonic() + seconds)


def test_nothing_is_reported_before_all_is_known(it: GatewayService, gateway: Gateway) -> None:
    """A service that was killed comes back to a controller that knows more than it does."""
    controller = Controller()
    controller.sends(it, CONFIG)
    assert controller.received == []
    assert gateway.switched == []
    bgpd = Frr(it)
    bgpd.reports(made.peer_up(made.CIRCUIT), made.own_route(), ROUTE)
    assert controller.received == []
    bgpd.reports(made.end_of_routes(made.CIRCUIT))
    bgpd.ends()
    assert gateway.switched == [True]
    assert controller.kinds == ["snapshot", "delta"]
    (routes,) = controller.received[0]["routes"]
    assert routes["prefixes"] == ["10.2.0.0/16"]
    assert controller.received[1]["sessions"][made.CIRCUIT]["reason"] == "the BGP daemon is gone"


def test_without_frr_it_reports_that_after_a_while(it: GatewayService) -> None:
    controller = Controller()
    controller.sends(it, CONFIG)
    later(it, PATIENCE - 1)
    assert controller.kinds == []
    later(it, PATIENCE)
    assert controller.kinds == ["snapshot"]


def test_every_feed_begins_with_a_snapshot_and_frr_is_switched_once(it: GatewayService, gateway: Gateway) -> None:
    first, second = Controller(), Controller()
    bgpd = Frr(it)
    bgpd.reports(made.peer_up(made.CIRCUIT), made.own_route(), made.end_of_routes(made.CIRCUIT))
    for controller in (first, first, second):
        controller.sends(it, CONFIG)
    second.sends(it, replace(CONFIG, sessions=False))
    assert first.kinds == second.kinds == ["snapshot"]
    assert gateway.switched == [True, False]


def test_a_lost_feed_gets_no_reports(it: GatewayService) -> None:
    controller = Controller()
    bgpd = Frr(it)
    bgpd.reports(made.peer_up(made.CIRCUIT), made.own_route(), made.end_of_routes(made.CIRCUIT))
    controller.sends(it, CONFIG)
    it.handle(Lost(cast("Feed[ToGateway, FromGateway]", controller)))
    bgpd.reports(made.peer_down(made.CIRCUIT, 2))
    assert controller.kinds == ["snapshot"]


def with_two_peers(it: GatewayService) -> tuple[Controller, Frr]:
    """A service with a circuit and a route server, whose session has just ended."""
    controller = Controller()
    controller.sends(it, CONFIG)
    path = PathAttributes(IPv4Address(made.SERVER), (65001,))
    exported = made.monitoring(
        made.SERVER, made.update_body(announced=["10.3.0.0/16"], attributes=made.attributes_bytes(path))
    )
    ups = (made.peer_up(made.CIRCUIT), made.peer_up(made.SERVER), made.own_route())
    bgpd = Frr(it)
    bgpd.reports(*ups, ROUTE, exported, made.end_of_routes(made.CIRCUIT), made.end_of_routes(made.SERVER))
    assert controller.kinds == ["snapshot"]
    bgpd.reports(made.peer_down(made.SERVER, 2))
    assert controller.kinds == ["snapshot", "delta"]
    assert controller.received[1]["sessions"].keys() == {made.SERVER}
    return controller, bgpd


def test_once_a_lost_peers_routes_are_cleared_frr_reports_all_again(it: GatewayService, gateway: Gateway) -> None:
    """Until it has cleared them, it queues what it will not report; what comes next would wait behind that."""
    gateway.has_paths = iter([True, True, False])
    controller, bgpd = with_two_peers(it)
    for _ in range(2):
        later(it, 1)
        assert not bgpd.is_left()
    later(it, 1)
    assert bgpd.is_left()
    assert gateway.asked == [frozenset({made.SERVER})] * 3
    bgpd.ends()
    assert controller.kinds == ["snapshot", "delta"], "its sessions have not ended"

    again = Frr(it)
    other = made.update_body(announced=["10.4.0.0/16"], attributes=made.attributes_bytes(PATH))
    again.reports(made.peer_up(made.CIRCUIT), made.peer_down(made.SERVER, 2), made.own_route(), ROUTE)
    again.reports(made.monitoring(made.CIRCUIT, other), made.end_of_routes(made.CIRCUIT))
    again.ends()
    news, end = controller.received[2:]
    assert news["sessions"] == {}, "sessions that are as they were are not reported again"
    assert [group["prefixes"] for group in news["announced"]] == [["10.4.0.0/16"]]
    assert news["withdrawn"] == []
    assert end["sessions"][made.CIRCUIT]["reason"] == "the BGP daemon is gone"


def test_frr_that_does_not_come_back_is_gone(it: GatewayService) -> None:
    controller, bgpd = with_two_peers(it)
    later(it, 0)
    bgpd.ends()
    later(it, PATIENCE - 1)
    assert controller.kinds == ["snapshot", "delta"]
    later(it, PATIENCE)
    assert controller.received[-1]["sessions"][made.CIRCUIT]["reason"] == "the BGP daemon is gone"


def test_routes_that_frr_never_clears_are_waited_for_a_while(it: GatewayService, gateway: Gateway) -> None:
    gateway.has_paths = repeat(True)
    _, bgpd = with_two_peers(it)
    later(it, 1)
    assert not bgpd.is_left()
    it._clears_by = 0.0
    later(it, 1)
    assert bgpd.is_left()


@pytest.mark.parametrize(
    ("peer", "sessions", "reason"),
    [
        (made.SERVER, False, "branch-to-branch is off"),
        (made.SERVER, True, "hold timer expired"),
        (made.CIRCUIT, False, "hold timer expired"),
        (STRANGER, True, CLOSED_HERE),
    ],
)
def test_why_frr_closed_a_session(it: GatewayService, peer: str, sessions: bool, reason: str) -> None:
    controller = Controller()
    controller.sends(it, replace(CONFIG, sessions=sessions))
    Frr(it).reports(made.peer_down(peer, 2, b"\0\0"), made.own_route())
    assert controller.received[0]["sessions"][peer]["reason"] == reason


def test_what_the_controller_asks_for(it: GatewayService) -> None:
    controller = Controller()
    for query in (NeighboursQuery(), AdjRibOutQuery(made.CIRCUIT), AdjRibOutQuery(STRANGER)):
        controller.sends(it, query)
    neighbours, paths, nothing = controller.received
    assert {message["query"] for message in controller.received} == {7}
    assert [(each["address"], each["state"]) for each in neighbours["neighbours"]] == [(made.CIRCUIT, "Established")]
    assert [(each["prefix"], each["as_path"]) for each in paths["paths"]] == [("10.1.0.0/16", [65001, [1, 2]])]
    assert nothing["paths"] == []
