"""What an instance reports: a snapshot, then what changed since its last report."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from labkit.azure.model import PathAttributes
from labkit.feed.bgp import PeerRoutes, RibDelta, RibSnapshot, SessionState, Withdrawal, grouped


class RibReporter:
    """Remembers what was reported, so that repeating it costs nothing."""

    def __init__(self) -> None:
        self._sessions: dict[str, SessionState] = {}
        self._routes: dict[str, dict[str, PathAttributes]] = {}
        self._changed: dict[str, set[str]] = {}

    def route_changed(self, peer: str, prefix: str) -> None:
        """A peer's kept route for a prefix came, changed or went."""
        self._changed.setdefault(peer, set()).add(prefix)

    def snapshot(
        self, sessions: Mapping[str, SessionState], routes: Mapping[str, Mapping[str, PathAttributes]], now: float
    ) -> RibSnapshot:
        """Everything, given every peer's session and accepted routes, now (Unix seconds)."""
        self._sessions = dict(sessions)
        self._routes = {peer: dict(kept) for peer, kept in routes.items()}
        self._changed = {}
        return RibSnapshot(dict(sessions), _by_peer(self._routes), now)

    def delta(
        self, sessions: Mapping[str, SessionState], kept: Callable[[str, str], PathAttributes | None], now: float
    ) -> RibDelta | None:
        """What changed by now (Unix seconds); None if nothing did.

        A session that is not Established has lost its routes; they are not listed as withdrawn as well.
        """
        changed_sessions = {peer: s for peer, s in sessions.items() if self._sessions.get(peer) != s}
        for peer, session in changed_sessions.items():
            if not session.established:
                self._routes.pop(peer, None)
        self._sessions = dict(sessions)
        announced: dict[str, dict[str, PathAttributes]] = {}
        withdrawn: dict[str, list[str]] = {}
        for peer, prefixes in self._changed.items():
            reported = self._routes.setdefault(peer, {})
            for prefix in prefixes:
                attributes = kept(peer, prefix)
                if attributes == reported.get(prefix):
                    continue
                if attributes is None:
                    del reported[prefix]
                    withdrawn.setdefault(peer, []).append(prefix)
                else:
                    reported[prefix] = attributes
                    announced.setdefault(peer, {})[prefix] = attributes
        self._changed = {}
        if not changed_sessions and not announced and not withdrawn:
            return None
        withdrawals = tuple(Withdrawal(peer, tuple(prefixes)) for peer, prefixes in withdrawn.items())
        return RibDelta(changed_sessions, _by_peer(announced), withdrawals, now)


def _by_peer(routes: Mapping[str, Mapping[str, PathAttributes]]) -> tuple[PeerRoutes, ...]:
    return tuple(
        PeerRoutes(peer, group.attributes, group.prefixes)
        for peer, accepted in routes.items()
        for group in grouped(accepted.items())
    )
