"""Azure's limit on routes per peer, counted over announcements that arrive as many UPDATEs.

The rule compares the routes held plus the routes announced, "however many BGP messages carry it" (`azure.limits`).
What one announcement is, a stream of UPDATEs doesn't say; we take those without a pause between them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from labkit.azure.limits import counted_routes, tears_down

PAUSE = 1.0
"""Seconds without an UPDATE that end an announcement."""

LONGEST = 10.0
"""Seconds after which a new announcement begins though there was no pause, lest a peer that never rests adds up."""


@dataclass
class RouteCounter:
    """Counts one peer's announcements. Times are Unix seconds."""

    _began: float = float("-inf")
    _latest: float = float("-inf")
    _held: int = 0
    _announced: set[str] = field(default_factory=set)

    def exceeds(self, held: int, announced: Iterable[str], limit: int, now: float) -> int | None:
        """Count prefixes that a peer announces, while `held` routes are held from it.

        Returns:
            The count if it ends the session, else None.
        """
        if now - self._latest >= PAUSE or now - self._began >= LONGEST:
            self._began, self._held, self._announced = now, held, set()
        self._latest = now
        self._announced.update(announced)
        if tears_down(self._held, len(self._announced), limit):
            return counted_routes(self._held, len(self._announced))
        return None
