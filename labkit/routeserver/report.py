"""What the controller is told: a snapshot, then what changed since it was last told anything."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from labkit.azure.model import PathAttributes
from labkit.routeserver.messages import grouped
from labkit.routeserver.wire import ESTABLISHED


@dataclass(frozen=True, slots=True)
class Session:
    """A session's BGP state, since when (Unix seconds) and why."""

    state: str
    since: float
    reason: str = ""


class Reporter:
    """Remembers what the controller was told, so that repeating it costs nothing. Peers go by name on the feed."""

    def __init__(self) -> None:
        self._sessions: dict[str, Session] = {}
        self._routes: dict[str, dict[str, PathAttributes]] = {}
        self._changed: dict[str, set[str]] = {}

    def route_changed(self, peer: str, prefix: str) -> None:
        """A peer's kept route for a prefix came, changed or went."""
        self._changed.setdefault(peer, set()).add(prefix)

    def snapshot(
        self, sessions: Mapping[str, Session], routes: Mapping[str, Mapping[str, PathAttributes]]
    ) -> dict[str, Any]:
        """The message that says everything, given every peer's session and kept routes."""
        self._sessions = dict(sessions)
        self._routes = {peer: dict(kept) for peer, kept in routes.items()}
        self._changed = {}
        return {"type": "snapshot", "sessions": _sessions(sessions), "routes": _by_peer(self._routes)}

    def delta(
        self, sessions: Mapping[str, Session], kept: Callable[[str, str], PathAttributes | None], now: float
    ) -> dict[str, Any] | None:
        """The message that says what changed by now (Unix seconds); None if nothing did.

        That a session is not Established says that its routes are gone; they are not listed as withdrawn as well.
        """
        changed_sessions = {peer: s for peer, s in sessions.items() if self._sessions.get(peer) != s}
        for peer, session in changed_sessions.items():
            if session.state != ESTABLISHED:
                self._routes.pop(peer, None)
        self._sessions = dict(sessions)
        announced: dict[str, dict[str, PathAttributes]] = {}
        withdrawn: dict[str, list[str]] = {}
        for peer, prefixes in self._changed.items():
            told = self._routes.setdefault(peer, {})
            for prefix in prefixes:
                attributes = kept(peer, prefix)
                if attributes == told.get(prefix):
                    continue
                if attributes is None:
                    del told[prefix]
                    withdrawn.setdefault(peer, []).append(prefix)
                else:
                    told[prefix] = attributes
                    announced.setdefault(peer, {})[prefix] = attributes
        self._changed = {}
        if not changed_sessions and not announced and not withdrawn:
            return None
        return {
            "type": "delta",
            "sessions": _sessions(changed_sessions),
            "announced": _by_peer(announced),
            "withdrawn": [{"peer": peer, "prefixes": prefixes} for peer, prefixes in withdrawn.items()],
            "time": now,
        }


def _sessions(sessions: Mapping[str, Session]) -> dict[str, Any]:
    return {peer: asdict(session) for peer, session in sessions.items()}


def _by_peer(routes: Mapping[str, Mapping[str, PathAttributes]]) -> list[dict[str, Any]]:
    return [{"peer": peer, **group} for peer, kept in routes.items() for group in grouped(kept.items())]
