"""How the outcomes of checks are shown."""

from __future__ import annotations

from collections.abc import Iterable

from labkit.cli.output import say
from labkit.operate.verify import Outcome


def failures(outcomes: Iterable[Outcome]) -> list[Outcome]:
    """Say what does not hold, and return it."""
    bad = [outcome for outcome in outcomes if not outcome.ok]
    for outcome in bad:
        where = f"  (line {outcome.line})" if outcome.line else ""
        say(f" ✗ {outcome.title}{where}\n     {outcome.problem}")
    return bad
