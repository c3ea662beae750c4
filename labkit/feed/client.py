"""The node's end of a feed: connect to the controller, say hello, take numbered messages, come back when it breaks.

    for feed in feeds("agent", "vm1"):
        for message in feed:
            ...
            feed.applied(message["seq"])

The inner loop ends when the connection is lost or a message is missing; the outer one then connects again, and the
controller begins anew with a snapshot. So whatever a node missed while the controller was away, it is told.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.sync.client import ClientConnection, unix_connect

from labkit.feed.service import FEED_SOCKET, Settings, watch

FIRST_PAUSE = 0.02
LAST_PAUSE = 0.25
LASTING = 1.0
"""Seconds; a feed that breaks sooner, as where each side finds the other's messages absurd, slows the attempts down."""
HANDSHAKE_TIMEOUT = 10.0

Message = dict[str, Any]
"""A JSON object with at least `seq` (int) and `type` (str)."""

_log = logging.getLogger("labkit.feed")


class Feed:
    """One connection to the controller. Iterating it yields its messages and ends when it is lost.

    One thread iterates; `send`, `applied` and `close` may be called from any thread. `received` is the number of the
    last message received, 0 before the first.
    """

    def __init__(self, connection: ClientConnection) -> None:
        """Use `connect`, which makes the connection."""
        self._connection = connection
        self.received = 0

    @classmethod
    def connect(cls, role: str, node: str, path: Path = FEED_SOCKET) -> Feed:
        """Connect once and say hello.

        Args:
            role: `agent`, `fabric`, `gateway` or `routeserver`.
            node: the name of this node in the topology.
            path: the feed's socket, shorter than 108 bytes.

        Raises:
            OSError: there is no socket yet, nobody listens, or (`TimeoutError`) nobody answers.
            InvalidHandshake: what listens is no WebSocket server, or is just going away.
        """
        # No keep-alive: on a Unix socket the kernel reports a dead controller at once, and a controller busy with
        # 100,000 routes must not be taken for dead.
        connection = unix_connect(
            str(path),
            compression=None,
            proxy=None,
            open_timeout=HANDSHAKE_TIMEOUT,
            close_timeout=1,
            ping_interval=None,
            max_size=None,
            legacy=True,
        )
        feed = cls(connection)
        feed.send({"type": "hello", "role": role, "node": node})
        return feed

    def __iter__(self) -> Iterator[Message]:
        try:
            while True:
                message: Message = json.loads(self._connection.recv())
                if message["seq"] != self.received + 1:
                    _log.warning("message %s came after %s; reconnecting", message["seq"], self.received)
                    return
                self.received += 1
                yield message
        except ConnectionClosed as closed:
            _log.info("feed lost: %s", closed)
        finally:
            self._connection.close()

    def send(self, message: Mapping[str, object]) -> bool:
        """Send a message.

        Returns:
            False when the connection is lost. Nothing needs to be done then: the iteration ends too, and the next
            connection starts with a snapshot.
        """
        try:
            self._connection.send(json.dumps(message))
        except ConnectionClosed:
            return False
        return True

    def applied(self, seq: int, error: str | None = None) -> bool:
        """Acknowledge message number `seq`: it is true in the kernel, or `error` says why it is not."""
        return self.send({"type": "applied", "seq": seq, "error": error})

    def close(self) -> None:
        """Close the connection; the iteration ends."""
        self._connection.close()


def feeds(role: str, node: str, path: Path = FEED_SOCKET) -> Iterator[Feed]:
    """Connect to the controller again and again, for ever; arguments as for `Feed.connect`.

    The pause between attempts is a tenth of the time for which there has been no lasting feed, between 20 ms and
    250 ms: a node that starts together with its controller is connected in an instant, and one whose controller stays
    away costs nothing.
    """
    waiting_since = time.monotonic()
    while True:
        try:
            feed = Feed.connect(role, node, path)
        except (OSError, InvalidHandshake) as problem:
            _log.debug("no feed at %s: %s", path, problem)
        else:
            connected = time.monotonic()
            yield feed
            if time.monotonic() - connected >= LASTING:
                waiting_since = time.monotonic()
        waited = time.monotonic() - waiting_since
        time.sleep(min(max(waited / 10, FIRST_PAUSE), LAST_PAUSE))


@dataclass(frozen=True, slots=True)
class Received:
    """The controller sent a message over this feed."""

    feed: Feed
    message: Message


@dataclass(frozen=True, slots=True)
class Lost:
    """This feed has ended; another one begins, with a snapshot, once the controller can be reached."""

    feed: Feed


def follow(settings: Settings, role: str, put: Callable[[Received | Lost], None]) -> None:
    """Hand on what the controller sends to this node in a role, from a thread of its own, over one feed after another.

    The role is `agent`, `fabric`, `gateway` or `routeserver`.
    """

    def receive() -> None:
        for feed in feeds(role, settings.node, settings.feed):
            for message in feed:
                put(Received(feed, message))
            put(Lost(feed))

    watch("feed", receive)
