"""The service between FRR and the controller; the test plays both."""

from __future__ import annotations

import socket
import threading
from collections.abc import Collection
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import pytest

from labkit.azure.model import Origin, PathAttributes
from labkit.daemons.frr.daemon import FRR
from labkit.daemons.protocol import Ranges
from labkit.daemons.tables import AdvertisedPath, BgpNeighbour
from labkit.feed.bgp import GatewayConfig
from labkit.feed.service import Settings
from labkit.gateway import kernel
from labkit.gateway.bmp import CLOSED_HERE
from labkit.gateway.service import Service
from tests.e2e.waiting import eventually
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
    vpn=False,
    subnet_gateway=IPv4Address("10.1.255.1"),
    originated=(IPv4Network("10.1.0.0/16"),),
    adjacent=(IPv4Network("10.1.0.0/16"),),
)


class Controller:
    """The controller's end of a feed: what it received."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []

    def send(self, message: object) -> bool:
        self.told.append(written(message))
        return True

    @property
    def kinds(self) -> list[str]:
        return [message["type"] for message in self.told]


class Frr:
    """FRR's end of its connection to the service, and what it was asked to do."""

    def __init__(self, service: Service) -> None:
        self._here, there = socket.socketpair()
        self._hearing = threading.Thread(target=service._follow_daemon, args=(there,))
        self._hearing.start()

    def say(self, *messages: bytes) -> None:
        self._here.sendall(b"".join(messages))

    def is_left(self) -> bool:
        """Wait until the service has closed the connection."""
        self._here.settimeout(10)
        left = self._here.recv(1) == b""
        self._hearing.join(10)
        return left

    def die(self) -> None:
        """Close the connection, and wait until all was read."""
        self._here.close()
        self._hearing.join(10)


class Gateway:
    """A gateway's daemon that only remembers how its sessions with the route server were switched."""

    def __init__(self) -> None:
        self.switched: list[bool] = []
        self.has_paths = iter([False])
        self.asked: list[frozenset[str]] = []

    def set_sessions(self, asn: int, route_servers: Collection[str], *, on: bool) -> None:
        assert (asn, *route_servers) == (65515, made.SERVER)
        self.switched.append(on)

    def set_ranges(self, asn: int, subnet_gateway: str, ranges: Ranges, *, vpn: bool) -> None:
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


