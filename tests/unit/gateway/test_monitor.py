"""What FRR reports reaches the service once the kernel has routes for it; the test plays FRR and the kernel."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Network

import pytest

from labkit.azure.model import PathAttributes
from labkit.daemons.frr.daemon import FRR
from labkit.feed.service import Inbox
from labkit.gateway import kernel
from labkit.gateway.bmp import BmpStream
from labkit.gateway.kernel import KernelRoutes
from labkit.gateway.monitor import BmpEvent, Connected, Disconnected, Reported, listen, read
from labkit.netlink import HEADER

from . import bmp_bytes as made

PATH = PathAttributes(IPv4Address(made.CIRCUIT), (12076, 65020))
NEW, DELETED = 24, 25


def route(kind: int, prefix: str, metric: int = 20, table: int = 254) -> bytes:
    """A route message as the kernel sends it."""
    network = IPv4Network(prefix)
    body = struct.pack("=BBBBBBBBI", socket.AF_INET, network.prefixlen, 0, 0, min(table, 252), 186, 0, 1, 0)
    for attribute, value in (
        (15, struct.pack("=I", table)),
        (1, network.network_address.packed),
        (6, metric.to_bytes(4, "little")),
    ):
        if attribute != 1 or network.prefixlen:
            body += struct.pack("=HH", 8, attribute) + value
    return HEADER.pack(HEADER.size + len(body), kind, 0, 0, 0) + body


@pytest.fixture
def routes(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[KernelRoutes, socket.socket]]:
    """A kernel's routes, and the kernel's end of the socket."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    monkeypatch.setattr(KernelRoutes, "_subscribe", lambda _: ours)
    with ours, theirs:
        yield KernelRoutes(), theirs


def test_a_route_is_there_as_long_as_one_of_its_metrics_is(
    routes: tuple[KernelRoutes, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel, "PATIENCE", 0.0)
    known, _ = routes
    known.take(route(NEW, "10.2.0.0/16") + route(NEW, "10.2.0.0/16", 0) + route(NEW, "0.0.0.0/0"))
    assert known.wait_for({"10.2.0.0/16", "0.0.0.0/0"})
    known.take(route(DELETED, "10.2.0.0/16"))
    assert known.wait_for({"10.2.0.0/16"})
    known.take(route(DELETED, "10.2.0.0/16", 0) + route(NEW, "10.2.0.0/16", table=1000))
    assert not known.wait_for({"10.2.0.0/16"})


def test_the_kernels_own_routes_are_there_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the namespace in which the test runs: whatever they are, no error and no route that nobody has."""
    monkeypatch.setattr(kernel, "PATIENCE", 0.05)
    assert not KernelRoutes().wait_for({"192.0.2.77/32"})


def announced(prefix: str) -> bytes:
    return made.monitoring(made.CIRCUIT, made.update_body(announced=[prefix], attributes=made.attributes_bytes(PATH)))


def test_a_route_is_reported_once_the_kernel_has_it(routes: tuple[KernelRoutes, socket.socket]) -> None:
    """Or machines would be sent to a gateway that has no way yet."""
    known, kernel_side = routes
    inbox: Inbox[BmpEvent] = Inbox()
    frr, ours = socket.socketpair()
    reading = threading.Thread(target=read, args=(ours, BmpStream(FRR.bmp), known, inbox.put))
    reading.start()
    frr.sendall(made.peer_up(made.CIRCUIT) + made.own_route() + announced("10.2.0.0/16"))
    kernel_side.send(route(NEW, "10.1.0.0/16"))
    assert inbox.collect(0.05) == []
    kernel_side.send(route(NEW, "10.2.0.0/16"))
    (event,) = inbox.collect(10)
    assert isinstance(event, Reported)
    frr.close()
    reading.join(10)
    assert not reading.is_alive()


def test_a_route_that_frr_does_not_use_is_reported_after_a_while(
    routes: tuple[KernelRoutes, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel, "PATIENCE", 0.05)
    events: list[BmpEvent] = []
    frr, ours = socket.socketpair()
    frr.sendall(made.peer_up(made.CIRCUIT) + made.own_route() + announced("10.2.0.0/16"))
    frr.close()
    read(ours, BmpStream(FRR.bmp), routes[0], events.append)
    assert [type(event) for event in events] == [Reported]


def test_every_connection_begins_and_ends(routes: tuple[KernelRoutes, socket.socket]) -> None:
    inbox: Inbox[BmpEvent] = Inbox()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def listening() -> None:
            with suppress(OSError):  # the listener is closed at the end
                listen(listener, FRR.bmp, routes[0], inbox.put)

        threading.Thread(target=listening, daemon=True).start()
        for _ in range(2):
            with socket.create_connection(listener.getsockname()) as frr:
                frr.sendall(made.peer_up(made.CIRCUIT))
                assert isinstance(inbox.collect(10)[0], Connected)
            events: list[BmpEvent] = []
            while not any(isinstance(event, Disconnected) for event in events):
                more = inbox.collect(10)
                assert more
                events += more
