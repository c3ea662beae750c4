"""When something that is asked again and again counts as dead, and when as alive again."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Judge:
    """Takes one answer after the other. It is patient in both directions, so that one lost packet moves no traffic.

    `up` is the judgement so far. It begins with a service that is taken for well, as its prefixes are advertised.
    """

    failures_to_die: int = 3
    answers_to_live: int = 3
    up: bool = True
    _against: int = 0

    def take(self, answered: bool) -> bool:
        """Take an answer, or its lack; returns whether the judgement has changed by it."""
        if answered == self.up:
            self._against = 0
            return False
        self._against += 1
        if self._against < (self.failures_to_die if self.up else self.answers_to_live):
            return False
        self.up, self._against = answered, 0
        return True
