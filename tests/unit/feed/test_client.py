"""The feed's client against a real server of the controller's kind: aiohttp on a Unix socket."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from labkit.feed.client import Feed, feeds
from labkit.feed.tables import AGENT, AgentDelta, AgentSnapshot

Behaviour = Callable[[web.WebSocketResponse], Awaitable[None]]


class Server:
    """Serves each connection by the next behaviour, the last one for ever. `heard` holds what clients sent first."""

    def __init__(self, path: Path, *behaviours: Behaviour) -> None:
        self.heard: list[dict[str, Any]] = []
        self._behaviours = list(behaviours)
        self._loop = asyncio.new_event_loop()
        self._done = asyncio.Event()
        started = threading.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._run(path, started),))
        self._thread.start()
        assert started.wait(30)

    async def _run(self, path: Path, started: threading.Event) -> None:
        application = web.Application()
        application.router.add_get("/", self._serve)
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        await runner.setup()
        await web.UnixSite(runner, str(path)).start()
        started.set()
        await self._done.wait()
        await runner.cleanup()

    async def _serve(self, request: web.Request) -> web.WebSocketResponse:
        feed = web.WebSocketResponse(compress=False, max_msg_size=0)
        await feed.prepare(request)
        self.heard.append(await feed.receive_json())
        behaviour = self._behaviours.pop(0) if len(self._behaviours) > 1 else self._behaviours[0]
        await behaviour(feed)
        return feed

    def stop(self) -> None:
        if self._loop.is_closed():
            return
        self._loop.call_soon_threadsafe(self._done.set)
        self._thread.join(30)
        self._loop.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "feed.sock"


@pytest.fixture
def serve(path: Path) -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def start(*behaviours: Behaviour) -> Server:
        servers.append(Server(path, *behaviours))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


LARGE = {"groups": {}, "routes": {f"10.{n >> 8 & 255}.{n & 255}.{n >> 16}/32": 1 for n in range(150_000)}}
"""A table of more than the megabyte at which WebSocket servers and clients stop by default."""


def numbers(*seqs: int) -> Behaviour:
    async def send(feed: web.WebSocketResponse) -> None:
        for seq in seqs:
            await feed.send_json({"seq": seq, "type": "delta", "tables": {}})
        await feed.receive()

    return send


async def hang_up(_: web.WebSocketResponse) -> None:
    """Send nothing and go."""


def test_hello_messages_and_acknowledgement(path: Path, serve: Callable[..., Server]) -> None:
    acknowledged: list[dict[str, Any]] = []

    async def talk(feed: web.WebSocketResponse) -> None:
        await feed.send_json({"seq": 1, "type": "snapshot", "tables": {"eth0": LARGE}})
        acknowledged.append(await feed.receive_json())
        await feed.send_json({"seq": 2, "type": "delta", "tables": {}})
        acknowledged.append(await feed.receive_json())

    server = serve(talk)
    feed = Feed.connect(AGENT, "vm1", path)
    messages = []
    for seq, message in feed:
        messages.append(type(message))
        assert feed.applied(seq, None if seq == 1 else "no room")
    assert messages == [AgentSnapshot, AgentDelta]
    assert server.heard == [{"type": "hello", "role": "agent", "node": "vm1"}]
    assert acknowledged == [
        {"type": "applied", "seq": 1, "error": None},
        {"type": "applied", "seq": 2, "error": "no room"},
    ]
    assert not feed.applied(2)


def test_a_missing_message_ends_the_feed(path: Path, serve: Callable[..., Server]) -> None:
    serve(numbers(1, 2, 4, 5), numbers(1))
    stream = feeds(AGENT, "vm1", path)
    assert [seq for seq, _ in next(stream)] == [1, 2]
    assert next(iter(next(stream)))[0] == 1


def test_the_client_waits_for_its_server_and_survives_it(path: Path, serve: Callable[..., Server]) -> None:
    seen: list[int] = []
    progress = threading.Semaphore(0)

    def follow() -> None:
        for feed in feeds(AGENT, "vm1", path):
            for seq, _ in feed:
                seen.append(seq)
                progress.release()
            if len(seen) >= 3:
                return

    follower = threading.Thread(target=follow, daemon=True)
    follower.start()
    time.sleep(0.1)  # the time in which the server is not there is what is tested
    first = serve(numbers(1, 2))
    assert progress.acquire(timeout=30)
    assert progress.acquire(timeout=30)
    first.stop()
    serve(numbers(1), hang_up)
    assert progress.acquire(timeout=30)
    assert seen == [1, 2, 1]


def test_a_socket_that_a_dead_controller_left_is_refused(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with pytest.raises(ConnectionRefusedError):
        Feed.connect(AGENT, "vm1", path)


def test_closing_ends_the_iteration(path: Path, serve: Callable[..., Server]) -> None:
    serve(numbers(1))
    feed = Feed.connect(AGENT, "vm1", path)
    messages = iter(feed)
    next(messages)
    threading.Timer(0.05, feed.close).start()
    assert list(messages) == []


def test_what_makes_no_sense_is_answered_and_ends_the_feed(path: Path, serve: Callable[..., Server]) -> None:
    answers: list[dict[str, Any]] = []

    async def absurd(feed: web.WebSocketResponse) -> None:
        table = {"groups": {}, "routes": {"10.1": "x"}}
        await feed.send_json({"seq": 1, "type": "snapshot", "tables": {"eth0": table}})
        await feed.send_json({"seq": 2, "type": "delta", "tables": {}})
        answers.append(await feed.receive_json())
        await feed.receive()

    serve(absurd, numbers(1))
    stream = feeds(AGENT, "vm1", path)
    feed = next(stream)
    assert list(feed) == []
    assert feed.refused
    problem = "message 1 of the feed is not valid: tables.eth0.routes.10.1: expected an integer"
    assert answers == [{"type": "applied", "seq": 1, "error": problem}]
    assert next(iter(next(stream)))[0] == 1, "and the next one begins with a snapshot"
