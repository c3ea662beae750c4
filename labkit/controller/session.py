"""BGP sessions as the platform knows them."""

from __future__ import annotations

from labkit.feed.bgp import SessionState


def shown(session: SessionState | None, *, alive: bool) -> tuple[str, float | None, str]:
    """A session's state, since when (Unix seconds, None if that is not known) and why, for `GET /v1/status`.

    `alive`: whether the instance is up whose session it is.
    """
    if session is None:
        return "Idle" if alive else "instance down", None, ""
    return session.state, session.since, session.reason
