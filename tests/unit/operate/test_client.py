"""The controller's API as the command line sees it: answers, refusals, streams, and a controller that stops."""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from labkit.errors import CheckFailed, EnvironmentProblem, InvalidInput
from labkit.feed.status import LabEvent, PlatformStatus
from labkit.operate.look.client import LabClient
from labkit.operate.records.record import Record
from labkit.runtimes.protocol import NotListening
from labkit.runtimes.select import SANDBOX

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
EVENTS = [{"time": n, "node": "vm1", "kind": "route", "text": text} for n, text in ((1.0, "a"), (2.0, "b"))]


class Controller:
    """A runtime whose controller answers every request with the same bytes, and then closes the connection."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self.requests: list[bytes] = []

    def connect(self, _lab: str, node: str, path: str) -> socket.socket:
        assert (node, path) == ("controller", "/run/labkit-api.sock")
        ours, theirs = socket.socketpair()
        threading.Thread(target=self._serve, args=(theirs,), daemon=True).start()
        return ours

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as lines:
            head = b"".join(iter(lines.readline, b"\r\n")) + b"\r\n"
            length = re.search(rb"Content-Length: (\d+)", head)
            self.requests.append(head + lines.read(int(length[1]) if length else 0))
            connection.sendall(self._answer)


class Nobody:
    """A runtime in which nothing listens, or whose controller is off."""

    def __init__(self, problem: Exception) -> None:
        self._problem = problem

    def connect(self, _lab: str, _node: str, _path: str) -> socket.socket:
        raise self._problem


def client(runtime: Any) -> LabClient:
    made = LabClient(Record("lab1", SANDBOX, "", "", 0.0))
    made.runtime = runtime
    return made


def whole(status: str, content: object) -> bytes:
    body = json.dumps(content).encode()
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def chunks(events: list[dict[str, Any]]) -> Iterator[bytes]:
    for event in events:
        line = json.dumps(event).encode() + b"\n"
        yield b"%x\r\n%s\r\n" % (len(line), line)


def test_an_answer() -> None:
    controller = Controller(whole("200 OK", {"programmed": True}))
    assert client(controller).put("route-tables", "a b", body={"x": 1}) == {"programmed": True}
    (request,) = controller.requests
    assert request.startswith(b"PUT /v1/route-tables/a%20b HTTP/1.1\r\n")
    assert request.endswith(b'\r\n\r\n{"x": 1}')


def test_a_refusal_has_the_apis_words() -> None:
    with pytest.raises(InvalidInput, match="there is no NIC x") as refused:
        client(Controller(whole("422 Unprocessable Entity", {"error": "there is no NIC x.", "remedy": "y"}))).get("x")
    assert refused.value.remedy == "y"
    with pytest.raises(EnvironmentProblem, match="no room"):
        client(Controller(whole("507 Insufficient Storage", {"error": "no room.", "remedy": "y"}))).get("x")


@pytest.mark.parametrize(
    "runtime",
    [
        Controller(b""),
        Controller(b"SSH-2.0-OpenSSH\r\n"),
        Controller(OK + b"Content-Length: 10\r\n\r\n{"),
        Controller(whole("200 OK", "{")[:-1]),
        Nobody(NotListening("nothing listens.", "")),
        Nobody(InvalidInput("node controller is stopped.", "")),
    ],
)
def test_a_controller_that_does_not_answer(runtime: object) -> None:
    with pytest.raises(CheckFailed, match="the controller of lab lab1 does not answer"):
        client(runtime).get("status")


def test_a_controller_that_fails() -> None:
    with pytest.raises(CheckFailed, match="the controller of lab lab1 failed: HTTP status 500") as failed:
        client(Controller(whole("500 Internal Server Error", "Server got itself in trouble"))).get("status")
    assert failed.value.remedy == "See why: labkit logs controller --lab lab1"


@pytest.mark.parametrize("name", ["", "x" * 5000])
def test_a_name_that_no_path_can_have(name: str) -> None:
    controller = Controller(OK)
    with pytest.raises(InvalidInput, match="the lab has nothing of this name: "):
        client(controller).get("effective-routes", name)
    assert controller.requests == []


def test_a_name_in_another_encoding_is_asked_for() -> None:
    controller = Controller(whole("200 OK", {}))
    client(controller).get("effective-routes", "\udcff")
    assert controller.requests[0].startswith(b"GET /v1/effective-routes/%FF HTTP/1.1")


def test_an_answer_of_another_version() -> None:
    answer = OK + b"Content-Length: 2\r\n\r\n{}"
    with pytest.raises(
        CheckFailed, match="answers in a form that this version of labkit does not read: lab: is missing"
    ):
        client(Controller(answer)).fetch(PlatformStatus, "status")


def test_events_as_they_come() -> None:
    stream = CHUNKED + b"".join(chunks(EVENTS)) + b"0\r\n\r\n"
    events = list(client(Controller(stream)).events(follow=False))
    assert events == [LabEvent(1.0, "vm1", "route", "a"), LabEvent(2.0, "vm1", "route", "b")]


@pytest.mark.parametrize("end", [b"", b"20\r\n" + b'{"time": 3.0'])
def test_a_stream_that_breaks_is_a_controller_that_does_not_answer(end: bytes) -> None:
    stream = client(Controller(CHUNKED + b"".join(chunks(EVENTS)) + end)).events(follow=True)
    assert [next(stream).text, next(stream).text] == ["a", "b"]
    with pytest.raises(CheckFailed, match="does not answer"):
        next(stream)
