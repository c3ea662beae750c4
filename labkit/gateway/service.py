"""The service next to a gateway's daemon: it reports what the daemon learns and does what the controller wants."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address
from typing import TypeAlias

from labkit.daemons.errors import NoAnswer
from labkit.daemons.protocol import BmpHabits, GatewayControl, GatewayRanges
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
from labkit.feed.client import Feed, Lost, Received, follow
from labkit.feed.service import Inbox, Settings, watch
from labkit.gateway.bmp import CLOSED_HERE, Message, PeerDown
from labkit.gateway.kernel import KernelRoutes
from labkit.gateway.link import set_up
from labkit.gateway.monitor import BmpEvent, Connected, Disconnected, Reported, listen
from labkit.gateway.state import State

PATIENCE = 5.0
"""Seconds that the daemon may take to report all that it has, before it counts as having nothing."""

_PAUSE = 0.05

_log = logging.getLogger("gateway")

_Event: TypeAlias = BmpEvent | Received[ToGateway, FromGateway] | Lost[ToGateway, FromGateway]


class GatewayService:
    """A gateway's process: everything is done in the main thread, event by event; other threads only read."""

    def __init__(self, settings: Settings, daemon: GatewayControl, bmp: BmpHabits, bmp_port: int) -> None:
        self._settings = settings
        self._daemon = daemon
        self._bmp = bmp
        self._bmp_port = bmp_port
        self._inbox: Inbox[_Event] = Inbox()
        self._due: dict[Callable[[], None], float] = {self._stop_waiting: time.monotonic() + PATIENCE}
        """What is to be done, and when (monotonic clock)."""
        self._state = State()
        self._renewed: State | None = None
        """What the daemon reports from the beginning, on a connection after one that was closed here."""
        self._feed: Feed[ToGateway, FromGateway] | None = None
        self._reported = False
        """Whether the controller has got its snapshot on this feed."""
        self._config: GatewayConfig | None = None
        self._sessions: bool | None = None
        self._with_gateways: bool | None = None
        self._ranges: GatewayRanges | None = None
        """These are what the daemon is configured with; None if that is not known."""
        self._links: tuple[object, object] | None = None
        """The lines and tunnels, and the static routes, as they were switched last."""
        self._connected_interfaces: set[str] = set()
        """The interfaces of those that were switched on."""
        self._connection: socket.socket | None = None
        """The daemon's present connection."""
        self._gone: set[str] = set()
        """Peers that went down, whose routes the daemon is about to clear."""
        self._clears_by = 0.0
        """When that counts as done in any case (monotonic clock)."""

    def run(self) -> None:
        """Serve until killed."""
        listener = socket.create_server(("127.0.0.1", self._bmp_port))
        routes = KernelRoutes()
        watch("bmp", lambda: listen(listener, self._bmp, routes, self._inbox.put))
        follow(self._settings, GATEWAY, self._inbox.put)
        while True:
            first = min(self._due.values(), default=None)
            timeout = None if first is None else max(0.0, first - time.monotonic())
            for event in self._inbox.collect(timeout):
                self.handle(event)
            self.do_due(time.monotonic())

    def handle(self, event: _Event) -> None:
        """Take an event."""
        match event:
            case Connected():
                self._connected(event.connection)
            case Reported():
                self._take(event.messages)
            case Disconnected():
                self._disconnected()
            case Received(feed, seq, message):
                self._received(feed, seq, message)
            case Lost(feed) if feed is self._feed:
                self._feed = None

    def do_due(self, now: float) -> None:
        """Do what was to be done until `now` (monotonic clock)."""
        for work in [work for work, due in self._due.items() if due <= now]:
            del self._due[work]
            work()

    # The controller.

    def _received(self, feed: Feed[ToGateway, FromGateway], seq: int, message: ToGateway) -> None:
        match message:
            case GatewayConfig():
                self._config = message
                self._switch()
                if self._feed is not feed:
                    self._feed, self._reported = feed, False
                self._report()
                self._ready()
            case AdjRibOutQuery():
                feed.send(AdvertisedPaths(seq, self._advertised(message.peer)))
            case NeighboursQuery():
                feed.send(NeighbourStates(seq, self._neighbours()))

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
        self._state.whole = True
        self._report()

    # The daemon's reports.

    def _connected(self, connection: socket.socket) -> None:
        if self._due.pop(self._lose, None) is not None:
            self._renewed = State()
        else:
            self._renewed = self._sessions = self._with_gateways = self._ranges = None
        self._connection = connection
        self._state.connected = True
        # It may have just read its configuration, or been configured by the service before this one.
        self._switch(again=True)
        self._ready()

    def _take(self, messages: tuple[Message, ...]) -> None:
        for message in messages:
            state = self._state if self._renewed is None else self._renewed
            if self._bmp.stalls_after_down and isinstance(message, PeerDown) and state.is_up(message.peer):
                self._renew(message.peer)
            state.take(self._explained(message))
            if self._renewed is not None and self._renewed.whole:
                self._state.become(self._renewed, time.time())
                self._renewed = None
        self._report()

    def _disconnected(self) -> None:
        self._connection = None
        if self._lose not in self._due:
            self._lose()

    def _lose(self) -> None:
        self._state.lost(time.time())
        self._report()

    def _renew(self, peer: str) -> None:
        """Have the daemon report everything again, on another connection, once it has cleared a lost peer's routes.

        FRR has every route that it clears, or that was withdrawn just before, in its queue of reports. There it finds
        that the session is down, reports nothing, and goes on with the queue only when the next route comes: it would
        be behind by as many as there were.
        """
        if not self._gone:
            self._clears_by = time.monotonic() + PATIENCE
            self._due[self._close_once_cleared] = 0.0
        self._gone.add(peer)

    def _close_once_cleared(self) -> None:
        """Close the connection if the daemon has cleared the routes of lost peers, or ask again after a pause.

        It has to be asked: FRR reports the clearing neither by BMP, whose queue is what stalls, nor otherwise, and of
        routes that it did not use the kernel sees nothing.
        """
        now = time.monotonic()
        if now < self._clears_by and self._daemon.has_paths_of(frozenset(self._gone)):
            self._due[self._close_once_cleared] = now + _PAUSE
            return
        self._gone.clear()
        if self._connection is None:  # nothing is queued
            return
        try:
            self._connection.shutdown(socket.SHUT_RDWR)
        except OSError:  # the daemon has closed it meanwhile
            return
        self._due[self._lose] = now + PATIENCE

    def _explained(self, message: Message) -> Message:
        """A message with the reason for a closed session that the daemon leaves out."""
        if not isinstance(message, PeerDown) or message.reason != CLOSED_HERE:
            return message
        config = self._config
        if config is not None and not config.sessions and IPv4Address(message.peer) in config.route_servers:
            return replace(message, reason=config.no_sessions)
        links = config.links if config is not None else ()
        if any(str(link.far) == message.peer and not link.connected for link in links):
            return replace(message, reason="the connection is deleted")
        return replace(message, reason=self._daemon.why_closed(message.peer) or CLOSED_HERE)

    # The daemon's configuration, and what it shows.

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
        if again or config.with_gateways != self._with_gateways:
            self._daemon.set_neighbours(config.asn, tuple(map(str, config.gateways)), on=config.with_gateways)
            self._with_gateways = config.with_gateways
        self._connect(config, again=again)
        ranges = GatewayRanges(tuple(map(str, config.originated)), tuple(map(str, config.adjacent)))
        if again or ranges != self._ranges:
            self._daemon.set_ranges(config.asn, str(config.subnet_gateway), ranges, vpn=config.vpn)
            self._ranges = ranges

    def _connect(self, config: GatewayConfig, *, again: bool) -> None:
        """Switch lines and tunnels on or off, with what goes over them."""
        if not again and (config.links, config.static_routes) == self._links:
            return
        connected = {link.interface for link in config.links if link.connected}
        for interface in connected - self._connected_interfaces:  # once: whoever cuts a line by hand finds it cut
            set_up(interface, up=True)
        self._connected_interfaces = connected
        sessions = {str(link.far): link.connected for link in config.links if link.bgp}
        if sessions:
            self._daemon.set_connections(config.asn, sessions, vpn=config.vpn)
        built, routes = (
            [(str(prefix), str(far)) for prefix, far in each] for each in (config.built_routes, config.static_routes)
        )
        if built:
            self._daemon.set_static_routes(config.asn, built, routes)
        for link in config.links:
            if not link.connected:  # its session is shut down before, so that the far end gets a NOTIFICATION
                set_up(link.interface, up=False)
        self._links = config.links, config.static_routes

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
