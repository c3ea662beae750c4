"""What Azure compares with its limits, counted over announcements that arrive as many UPDATEs.

A rule compares the routes held plus the routes announced, "however many BGP messages carry it" (`azure.rules.limits`).
A stream of UPDATEs does not show what one announcement is; we take those without a pause between them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

PAUSE = 1.0
"""Seconds without an UPDATE that end an announcement."""

LONGEST = 10.0
"""Seconds after which a new announcement begins though there was no pause, lest a peer that never rests adds up."""


@dataclass
class RouteCounter:
    """Counts one peer's announcements. Times are Unix seconds.

    Attributes:
        held: routes held from the peer when its announcement began.
    """

    held: int = 0
    _began: float = float("-inf")
    _latest: float = float("-inf")
    _announced: set[str] = field(default_factory=set)

    @property
    def announced(self) -> int:
        """Routes in the announcement so far."""
        return len(self._announced)

    def count(self, held: int, announced: Iterable[str], now: float) -> None:
        """The peer announces these prefixes, while `held` routes are held from it."""
        if now - self._latest >= PAUSE or now - self._began >= LONGEST:
            self._began, self.held, self._announced = now, held, set()
        self._latest = now
        self._announced.update(announced)
