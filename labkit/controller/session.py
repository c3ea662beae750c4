"""BGP sessions as the platform knows them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

ESTABLISHED = "Established"


@dataclass(frozen=True, slots=True)
class Session:
    """The state of one BGP session as the instance saw it last; `since` in Unix seconds."""

    state: str
    since: float
    reason: str = ""


def session_json(session: Session | None, *, alive: bool) -> dict[str, Any]:
    """A session as `GET /v1/status` has it; `alive` says whether the instance is that should know of it."""
    if session is None:
        return {"state": "Idle" if alive else "instance down", "since": None, "reason": ""}
    return {"state": session.state, "since": session.since, "reason": session.reason}
