"""The service beside a gateway's FRR: reports what FRR learns, and switches what the controller wants switched."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from typing import Any

from labkit.daemons.errors import NoAnswer
from labkit.daemons.protocol import GatewayControl, Ranges
from labkit.daemons.tables import AdvertisedPath, BgpNeighbour
from labkit.feed.client import Feed, feeds
from labkit.feed.service import Settings, watch
from labkit.gateway import kernel
from labkit.gateway.bmp import CLOSED_HERE, Message, PeerDown, Stream, Update
from labkit.gateway.state import State

PATIENCE = 5.0
"""Seconds that FRR may take to tell all that it has before the controller hears that there is nothing."""

_PAUSE = 0.05

_log = logging.getLogger("gateway")


class Service:
    """One thread hears FRR, one the controller; what both touch is held by a lock."""

    def __init__(self, settings: Settings, daemon: GatewayControl, bmp_port: int) -> None:
        self._settings = settings
        self._daemon = daemon
        self._bmp_port = bmp_port
        self._state = State()
        self._feed: Feed | None = None
        self._told = False
        """Whether the controller has had its snapshot on this feed."""
        self._config: Mapping[str, Any] | None = None
        self._sessions: bool | None = None
        self._ranges: Ranges | None = None
        """Both are what FRR has been told; None for one that has not been told anything."""
        self._gone: set[str] = set()
        """Peers that went down, whose routes FRR is about to clear."""
        self._connection: socket.socket | None = None
        """FRR's connection of now."""
        self._renewing = False
        """Whether it was closed here, for FRR to tell everything anew."""
        self._lock = threading.Lock()

    def run(self) -> None:
        """Serve until killed."""
        listener = socket.create_server(("127.0.0.1", self._bmp_port))
        watch("bmp", lambda: self._hear_frr(listener))
        patience = threading.Timer(PATIENCE, self._stop_waiting)
        patience.daemon = True
        patience.start()
        for feed in feeds("gateway", self._settings.node, self._settings.feed):
            for message in feed:
                if message["type"] == "config":
                    self._configure(feed, message)
                elif message["type"] == "query":
                    feed.send({"type": "answer", "id": message["id"], "routes": self._answer(message)})
            with self._lock:
                self._feed = None

    def _configure(self, feed: Feed, config: Mapping[str, Any]) -> None:
        with self._lock:
            self._config = config
            self._switch()
            if self._feed is not feed:
                self._feed, self._told = feed, False
            self._report()
            self._ready()

    def _hear_frr(self, listener: socket.socket) -> None:
        while True:
            listener.settimeout(PATIENCE if self._renewing else None)
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                self._renewing = False
                self._lose()
                continue
            connection.settimeout(None)
            self._hear(connection)

    def _hear(self, connection: socket.socket) -> None:
        stream = Stream()
        renewed = State() if self._renewing else None
        self._renewing = False
        with connection:
            with self._lock:
                if renewed is None:
                    self._sessions = self._ranges = None
                self._connection = connection
                self._state.connected = True
                # It may have just read its configuration, or be one that a service before this one has told.
                self._switch(anew=True)
                self._ready()
            while data := _read(connection):
                messages = list(stream.feed(data, time.time()))
                kernel.await_routes(_announced(messages))
                with self._lock:
                    for message in messages:
                        state = self._state if renewed is None else renewed
                        if isinstance(message, PeerDown) and state.is_up(message.peer):
                            self._renew(message.peer)
                        state.take(self._explained(message))
                        if renewed is not None and renewed.whole:
                            self._state.become(renewed, time.time())
                            renewed = None
                    self._report()
            with self._lock:
                self._connection = None
        if not self._renewing:
            self._lose()

    def _lose(self) -> None:
        with self._lock:
            self._state.lost(time.time())
            self._report()

    def _renew(self, peer: str) -> None:
        """Have FRR tell everything anew, on another connection, once it has cleared what a peer that went down said.

        Every route that it clears, or that was withdrawn just before, is in the queue of what it tells. There it finds
        that the session is down, tells nothing, and goes on with the queue only when the next route comes: it would be
        behind by as many as there were.
        """
        self._gone.add(peer)
        if len(self._gone) == 1:
            watch("renew", self._close_once_cleared)

    def _close_once_cleared(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while self._daemon.has_paths_of(frozenset(self._gone)) and time.monotonic() < deadline:
            time.sleep(_PAUSE)
        with self._lock:
            self._gone.clear()
            if self._connection is None:  # nothing is queued for nobody
                return
            self._renewing = True
            try:
                self._connection.shutdown(socket.SHUT_RDWR)
            except OSError:  # FRR has closed it meanwhile
                self._renewing = False

    def _explained(self, message: Message) -> Message:
        """A message with the reason for a closed session that FRR leaves out."""
        if not isinstance(message, PeerDown) or message.reason != CLOSED_HERE:
            return message
        config = self._config
        if config is not None and not config["sessions"] and message.peer in config["route_servers"]:
            return replace(message, reason=config["no_sessions"])
        return replace(message, reason=self._daemon.why_closed(message.peer) or CLOSED_HERE)

    def _report(self) -> None:
        if self._feed is None or not self._state.whole:
            return
        if not self._told:
            self._told = True
            self._feed.send(self._state.snapshot())
            return
        delta = self._state.delta(time.time())
        if delta is not None:
            self._feed.send(delta)

    def _stop_waiting(self) -> None:
        with self._lock:
            self._state.whole = True
            self._report()

    def _switch(self, *, anew: bool = False) -> None:
        config = self._config
        if config is None or not self._state.connected:
            return
        if anew or config["sessions"] != self._sessions:
            self._daemon.set_sessions(config["asn"], config["route_servers"], on=config["sessions"])
            if config["sessions"] and not self._sessions:
                self._state.awaited(config["route_servers"])
            self._sessions = config["sessions"]
            _log.info("sessions with the route server %s", "on" if self._sessions else "off")
        ranges = Ranges(tuple(config["originated"]), tuple(config["adjacent"]))
        if anew or ranges != self._ranges:
            self._daemon.set_ranges(config["asn"], config["subnet_gateway"], ranges, vpn=config["vpn"])
            self._ranges = ranges

    def _answer(self, query: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The rows of the table that the controller asks for; none while the daemon does not answer."""
        try:
            if query["table"] == "peers":
                return [_peer_row(each) for each in self._daemon.peers()]
            return [_advertised_row(each) for each in self._daemon.advertised(query["peer"])]
        except (NoAnswer, ValueError):
            return []

    def _ready(self) -> None:
        if self._config is not None and self._state.connected:
            self._settings.mark_ready()


def _announced(messages: Iterable[Message]) -> set[str]:
    """The prefixes that are there after these messages, as far as they say."""
    found: set[str] = set()
    for message in messages:
        if isinstance(message, Update):
            found = found.difference(message.withdrawn).union(message.announced)
    return found


def _read(connection: socket.socket) -> bytes:
    """The next bytes; none when FRR is gone, however it went."""
    try:
        return connection.recv(1 << 16)
    except ConnectionError:
        return b""


def _peer_row(neighbour: BgpNeighbour) -> dict[str, Any]:
    row = asdict(neighbour)
    return {"neighbour": str(row.pop("address")), **row}


def _advertised_row(path: AdvertisedPath) -> dict[str, Any]:
    return {
        "network": str(path.prefix),
        "as_path": [sorted(hop) if isinstance(hop, frozenset) else hop for hop in path.as_path],
        "next_hop": None if path.next_hop is None else str(path.next_hop),
        "origin": str(path.origin),
    }
