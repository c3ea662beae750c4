"""One node's feed as the controller sees it: numbered messages out, acknowledgements, answers and reports in."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from aiohttp import web

from labkit.feed.bgp import (
    AdjRibInQuery,
    AdjRibOutQuery,
    AdvertisedPaths,
    NeighboursQuery,
    NeighbourStates,
    Routes,
    ToGateway,
    ToRouteServer,
)
from labkit.feed.channel import Channel
from labkit.feed.firewall import FirewallPolicy
from labkit.feed.switch import ToFabric
from labkit.feed.tables import ToAgent

QUEUE_LIMIT = 1_000
"""Messages that may wait for a node. One that is further behind is better served by a new snapshot."""

ANSWER_PATIENCE = 10.0
"""Seconds that a node may take to answer a query."""

ToNode: TypeAlias = ToAgent | ToFabric | ToRouteServer | ToGateway | FirewallPolicy
Query: TypeAlias = AdjRibInQuery | AdjRibOutQuery | NeighboursQuery
Answer: TypeAlias = Routes | AdvertisedPaths | NeighbourStates


@dataclass(slots=True)
class FeedConnection:
    """An open feed. `sent` and `applied` are the numbers of the last message sent and acknowledged.

    `applied_at` is when (Unix time) it was acknowledged.
    """

    node: str
    channel: Channel[Any, Any]
    socket: web.WebSocketResponse
    transport: asyncio.Transport
    sent: int = 0
    applied: int = 0
    applied_at: float = 0.0
    error: str = ""
    queries: dict[int, asyncio.Future[Answer]] = field(default_factory=dict)
    _queue: asyncio.Queue[str] = field(default_factory=asyncio.Queue)

    @property
    def role(self) -> str:
        """The node's role."""
        return self.channel.role

    def send(self, message: ToNode) -> None:
        """Queue a message with the next number; a node too far behind is cut off, to come back for a snapshot."""
        self.sent += 1
        self._queue.put_nowait(self.channel.down.encode(message, self.sent))
        if self._queue.qsize() > QUEUE_LIMIT:
            self.cut()

    def cut(self) -> None:
        """Break the connection without waiting for the far side."""
        self.transport.abort()

    async def write(self) -> None:
        """Send what is queued, for ever; ends by cancellation or with the connection."""
        while True:
            await self.socket.send_str(await self._queue.get())

    async def query(self, query: Query) -> Answer:
        """Ask the node something and return its answer.

        Raises:
            TimeoutError: the node did not answer within `ANSWER_PATIENCE`.
            ConnectionError: the feed broke meanwhile.
        """
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self.send(query)
        number = self.sent
        self.queries[number] = answer
        try:
            async with asyncio.timeout(ANSWER_PATIENCE):
                return await answer
        finally:
            del self.queries[number]
