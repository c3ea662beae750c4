"""What the instance reports, sent by a thread of its own: no slow controller holds up BGP."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TypeAlias

from labkit.feed.bgp import FromRouteServer, ToRouteServer
from labkit.feed.client import Feed
from labkit.feed.service import watch

InstanceFeed: TypeAlias = Feed[ToRouteServer, FromRouteServer]


@dataclass(frozen=True, slots=True)
class Sent:
    """The last message given to `FeedWriter.send` has left."""


class FeedWriter:
    """Sends messages one after the other and reports when each is out: a slow controller gets fewer, larger ones."""

    def __init__(self, put: Callable[[Sent], None]) -> None:
        self._put = put
        self._queue: SimpleQueue[tuple[InstanceFeed, FromRouteServer]] = SimpleQueue()

    def start(self) -> None:
        """Start the thread; it ends with the process."""
        watch("feed out", self._write)

    def send(self, feed: InstanceFeed, message: FromRouteServer) -> None:
        """Send a message; if the feed is lost, so is the message."""
        self._queue.put((feed, message))

    def _write(self) -> None:
        while True:
            feed, message = self._queue.get()
            feed.send(message)
            self._put(Sent())
