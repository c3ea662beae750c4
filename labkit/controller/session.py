"""BGP sessions as the platform knows them."""

from __future__ import annotations

from typing import Any

from labkit.feed.bgp import Session


def session_json(session: Session | None, *, alive: bool) -> dict[str, Any]:
    """A session as `GET /v1/status` has it; `alive` says whether the instance is that should know of it."""
    if session is None:
        return {"state": "Idle" if alive else "instance down", "since": None, "reason": ""}
    return {"state": session.state, "since": session.since, "reason": session.reason}
