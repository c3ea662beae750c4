"""The controller's end of the feeds: a socket per node, numbered messages down, acknowledgements and reports up."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from aiohttp import web

from labkit.feed.bgp import (
    GATEWAY,
    ROUTE_SERVER,
    AdvertisedPaths,
    InstanceDown,
    NeighbourStates,
    RibDelta,
    RibSnapshot,
    Routes,
    SessionRefused,
    SessionsClosed,
)
from labkit.feed.channel import HELLO, Applied, Channel, Hello
from labkit.feed.codec import Undecodable
from labkit.feed.connection import Answer, FeedConnection
from labkit.feed.firewall import FIREWALL
from labkit.feed.switch import FABRIC, ProbeReport
from labkit.feed.tables import AGENT
from labkit.names import handle

SOCKET = "feed.sock"
CHANNELS: Mapping[str, Channel[Any, Any]] = {c.role: c for c in (AGENT, FABRIC, FIREWALL, ROUTE_SERVER, GATEWAY)}
"""The channels by role."""

Report: TypeAlias = ProbeReport | RibSnapshot | RibDelta | InstanceDown | SessionsClosed | SessionRefused


class FeedHandler(Protocol):
    """What the feeds need of whoever decides what nodes receive."""

    def connected(self, connection: FeedConnection) -> None:
        """A node said hello."""

    def received(self, connection: FeedConnection, report: Report) -> None:
        """A node sent a report."""

    def acknowledged(self, connection: FeedConnection) -> None:
        """A node applied a message, or failed to (`connection.error`)."""

    def refused(self, connection: FeedConnection, problem: str) -> None:
        """A node sent something that is not valid; its feed is cut, and it comes back with a snapshot."""

    def disconnected(self, connection: FeedConnection) -> None:
        """A feed broke."""


class Feeds:
    """The server side of every feed. `connections` holds the open ones by node."""

    def __init__(self, run: Path, roles: Mapping[str, str], controller: FeedHandler) -> None:
        """Serve the nodes of `roles` (node name to role) on sockets below `run`, in a folder for each node's handle."""
        self._run = run
        self._roles = roles
        self._nodes = {handle(node): node for node in roles}
        self._controller = controller
        self.connections: dict[str, FeedConnection] = {}
        application = web.Application()
        application.router.add_get("/", self._serve)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=1)

    async def start(self) -> None:
        """Listen on every socket."""
        await self._runner.setup()
        for node in self._roles:
            path = self._run / handle(node) / SOCKET
            path.unlink(missing_ok=True)
            await web.UnixSite(self._runner, str(path)).start()

    async def stop(self) -> None:
        """Close every feed and socket."""
        for connection in list(self.connections.values()):
            connection.cut()
        await self._runner.cleanup()

    async def _serve(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(compress=False, max_msg_size=0)
        await socket.prepare(request)
        transport = request.transport
        if transport is None:
            return socket
        node = self._nodes[Path(transport.get_extra_info("sockname")).parent.name]
        channel = CHANNELS[self._roles[node]]
        hello = await socket.receive()
        if hello.type is not web.WSMsgType.TEXT:
            return socket
        if not _is(hello.data, Hello(channel.role, node)):
            await socket.close(message=f"expected the hello of {node} as {channel.role}".encode())
            return socket
        connection = FeedConnection(node, channel, socket, transport)
        former = self.connections.pop(node, None)
        if former is not None:
            former.cut()
        self.connections[node] = connection
        writer = asyncio.create_task(connection.write())
        try:
            self._controller.connected(connection)
            async for message in socket:
                if message.type is web.WSMsgType.TEXT:
                    self._receive(connection, message.data)
        except Undecodable as problem:
            self._controller.refused(connection, str(problem))
            connection.cut()
        finally:
            writer.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                await writer
            for query in connection.queries.values():
                if not query.done():
                    query.set_exception(ConnectionError(f"the feed of {node} broke"))
            if self.connections.get(node) is connection:
                del self.connections[node]
                self._controller.disconnected(connection)
        return socket

    def _receive(self, connection: FeedConnection, text: str) -> None:
        message = connection.channel.up.decode(text)
        match message:
            case Applied():
                connection.applied = message.seq
                connection.applied_at = time.time()
                connection.error = message.error or ""
                self._controller.acknowledged(connection)
            case Routes() | AdvertisedPaths() | NeighbourStates():
                _answer(connection, message)
            case _:
                self._controller.received(connection, message)


def _is(text: str, expected: Hello) -> bool:
    try:
        return HELLO.decode(text) == expected
    except Undecodable:
        return False


def _answer(connection: FeedConnection, answer: Answer) -> None:
    query = connection.queries.get(answer.query)
    if query is not None and not query.done():
        query.set_result(answer)
