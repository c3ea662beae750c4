"""One node's feed as the controller sees it: numbered messages out, acknowledgements in."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

QUEUE_LIMIT = 1_000
"""Messages that may wait for a node. One that is further behind is better served by a new snapshot."""


@dataclass(slots=True)
class Connection:
    """An open feed. `sent` and `applied` are the numbers of the last message sent and acknowledged.

    `applied_at` is when (Unix time) it was acknowledged.
    """

    node: str
    role: str
    socket: web.WebSocketResponse
    transport: asyncio.Transport
    sent: int = 0
    applied: int = 0
    applied_at: float = 0.0
    error: str = ""
    queries: dict[int, asyncio.Future[Any]] = field(default_factory=dict)
    _queue: asyncio.Queue[str] = field(default_factory=asyncio.Queue)

    def send(self, message: Mapping[str, object]) -> None:
        """Queue a message with the next number; a node too far behind is cut off, to come back for a snapshot."""
        self.sent += 1
        self._queue.put_nowait(json.dumps({"seq": self.sent, **message}))
        if self._queue.qsize() > QUEUE_LIMIT:
            self.cut()

    def cut(self) -> None:
        """Break the connection without waiting for the far side."""
        self.transport.abort()

    async def write(self) -> None:
        """Send what is queued, for ever; ends by cancellation or with the connection."""
        while True:
            await self.socket.send_str(await self._queue.get())

    async def query(self, **question: object) -> Any:
        """Ask the node something and return its answer.

        Raises:
            TimeoutError: the node did not answer within 10 seconds.
            ConnectionError: the feed broke meanwhile.
        """
        number = self.sent + 1
        answer = asyncio.get_running_loop().create_future()
        self.queries[number] = answer
        self.send({"type": "query", "id": number, **question})
        try:
            async with asyncio.timeout(10):
                return await answer
        finally:
            del self.queries[number]
