"""The node's end of a feed: connect to the controller, send a hello, take numbered messages, come back when it breaks.

Whatever ends a feed, the next one begins with a snapshot: so a node gets whatever it missed while the controller was
away, and what is not valid is answered with a reason and mended.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Generic

from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.sync.client import ClientConnection, unix_connect

from labkit.feed.channel import APPLIED, HELLO, Applied, Channel, Down, Hello, Up
from labkit.feed.codec import Undecodable
from labkit.feed.service import FEED_SOCKET, Settings, watch

FIRST_PAUSE = 0.02
LAST_PAUSE = 0.25
LAST_PAUSE_REFUSED = 15.0
LASTING = 1.0
"""Seconds; a feed that breaks sooner, as where messages are not valid, slows the attempts down."""
HANDSHAKE_TIMEOUT = 10.0

_log = logging.getLogger("labkit.feed")


class Feed(Generic[Down, Up]):
    """One connection to the controller. Iterating it yields its messages with their numbers and ends when it is lost.

    One thread iterates; all methods may be called from any thread.
    """

    def __init__(self, connection: ClientConnection, channel: Channel[Down, Up]) -> None:
        """Use `connect`, which makes the connection."""
        self._connection = connection
        self._channel = channel
        self.refused = False
        """Whether a message was not valid. What came after it does not count."""

    @classmethod
    def connect(cls, channel: Channel[Down, Up], node: str, path: Path = FEED_SOCKET) -> Feed[Down, Up]:
        """Connect once and send a hello.

        Args:
            channel: that of the node's role.
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
        feed = cls(connection, channel)
        feed._write(HELLO.encode(Hello(channel.role, node)))
        return feed

    def __iter__(self) -> Iterator[tuple[int, Down]]:
        received = 0
        try:
            while not self.refused:
                seq, message = self._channel.down.decode_numbered(self._connection.recv())
                if seq != received + 1:
                    _log.warning("message %s came after %s; reconnecting", seq, received)
                    return
                received = seq
                try:
                    decoded = message()
                except Undecodable as problem:
                    self.refuse(seq, str(problem))
                    return
                yield seq, decoded
        except Undecodable as problem:
            _log.error("a message that can't be read; reconnecting: %s", problem)
            self.refused = True
        except ConnectionClosed as closed:
            _log.info("feed lost: %s", closed)
        finally:
            self._connection.close()

    def send(self, message: Up) -> bool:
        """Send a message.

        Returns:
            False when the connection is lost. Nothing needs to be done then: the iteration ends too, and the next
            connection starts with a snapshot.
        """
        return self._write(self._channel.up.encode(message))

    def applied(self, seq: int, error: str | None = None) -> bool:
        """Acknowledge message number `seq`: it is true in the kernel, or `error` is the reason why it is not."""
        return self._write(APPLIED.encode(Applied(seq, error)))

    def refuse(self, seq: int, problem: str) -> None:
        """Answer that message number `seq` is not valid, and end the feed: the next one begins with a snapshot."""
        _log.error("message %s is not valid: %s", seq, problem)
        self.refused = True
        self.applied(seq, f"message {seq} of the feed is not valid: {problem}")
        self.close()

    def close(self) -> None:
        """Close the connection; the iteration ends."""
        self._connection.close()

    def _write(self, text: str) -> bool:
        try:
            self._connection.send(text)
        except ConnectionClosed:
            return False
        return True


@dataclass(frozen=True, slots=True)
class Received(Generic[Down, Up]):
    """The controller sent message number `seq` over this feed."""

    feed: Feed[Down, Up]
    seq: int
    message: Down


@dataclass(frozen=True, slots=True)
class Lost(Generic[Down, Up]):
    """This feed has ended; another one begins, with a snapshot, once the controller can be reached."""

    feed: Feed[Down, Up]


def feeds(channel: Channel[Down, Up], node: str, path: Path = FEED_SOCKET) -> Iterator[Feed[Down, Up]]:
    """Connect to the controller again and again, for ever; arguments as for `Feed.connect`.

    The pause between attempts is a tenth of the time for which there has been no lasting feed, between 20 ms and
    250 ms (15 s, where messages are not valid): a node that starts together with its controller is connected in an
    instant, and one whose controller stays away costs nothing.
    """
    waiting_since = time.monotonic()
    while True:
        longest = LAST_PAUSE
        try:
            feed = Feed.connect(channel, node, path)
        except (OSError, InvalidHandshake) as problem:
            _log.debug("no feed at %s: %s", path, problem)
        else:
            connected = time.monotonic()
            yield feed
            longest = LAST_PAUSE_REFUSED if feed.refused else LAST_PAUSE
            if time.monotonic() - connected >= LASTING:
                waiting_since = time.monotonic()
        waited = time.monotonic() - waiting_since
        # No event: a server's socket is there before it listens, and stays when it has died.
        time.sleep(min(max(waited / 10, FIRST_PAUSE), longest))


def follow(
    settings: Settings, channel: Channel[Down, Up], put: Callable[[Received[Down, Up] | Lost[Down, Up]], None]
) -> None:
    """Hand on what the controller sends to this node, from a thread of its own, over one feed after another."""

    def receive() -> None:
        for feed in feeds(channel, settings.node, settings.feed):
            for seq, message in feed:
                put(Received(feed, seq, message))
            put(Lost(feed))

    watch("feed", receive)
