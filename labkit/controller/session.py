"""BGP sessions as the platform knows them."""

from __future__ import annotations

from dataclasses import dataclass

ESTABLISHED = "Established"


@dataclass(frozen=True, slots=True)
class Session:
    """The state of one BGP session as the instance saw it last; `since` in Unix seconds."""

    state: str
    since: float
    reason: str = ""
