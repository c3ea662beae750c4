"""The service next to a gateway's FRR: it reports what FRR learns, and carries out what the controller wants."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Iterable
from dataclasses import replace
from ipaddress import IPv4Address

from labkit.daemons.errors import NoAnswer
from labkit.daemons.protocol import BmpHabits, GatewayControl, Ranges
from labkit.daemons.tables import AdvertisedPath, BgpNeighbour
from labkit.feed.bgp import (
    GATEWAY,
    AdjRibOutQuery,
    AdvertisedPaths,
    FromGateway,
    GatewayConfig,
    NeighboursQuery,
    NeighbourStates,
    ToGateway,
)
from labkit.feed.client import Feed, feeds
from labkit.feed.service import Settings, watch
from labkit.gateway import kernel
from labkit.gateway.bmp import CLOSED_HERE, Message, PeerDown, Stream, Update
from labkit.gateway.state import State

PATIENCE = 5.0
"""Seconds that FRR may take to report all that it has, before it counts as having nothing."""

_PAUSE = 0.05

_log = logging.getLogger("gateway")


class Service:
    """One thread reads from FRR, one from the controller; a lock guards what both touch."""

    def __init__(self, settings: Settings, daemon: GatewayControl, bmp: BmpHabits, bmp_port: int) -> None:
        self._settings = settings
        self._daemon = daemon
        self._bmp = bmp
        self._bmp_port = bmp_port
        self._state = State()
        self._feed: Feed[ToGateway, FromGateway] | None = None
        self._reported = False
        """Whether the controller has got its snapshot on this feed."""
        self._config: GatewayConfig | None = None
        self._sessions: bool | None = None
        self._ranges: Ranges | None = None
        """Both are what FRR is configured with; None if that is not known."""
        self._gone: set[str] = set()
        """Peers that went down, whose routes FRR is about to clear."""
        self._connection: socket.socket | None = None
        """FRR's present connection."""
        self._renewing = False
        """Whether it was closed here, for FRR to report everything again."""
        self._lock = threading.Lock()

    def run(self) -> None:
        """Serve until killed."""
        listener = socket.create_server(("127.0.0.1", self._bmp_port))
        watch("bmp", lambda: self._accept(listener))
        patience = threading.Timer(PATIENCE, self._stop_waiting)
        patience.daemon = True
        patience.start()
        for feed in feeds(GATEWAY, self._settings.node, self._settings.feed):
            for seq, message in feed:
                match message:
                    case GatewayConfig():
                        self._configure(feed, message)
                    case AdjRibOutQuery():
                        feed.send(AdvertisedPaths(seq, self._advertised(message.peer)))
                    case NeighboursQuery():
                        feed.send(NeighbourStates(seq, self._neighbours()))
            with self._lock:
                self._feed = None

    def _configure(self, feed: Feed[ToGateway, FromGateway], config: GatewayConfig) -> None:
        with self._lock:
            self._config = config
            self._switch()
            if self._feed is not feed:
                self._feed, self._reported = feed, False
            self._report()
            self._ready()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            listener.settimeout(PATIENCE if self._renewing else None)
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                self._renewing = False
                self._lose()
                continue
            connection.settimeout(None)
            self._follow_daemon(connection)

    def _follow_daemon(self, connection: socket.socket) -> None:
        stream = Stream(self._bmp)
        renewed = State() if self._renewing else None
        self._renewing = False
        with connection:
            with self._lock:
                if renewed is None:
                    self._sessions = self._ranges = None
                self._connection = connection
                self._state.connected = True
                # It may have just read its configuration, or been configured by the service before this one.
                self._switch(again=True)
                self._ready()
            while data := _read(connection):
                messages = list(stream.feed(data, time.time()))
                kernel.await_routes(_announced(messages))
                with self._lock:
                    for message in messages:
                        state = self._state if renewed is None else renewed
                        stalls = self._bmp.stalls_after_down
                        if stalls and isinstance(message, PeerDown) and state.is_up(message.peer):
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
        """Have FRR report everything again, on another connection, once it has cleared the routes of a peer that left.

        Every route that it clears, or that was withdrawn just before, is in its queue of reports. There it finds that
        the session is down, reports nothing, and goes on with the queue only when the next route comes: it would be
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
            if self._connection is None:  # nothing is queued
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
        if config is not None and not config.sessions and IPv4Address(message.peer) in config.route_servers:
            return replace(message, reason=config.no_sessions)
        return replace(message, reason=self._daemon.why_closed(message.peer) or CLOSED_HERE)

    def _report(self) -> None:
        if self._feed is None or not self._state.whole:
            return
        if not self._reported:
            self._reported = True
            self._feed.send(self._state.snapshot(time.time()))
            return
        delta = self._state.delta(time.time())
        if delta is not None:
            self._feed.send(delta)

    def _stop_waiting(self) -> None:
        with self._lock:
            self._state.whole = True
            self._report()

    def _switch(self, *, again: bool = False) -> None:
        config = self._config
        if config is None or not self._state.connected:
            return
        if again or config.sessions != self._sessions:
            route_servers = tuple(map(str, config.route_servers))
            self._daemon.set_sessions(config.asn, route_servers, on=config.sessions)
            if config.sessions and not self._sessions:
                self._state.awaited(route_servers)
            self._sessions = config.sessions
            _log.info("sessions with the route server %s", "on" if self._sessions else "off")
        ranges = Ranges(tuple(map(str, config.originated)), tuple(map(str, config.adjacent)))
        if again or ranges != self._ranges:
            self._daemon.set_ranges(config.asn, str(config.subnet_gateway), ranges, vpn=config.vpn)
            self._ranges = ranges

    def _advertised(self, peer: str) -> tuple[AdvertisedPath, ...]:
        """The Adj-RIB-Out of a peer (its address); nothing while the daemon does not answer."""
        try:
            return self._daemon.advertised(peer)
        except (NoAnswer, ValueError):
            return ()

    def _neighbours(self) -> tuple[BgpNeighbour, ...]:
        """The daemon's neighbours; none while it does not answer."""
        try:
            return self._daemon.peers()
        except (NoAnswer, ValueError):
            return ()

    def _ready(self) -> None:
        if self._config is not None and self._state.connected:
            self._settings.mark_ready()


def _announced(messages: Iterable[Message]) -> set[str]:
    """The prefixes that are there after these messages."""
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