@pytest.fixture(autouse=True)
def switched(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """How the sessions with the route server were switched."""
    monkeypatch.setattr(kernel, "prefixes", lambda: {"10.2.0.0/16"})
    return gateway.switched


@pytest.fixture
def it(tmp_path: Path, gateway: Gateway) -> Service:
    return Service(Settings("gateway", "ergw-0", ready=tmp_path), gateway, FRR.bmp, 11019)


def test_nothing_is_reported_before_all_is_known(it: Service, switched: list[bool]) -> None:
    """A service that was killed comes back to a controller that knows more than it does."""
    controller = Controller()
    it._configure(controller, CONFIG)  # type: ignore[arg-type]
    assert controller.told == []
    assert switched == []
    bgpd = Frr(it)
    bgpd.say(made.peer_up(made.CIRCUIT), made.own_route(), ROUTE, made.end_of_routes(made.CIRCUIT))
    bgpd.die()
    assert switched == [True]
    assert controller.kinds == ["snapshot", "delta"]
    (routes,) = controller.told[0]["routes"]
    assert routes["prefixes"] == ["10.2.0.0/16"]
    assert controller.told[1]["sessions"][made.CIRCUIT]["reason"] == "the BGP daemon is gone"


def test_without_frr_it_reports_that_after_a_while(it: Service) -> None:
    controller = Controller()
    it._configure(controller, CONFIG)  # type: ignore[arg-type]
    it._stop_waiting()
    assert controller.kinds == ["snapshot"]


def test_every_feed_begins_with_a_snapshot_and_frr_is_switched_once(it: Service, switched: list[bool]) -> None:
    first, second = Controller(), Controller()
    bgpd = Frr(it)
    bgpd.say(made.peer_up(made.CIRCUIT), made.own_route(), made.end_of_routes(made.CIRCUIT))
    bgpd.die()
    it._state.connected = True
    for controller in (first, first, second):
        it._configure(controller, CONFIG)  # type: ignore[arg-type]
    it._configure(second, replace(CONFIG, sessions=False))  # type: ignore[arg-type]
    assert first.kinds == second.kinds == ["snapshot"]
    assert switched == [True, False]


def test_once_a_peer_with_routes_is_down_frr_reports_everything_again(it: Service, gateway: Gateway) -> None:
    """Until it has cleared them, it queues what it will not report; what comes next would wait behind that."""
    gateway.has_paths = iter([True, True, False])
    controller = Controller()
    it._configure(controller, CONFIG)  # type: ignore[arg-type]
    path = PathAttributes(IPv4Address(made.SERVER), (65001,))
    exported = made.monitoring(
        made.SERVER, made.update_body(announced=["10.3.0.0/16"], attributes=made.attributes_bytes(path))
    )
    ups = (made.peer_up(made.CIRCUIT), made.peer_up(made.SERVER), made.own_route())
    bgpd = Frr(it)
    bgpd.say(*ups, ROUTE, exported, made.end_of_routes(made.CIRCUIT), made.end_of_routes(made.SERVER))
    eventually(lambda: controller.kinds, lambda kinds: kinds == ["snapshot"])
    bgpd.say(made.peer_down(made.SERVER, 2))
    assert bgpd.is_left()
    assert gateway.asked == [frozenset({made.SERVER})] * 3
    assert controller.kinds == ["snapshot", "delta"]
    assert controller.told[1]["sessions"].keys() == {made.SERVER}

    again = Frr(it)
    other = made.update_body(announced=["10.4.0.0/16"], attributes=made.attributes_bytes(PATH))
    again.say(made.peer_up(made.CIRCUIT), made.peer_down(made.SERVER, 2), made.own_route(), ROUTE)
    again.say(made.monitoring(made.CIRCUIT, other), made.end_of_routes(made.CIRCUIT))
    again.die()
    news, end = controller.told[2:]
    assert news["sessions"] == {}, "nothing is said anew of sessions that are as they were"
    assert [group["prefixes"] for group in news["announced"]] == [["10.4.0.0/16"]]
    assert news["withdrawn"] == []
    assert end["sessions"][made.CIRCUIT]["reason"] == "the BGP daemon is gone"


def test_a_route_is_reported_once_the_kernel_has_it(it: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or machines would be sent to a gateway that has no way yet."""
    controller = Controller()
    it._configure(controller, CONFIG)  # type: ignore[arg-type]
    kernels = [{"10.1.0.0/16"}, {"10.1.0.0/16"}, {"10.1.0.0/16", "10.2.0.0/16"}]
    told: list[list[str]] = []

    def prefixes() -> set[str]:
        told.append(controller.kinds)
        return kernels[min(len(told), len(kernels)) - 1]

    monkeypatch.setattr(kernel, "prefixes", prefixes)
    bgpd = Frr(it)
    bgpd.say(made.peer_up(made.CIRCUIT), made.own_route(), ROUTE, made.end_of_routes(made.CIRCUIT))
    bgpd.die()
    assert told == [[], [], []]
    assert controller.kinds == ["snapshot", "delta"]


def test_a_route_that_frr_does_not_use_is_reported_after_a_while(it: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "PATIENCE", 0.05)
    monkeypatch.setattr(kernel, "prefixes", set)
    controller = Controller()
    it._configure(controller, CONFIG)  # type: ignore[arg-type]
    bgpd = Frr(it)
    bgpd.say(made.peer_up(made.CIRCUIT), made.own_route(), ROUTE, made.end_of_routes(made.CIRCUIT))
    bgpd.die()
    assert controller.kinds == ["snapshot", "delta"]


@pytest.mark.parametrize(
    ("peer", "sessions", "reason"),
    [
        (made.SERVER, False, "branch-to-branch is off"),
        (made.SERVER, True, "hold timer expired"),
        (made.CIRCUIT, False, "hold timer expired"),
        (STRANGER, True, CLOSED_HERE),
    ],
)
def test_why_frr_closed_a_session(it: Service, peer: str, sessions: bool, reason: str) -> None:
    controller = Controller()
    it._configure(controller, replace(CONFIG, sessions=sessions))  # type: ignore[arg-type]
    bgpd = Frr(it)
    bgpd.say(made.peer_down(peer, 2, b"\0\0"), made.own_route())
    bgpd.die()
    assert controller.told[0]["sessions"][peer]["reason"] == reason


def test_what_the_controller_asks_for(it: Service) -> None:
    (neighbour,) = it._neighbours()
    assert (neighbour.address, neighbour.state) == (IPv4Address(made.CIRCUIT), "Established")
    (path,) = it._advertised(made.CIRCUIT)
    assert (path.prefix, path.as_path) == (IPv4Network("10.1.0.0/16"), (65001, frozenset({1, 2})))
    assert it._advertised(STRANGER) == ()
