"""The warm process: who asks it for services, and what becomes of them."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

import pytest

from labkit.start.warm import Server, _Client


def open_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_a_service_that_is_ended_before_it_runs_is_not_started() -> None:
    channel, _its_lab = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    caller, connection = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    server = Server(channel)
    server._watch(connection.fileno(), _Client(connection))
    socket.send_fds(caller, [b"\0".join([b"0", b"/", b"labkit.fabric"]) + b"\0\0" + b"A=b"], [0])
    server._turn(0)
    assert [client.words for client in server._waiting] == [["labkit.fabric"]]
    before = open_descriptors()
    caller.send(bytes([signal.SIGTERM]))
    server._turn(0)
    assert not server._waiting
    assert caller.recv(4) == b""
    assert open_descriptors() == before - 2, "its connection and what came with its request are closed"


@pytest.mark.parametrize(
    "request_", [b"\xff", b"0", b"0\0/", b"0 1\0/\0labkit.fabric\0\0", b"x\0/\0labkit.fabric\0\0", b"\0" * 9]
)
def test_a_request_that_is_not_valid_is_passed_over(request_: bytes) -> None:
    """Any node may send it, and the services of all of them are children of this process."""
    channel, _its_lab = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    caller, connection = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    server = Server(channel)
    server._watch(connection.fileno(), _Client(connection))
    before = open_descriptors()
    socket.send_fds(caller, [request_], [0])
    server._turn(0)
    assert not server._waiting
    assert caller.recv(4) == b""
    assert open_descriptors() == before - 1, "its connection and what came with its request are closed"
