"""The process behind an instance's speaker: one loop over one inbox, filled by threads that only read.

It is the child of `keeper`, which replaces it when it dies or hangs, and which holds ExaBGP's pipes meanwhile.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from labkit.feed.bgp import (
    ROUTE_SERVER,
    AdjRibInQuery,
    AdjRibOutQuery,
    FromRouteServer,
    InstanceDown,
    RefreshRoutes,
    Routes,
    RouteServerConfig,
    SessionRefused,
    SessionsClosed,
    ToRouteServer,
)
from labkit.feed.client import Lost, Received, follow
from labkit.feed.service import Inbox, Settings
from labkit.routeserver import wire
from labkit.routeserver.feed import FeedWriter, InstanceFeed, Sent
from labkit.routeserver.instance import InstanceState
from labkit.routeserver.neighbours import FileRefused, Neighbours
from labkit.routeserver.policy import PolicyConfig
from labkit.routeserver.reasons import SPEAKER_ENDED
from labkit.routeserver.recovery import Recovered, Recovery, RecoveryFailed
from labkit.routeserver.refusals import Refusals
from labkit.routeserver.rib import RibChange
from labkit.routeserver.speaker import WINDOW, Speaker

SERVICE = "exabgp"

EXIT_DONE = 0
EXIT_SPEAKER_BROKEN = 70
"""The exit code that asks the keeper to end ExaBGP, so that its supervisor starts both afresh."""

EXIT_SHUT_DOWN = 71
"""The exit code for: peers have received a NOTIFICATION, and ExaBGP may be ended."""

TICK = 1.0
PING_AFTER = 5
REFRESH_PATIENCE = 5
SHUTDOWN_PATIENCE = 2
LAST_REPORT_PATIENCE = 1.0

MAX_COALESCED = 4000
"""Prefixes that go out at a time: what is left over can still be replaced by newer changes."""

QUIET, LONGEST_HOLD = 0.03, 2.0
"""Seconds without an UPDATE before changes go out, and for which a stream of them may hold changes back.

