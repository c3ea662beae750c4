"""The feeds: a socket per node, a snapshot on connect, numbered deltas after, acknowledgements back."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from aiohttp import WSMsgType, web

from labkit.controller.connection import Connection

SOCKET = "feed.sock"


class Node(Protocol):
    """What the feeds need of whoever decides what nodes are told."""

    def connected(self, connection: Connection) -> None:
        """A node said hello."""

    def received(self, connection: Connection, message: Mapping[str, Any]) -> None:
        """A node sent something other than an acknowledgement or an answer."""

    def acknowledged(self, connection: Connection) -> None:
        """A node applied a message, or failed to (`connection.error`)."""

    def disconnected(self, connection: Connection) -> None:
        """A feed broke."""


class Feeds:
    """The server side of every feed. `connections` holds the open ones by node."""

    def __init__(self, run: Path, roles: Mapping[str, str], handler: Node) -> None:
        """Serve the nodes of `roles` (node name to role) on sockets below `run`, one folder a node."""
        self._run = run
        self._roles = roles
        self._handler = handler
        self.connections: dict[str, Connection] = {}
        application = web.Application()
        application.router.add_get("/", self._serve)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=1)

    async def start(self) -> None:
        """Listen on every socket."""
        await self._runner.setup()
        for node in self._roles:
            path = self._run / node / SOCKET
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
        node = Path(transport.get_extra_info("sockname")).parent.name
        hello = await socket.receive()
        if hello.type is not WSMsgType.TEXT:
            return socket
        greeting = json.loads(hello.data)
        if greeting != {"type": "hello", "node": node, "role": self._roles[node]}:
            await socket.close(message=f"expected hello of {node} as {self._roles[node]}".encode())
            return socket
        connection = Connection(node, self._roles[node], socket, transport)
        former = self.connections.pop(node, None)
        if former is not None:
            former.cut()
        self.connections[node] = connection
        writer = asyncio.create_task(connection.write())
        try:
            self._handler.connected(connection)
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    self._receive(connection, json.loads(message.data))
        finally:
            writer.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                await writer
            for query in connection.queries.values():
                if not query.done():
                    query.set_exception(ConnectionError(f"the feed of {node} broke"))
            if self.connections.get(node) is connection:
                del self.connections[node]
                self._handler.disconnected(connection)
        return socket

    def _receive(self, connection: Connection, message: Mapping[str, Any]) -> None:
        actions: dict[str, Callable[[], None]] = {
            "applied": lambda: self._applied(connection, message),
            "answer": lambda: self._answer(connection, message),
        }
        actions.get(message["type"], lambda: self._handler.received(connection, message))()

    def _applied(self, connection: Connection, message: Mapping[str, Any]) -> None:
        connection.applied = message["seq"]
        connection.applied_at = time.time()
        connection.error = message["error"] or ""
        self._handler.acknowledged(connection)

    def _answer(self, connection: Connection, message: Mapping[str, Any]) -> None:
        query = connection.queries.get(message["id"])
        if query is not None and not query.done():
            query.set_result(message["routes"])
