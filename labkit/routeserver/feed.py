"""What the instance reports, sent by a thread of its own: no slow controller holds up BGP."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

from labkit.feed.client import Feed
from labkit.feed.service import watch


@dataclass(frozen=True, slots=True)
class Sent:
    """The last message given to `FeedWriter.say` has left."""


class FeedWriter:
    """Sends messages one after the other and says when each is out: a slow controller gets fewer, larger ones."""

    def __init__(self, said: Callable[[Sent], None]) -> None:
        self._said = said
        self._queue: SimpleQueue[tuple[Feed, Mapping[str, Any]]] = SimpleQueue()

    def start(self) -> None:
        """Start the thread; it ends with the process."""
        watch("feed out", self._write)

    def say(self, feed: Feed, message: Mapping[str, Any]) -> None:
        """Send a message; if the feed is lost, so is the message."""
        self._queue.put((feed, message))

    def _write(self) -> None:
        while True:
            feed, message = self._queue.get()
            feed.send(message)
            self._said(Sent())