ExaBGP does both jobs in one thread, one received UPDATE to 50 announced prefixes: relaying at once would make a peer's
thousand routes reach the controller, and the VMs, many times later."""

CEASE_MAXIMUM_PREFIXES = 1
CEASE_ADMINISTRATIVE_SHUTDOWN = 2
CEASE_ADMINISTRATIVE_RESET = 4

_log = logging.getLogger("labkit.routeserver")


@dataclass(frozen=True, slots=True)
class Shutdown:
    """The keeper asks the worker to end."""


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """What a worker needs to know. `patience` is in ticks of a second; a stopped machine has no ticks.

    `configuration` is the file that ExaBGP was started with, and reads again at a reload.
    """

    place: Settings
    patience: int
    keeper: int
    configuration: Path


_Received: TypeAlias = Received[ToRouteServer, FromRouteServer]
_Lost: TypeAlias = Lost[ToRouteServer, FromRouteServer]
Item: TypeAlias = bytes | _Received | _Lost | Sent | Shutdown


class Worker:
    """The loop. `run` returns the exit code."""

    def __init__(self, settings: WorkerSettings, stdin: int, stdout: int, beat: Callable[[], None]) -> None:
        """`beat` is called at least once a tick while all is well."""
        self._settings = settings
        self._beat = beat
        self._inbox: Inbox[Item] = Inbox()
        self._speaker = Speaker(stdin, stdout, self._inbox.put)
        self._writer = FeedWriter(self._inbox.put)
        self._line = b""
        self._recovery: Recovery | None = Recovery()
        self._instance: InstanceState | None = None
        self._neighbours: Neighbours | None = None
        self._reload_due = True
        self._reported_alone = False
        self._refresh_due = False
        self._refusals = Refusals()
        self._recovering_ticks = 0
        self._ticked = time.monotonic()
        self._silent_ticks = 0
        self._updates = 0
        self._updated = 0.0
        self._held_since: float | None = None
        self._shutdown_ticks: int | None = None
        self._ending = False
        self._pending_config: _Received | None = None
        self._feed: InstanceFeed | None = None
        self._sending = 0
        self._ready = False

    def run(self) -> int:
        """Work until ExaBGP ends, or must be ended."""
        signal.signal(signal.SIGTERM, lambda *_: self._inbox.put(Shutdown()))
        self._speaker.start()
        self._speaker.send(wire.RECOVERY)
        self._writer.start()
        follow(self._settings.place, ROUTE_SERVER, self._inbox.put)
        try:
            while True:
                self._beat()
                for item in self._inbox.collect(TICK if self._held_since is None else QUIET):
                    code = self._take(item)
                    if code is not None:
                        return code
                code = self._tick_if_due()
                if code is not None:
                    return code
                self._act()
                if self._shutdown_ticks is not None and (self._instance is None or not self._instance.established):
                    return EXIT_SHUT_DOWN
        except RecoveryFailed as failed:
            _log.error("%s; starting both afresh", failed)
            return EXIT_SPEAKER_BROKEN

    def _tick_if_due(self) -> int | None:
        """Tick once if a tick's time has passed: a process that was stopped meanwhile has missed the others."""
        now = time.monotonic()
        if now - self._ticked < TICK:
            return None
        self._ticked = now
        return self._tick()

    def _take(self, item: Item) -> int | None:
        match item:
            case bytes():
                return self._read_speaker(item)
            case Received():
                self._received(item)
            case Lost():
                self._lost(item.feed)
            case Sent():
                self._sending -= 1
            case Shutdown():
                self._shut_down()
        return None

    # ExaBGP.

    def _read_speaker(self, chunk: bytes) -> int | None:
        if not chunk:
            return self._speaker_ended()
        self._silent_ticks = 0
        *lines, self._line = (self._line + chunk).split(b"\n")
        answers = 0
        for line in lines:
            event = wire.decode(line.decode("ascii", "replace"))
            if isinstance(event, wire.Answer):
                answers += 1
                if not event.done:
                    _log.error("ExaBGP refused a command")
            if isinstance(event, wire.Ending):
                return self._speaker_ended()
            if event is not None:
                self._event(event)
        if answers:
            self._speaker.answered(answers)
        return None

    def _event(self, event: wire.Event) -> None:
        if self._recovery is not None:
            asked = self._recovery.refreshes
            recovered = self._recovery.take(event)
            if recovered is not None:
                self._recovered(recovered)
            elif self._recovery.refreshes != asked:
                self._speaker.send(wire.refresh(peer) for peer in self._recovery.refreshes)
            return
        assert self._instance is not None
        match event:
            case wire.Update():
                self._updates += 1
                self._instance.update(event)
            case wire.SessionChange():
                if event.reason == SPEAKER_ENDED:
                    self._end(SPEAKER_ENDED)
                if event.notified and not self._instance.session_is_up(event.peer):
                    self._refused(self._instance, event.peer, event.reason)
                self._instance.session_changed(event)
                if event.state != wire.OPEN_SENT:
                    _log.info("session with %s: %s%s", event.peer, event.state, event.reason and f", {event.reason}")
            case wire.RefusedConnection():
                self._refused(self._instance, event.address, event.reason)
            case wire.ShownNeighbours() if self._neighbours is not None:
                self._neighbours.shown(event.asns)
                self._instance.speaks_with(event, time.time())
                self._refresh(event)
            case _:
                pass

    def _refused(self, instance: InstanceState, address: str, reason: str) -> None:
        """A session with an address was refused before it was established."""
        if self._feed is not None and not self._ending and self._refusals.is_news(address, reason, time.monotonic()):
            self._send(SessionRefused(address, instance.name(address), reason))

    def _recovered(self, recovered: Recovered) -> None:
        self._recovery, self._instance = None, InstanceState(recovered, time.time())
        self._neighbours = Neighbours(self._settings.configuration, recovered.asns)
        self._speaker.nudging = True
        if self._pending_config is not None:
            self._received(self._pending_config)

    def _speaker_ended(self) -> int:
        """Report the instance as down, unless it is the keeper who died: ExaBGP then closed our pipes, not its own."""
        if os.getppid() == self._settings.keeper:
            self._end(SPEAKER_ENDED)
            self._finish_sending()
        return EXIT_DONE

    def _end(self, reason: str) -> None:
        """Report the instance as down, and nothing after that.

        First of all: an instance that ends loses one session after the other, but no NIC may be left with the routes of
        those that are still to end.
        """
        if not self._ending and self._feed is not None:
            self._send(InstanceDown(reason, time.time()))
        self._ending = True

    def _finish_sending(self) -> None:
        """Let the controller have what was sent, before this process ends."""
        deadline = time.monotonic() + LAST_REPORT_PATIENCE
        while self._sending and (left := deadline - time.monotonic()) > 0:
            self._sending -= sum(isinstance(item, Sent) for item in self._inbox.collect(left))

    # The controller.

    def _lost(self, feed: InstanceFeed) -> None:
        if feed is self._feed:
            self._feed = None
        if self._pending_config is not None and self._pending_config.feed is feed:
            self._pending_config = None

    def _received(self, received: _Received) -> None:
        feed, message = received.feed, received.message
        if self._instance is None:
            # Neither judge nor report before it is known where things stand.
            if isinstance(message, RouteServerConfig):
                self._pending_config = received
            return
        match message:
            case RouteServerConfig() if self._ending:
                pass
            case RouteServerConfig():
                self._configure(feed, self._instance, message)
            case RefreshRoutes():
                self._refresh_due = True
                self._speaker.send([wire.SHOW_NEIGHBOURS])
            case AdjRibInQuery():
                self._answer(feed, Routes(received.seq, self._instance.received(message.peer)))
            case AdjRibOutQuery():
                self._answer(feed, Routes(received.seq, self._instance.advertised(message.peer)))

    def _configure(self, feed: InstanceFeed, instance: InstanceState, config: RouteServerConfig) -> None:
        assert self._neighbours is not None
        self._neighbours.want(config.neighbours)
        self._reload_due, self._reported_alone = True, False
        others = instance.configure(PolicyConfig(config.instance, config.server, config.originated))
        if others or feed is not self._feed:
            self._feed = feed
            instance.settle()
            self._send(instance.snapshot(time.time()))

    def _answer(self, feed: InstanceFeed, answer: Routes) -> None:
        self._sending += 1
        self._writer.send(feed, answer)

    def _send(self, message: FromRouteServer) -> None:
        assert self._feed is not None
        self._sending += 1
        self._writer.send(self._feed, message)

    def _report(self) -> None:
        """Report what changed, once the last report has left."""
        if self._feed is None or self._sending or self._instance is None or self._ending:
            return
        delta = self._instance.delta(time.time())
        if delta is not None:
            self._send(delta)

    # What follows.

    def _act(self) -> None:
        instance = self._instance
        if instance is None:
            return
        while instance.over_limit:
            self._speaker.send([wire.teardown(instance.over_limit.pop(), CEASE_MAXIMUM_PREFIXES)])
        instance.settle()
        self._report()
        if not self._holding() and self._speaker.outstanding < WINDOW:
            for change in instance.changes(MAX_COALESCED):
                self._speaker.send(_commands(change))
        self._reload()
        if self._feed is not None and instance.alone and not self._reported_alone and not self._ending:
            self._reported_alone = True
            self._send(SessionsClosed(time.time()))
        if not self._ready and instance.configured and not instance.out and not self._speaker.outstanding:
            self._ready = True
            self._settings.place.mark_ready()

    def _reload(self) -> None:
        """Let ExaBGP have the neighbours that it should: when it has nothing to send, and once a tick."""
        assert self._instance is not None
        assert self._neighbours is not None
        if self._neighbours.settled or not self._reload_due or self._instance.out or self._speaker.outstanding:
            return
        self._reload_due = False
        try:
            self._speaker.send(self._neighbours.reload())
        except FileRefused as error:
            _log.error("ExaBGP's neighbours stay as they are: %s", error)
            self._neighbours.keep()
        except (OSError, subprocess.SubprocessError) as error:
            _log.error("ExaBGP's neighbours are not changed yet: %s", error)  # the next tick tries again

    def _refresh(self, shown: wire.ShownNeighbours) -> None:
        """Have all NVAs advertise their routes again, if the controller has asked for it [refresh-at-peering]."""
        assert self._instance is not None
        if not self._refresh_due:
            return
        self._refresh_due = False
        asked, reset = self._instance.refresh(shown.refreshing)
        self._speaker.send(wire.refresh(peer) for peer in asked)
        self._speaker.send(wire.teardown(peer, CEASE_ADMINISTRATIVE_RESET) for peer in reset)

    def _holding(self) -> bool:
        """Whether changes wait for the end of a stream of UPDATEs."""
        now = time.monotonic()
        if self._updates:
            self._updates, self._updated = 0, now
            if self._held_since is None:
                self._held_since = now
        if self._held_since is None:
            return False
        if now - self._updated < QUIET and now - self._held_since < LONGEST_HOLD:
            return True
        self._held_since = None
        return False

    def _tick(self) -> int | None:
        """A second has passed."""
        self._reload_due = True
        outstanding = self._speaker.outstanding or self._recovery is not None
        self._silent_ticks += 1
        if outstanding and self._silent_ticks >= self._settings.patience:
            _log.error("ExaBGP has not answered for %d s; restarting it", self._silent_ticks)
            return EXIT_SPEAKER_BROKEN
        if not outstanding and self._silent_ticks >= PING_AFTER:
            self._speaker.send([wire.PING])
            self._silent_ticks = 0
        if self._recovery is not None and self._recovery.refreshes:
            self._recovering_ticks += 1
            recovered = self._recovery.late() if self._recovering_ticks >= REFRESH_PATIENCE else None
            if recovered is not None:
                self._recovered(recovered)
        if self._shutdown_ticks is not None:
            self._shutdown_ticks += 1
            if self._shutdown_ticks >= SHUTDOWN_PATIENCE:
                return EXIT_SHUT_DOWN
        return None

    def _shut_down(self) -> None:
        if self._shutdown_ticks is not None:
            return
        self._shutdown_ticks = 0
        self._end("the instance is shut down")
        if self._instance is not None:
            peers = sorted(self._instance.speakers_peers)
            self._speaker.send(wire.teardown(peer, CEASE_ADMINISTRATIVE_SHUTDOWN) for peer in peers)


def _commands(change: RibChange) -> Iterable[bytes]:
    if change.withdrawn:
        return wire.withdraw(change.peers, change.attributes, change.prefixes)
    return wire.announce(change.peers, change.attributes, change.prefixes)
