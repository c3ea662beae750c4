"""The instance's end of its feed: a thread that listens, a thread that speaks, neither of which holds up BGP."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from labkit.feed.client import Feed, feeds


@dataclass(frozen=True, slots=True)
class Received:
    """A message came by this feed; None for its loss."""

    feed: Feed
    message: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Sent:
    """The last message given to `FeedWriter.say` has left."""


class FeedReader:
    """Connects to the controller for ever and passes on what it says."""

    def __init__(self, node: str, path: Path, heard: Callable[[Received], None]) -> None:
        self._node, self._path, self._heard = node, path, heard

    def start(self) -> None:
        """Start the thread; it ends with the process."""
        threading.Thread(target=self._listen, name="feed in", daemon=True).start()

    def _listen(self) -> None:
        for feed in feeds("routeserver", self._node, self._path):
            for message in feed:
                self._heard(Received(feed, message))
            self._heard(Received(feed, None))


class FeedWriter:
    """Sends messages one after the other and says when each is out: a slow controller gets fewer, larger ones."""

    def __init__(self, said: Callable[[Sent], None]) -> None:
        self._said = said
        self._queue: SimpleQueue[tuple[Feed, Mapping[str, Any]]] = SimpleQueue()

    def start(self) -> None:
        """Start the thread; it ends with the process."""
        threading.Thread(target=self._speak, name="feed out", daemon=True).start()

    def say(self, feed: Feed, message: Mapping[str, Any]) -> None:
        """Send a message; if the feed is lost, so is the message."""
        self._queue.put((feed, message))

    def _speak(self) -> None:
        while True:
            feed, message = self._queue.get()
            feed.send(message)
            self._said(Sent())
