"""Appliances without BGP: a router and stateful firewalls, as next hops of route tables and behind a load balancer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address

import pytest

from labkit.operate.look.probes import ping
from labkit.pytest import Boot, RunningLab
from tests.e2e.in_lab import dialogue, kernel, lab_file, problems, python, reaches, run
from tests.e2e.waiting import SOON, eventually
from tests.unit.azure.builders import net

INTERNET = IPv4Address("198.51.100.10")

ECHO = """
    import socket, threading
    def over_tcp(listener):
        while True:
            one, _ = listener.accept()
            one.sendall(one.recv(100))
            one.close()
    listener = socket.create_server(("", 7000))
    threading.Thread(target=over_tcp, args=(listener,), daemon=True).start()
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(("", 7000))
    print("ready")
    while True:
        data, sender = udp.recvfrom(100)
        udp.sendto(data, sender)
"""

# Whether TCP and UDP are answered, in that order.
CLIENT = """
    import socket, sys
    def answered(kind):
        with socket.socket(socket.AF_INET, kind) as one:
            one.settimeout(2)
            try:
                one.connect((sys.argv[1], 7000))
                one.send(b"hello")
                return one.recv(100) == b"hello"
            except OSError:
                return False
    print(*map(answered, (socket.SOCK_STREAM, socket.SOCK_DGRAM)))
"""

LISTENER = """
    import socket, sys
    listener = socket.create_server(("", 8080))
    print("ready")
    while True:
        listener.accept()[0].close()
"""


@pytest.fixture(scope="module")
def lab(labkit_lab: Boot) -> RunningLab:
    return labkit_lab(lab_file("without-bgp"))


def address(lab: RunningLab, machine: str) -> IPv4Address:
    return lab.lab.azure.primary_nic(machine).address


@contextmanager
def listening(lab: RunningLab, node: str) -> Iterator[None]:
    with dialogue(lab, node, LISTENER) as server:
        assert server.line() == "ready"
        yield


def test_they_route_by_static_routes_alone(lab: RunningLab) -> None:
    assert problems(lab, SOON) == []
    assert lab.client.get("status")["configured"] == []
    for node in ("fw1", "plain"):
        assert net("0.0.0.0/0") in kernel(lab, node)
        assert "bgpd" not in run(lab, node, "ps", "-e", "-o", "comm")
    lab.client.runtime.stop(lab.lab.name, "fw1")
    lab.client.runtime.start(lab.lab.name, "fw1")
    eventually(lambda: problems(lab), lambda found: found == [])


@pytest.mark.parametrize(
    ("client", "server", "answered"),
    [
        ("vm-a", "vm-b", "True True"),  # both directions through one stateful firewall
        ("vm-c", "vm-a", "False False"),  # the answers alone
        ("vm-a", "vm-c", "False True"),  # the questions alone: UDP has no handshake that could lack an answer
        ("vm-d", "vm-a", "True True"),  # the answers alone, through a router that keeps no state
    ],
)
def test_a_stateful_one_forwards_no_answer_to_what_it_has_not_seen(
    lab: RunningLab, client: str, server: str, answered: str
) -> None:
    with dialogue(lab, server, ECHO) as echo:
        assert echo.line() == "ready"
        reaches(lab.client, client, address(lab, server))
        assert python(lab, client, CLIENT, address(lab, server)) == answered


def test_they_are_backends_and_translate_sources(lab: RunningLab) -> None:
    """Nothing listens on a probe's port by itself: somebody has to start what does."""
    assert not ping(lab.client, "vm-a", INTERNET)
    for backend in ("fw2", "fw1"):
        with listening(lab, backend):
            eventually(lambda: ping(lab.client, "vm-a", INTERNET), bool)
            seen = run(lab, backend, "cat", "/proc/net/nf_conntrack")
            assert f"dst={address(lab, backend)}" in seen
        eventually(lambda: ping(lab.client, "vm-a", INTERNET), lambda reached: not reached)
