"""What a gateway's instance has from its neighbours, and what of it was reported to the controller."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from labkit.azure.model import PathAttributes
from labkit.daemons.tables import ESTABLISHED
from labkit.feed.bgp import RibDelta, RibSnapshot, SessionState
from labkit.feed.reporter import RibReporter
from labkit.gateway.bmp import BmpUpdate, EndOfRoutes, Message, PeerDown, PeersListed, PeerUp

IDLE = "Idle"


class State:
    """Sessions and kept routes by neighbour (its address). `connected` is whether the daemon reports at all.

    `whole` turns true once all that the daemon has is known here: before that, a snapshot would take routes away.
    """

    def __init__(self) -> None:
        self.connected = False
        self.whole = False
        self._to_come: set[str] = set()
        self._sessions: dict[str, SessionState] = {}
        self._kept: dict[str, dict[str, PathAttributes]] = {}
        self._reporter = RibReporter()

    def take(self, message: Message) -> None:
        """Something happened to a session or its routes."""
        match message:
            case PeerUp():
                self._sessions[message.peer] = SessionState(ESTABLISHED, message.time)
            case PeerDown():
                self._sessions[message.peer] = SessionState(IDLE, message.time, message.reason)
                self._forget(message.peer)
                self._came(message.peer)
            case PeersListed():
                self._to_come = {peer for peer, session in self._sessions.items() if session.established}
                self.whole |= not self._to_come
            case EndOfRoutes():
                self._came(message.peer)
            case BmpUpdate():
                kept = self._kept.setdefault(message.peer, {})
                for prefix in message.withdrawn:
                    if kept.pop(prefix, None) is not None:
                        self._reporter.route_changed(message.peer, prefix)
                for prefix in message.announced:
                    assert message.attributes is not None
                    kept[prefix] = message.attributes
                    self._reporter.route_changed(message.peer, prefix)

    def awaited(self, peers: Iterable[str]) -> None:
        """Sessions with these neighbours are wanted from now on: why they ended before no longer counts."""
        for peer in self._sessions.keys() & set(peers):
            session = self._sessions[peer]
            if not session.established:
                self._sessions[peer] = replace(session, reason="being set up")

    def lost(self, now: float) -> None:
        """The daemon is gone, and every session with it."""
        self.connected = False
        self.whole = True
        for peer in self._sessions:
            self._sessions[peer] = SessionState(IDLE, now, "the BGP daemon is gone")
            self._forget(peer)

    def is_up(self, peer: str) -> bool:
        """Whether the session with a peer is Established."""
        return peer in self._sessions and self._sessions[peer].established

    def become(self, renewed: State, now: float) -> None:
        """Take over what the daemon reports again from the beginning; when old sessions began is wrong in that."""
        for peer, session in renewed._sessions.items():
            if peer not in self._sessions or self._sessions[peer].state != session.state:
                self._sessions[peer] = replace(session, since=now)
        for peer in self._kept.keys() | renewed._kept.keys():
            mine, new = self._kept.get(peer, {}), renewed._kept.get(peer, {})
            for prefix in mine.keys() | new.keys():
                if mine.get(prefix) != new.get(prefix):
                    self._reporter.route_changed(peer, prefix)
        self._kept = renewed._kept
        self.whole = True

    def snapshot(self, now: float) -> RibSnapshot:
        """Everything, for a controller that knows nothing."""
        return self._reporter.snapshot(self._sessions, self._kept, now)

    def delta(self, now: float) -> RibDelta | None:
        """What changed since the last report; None if nothing did."""
        return self._reporter.delta(self._sessions, lambda peer, prefix: self._kept.get(peer, {}).get(prefix), now)

    def _came(self, peer: str) -> None:
        if peer in self._to_come:
            self._to_come.remove(peer)
            self.whole |= not self._to_come

    def _forget(self, peer: str) -> None:
        for prefix in self._kept.pop(peer, {}):
            self._reporter.route_changed(peer, prefix)
