"""How the outcomes of checks are shown."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable

from labkit.cli.output import Colour, paint, put, say
from labkit.operate.verify import Outcome


def failures(outcomes: Iterable[Outcome], tell: Callable[[str], None] = say) -> list[Outcome]:
    """Tell what does not hold, and return it."""
    bad = [outcome for outcome in outcomes if not outcome.ok]
    for outcome in bad:
        where = f"  (line {outcome.line})" if outcome.line else ""
        mark = paint("✗", Colour.RED, sys.stderr if tell is say else sys.stdout)
        tell(f" {mark} {outcome.title}{where}\n     {outcome.problem}")
    return bad


def listing(outcomes: Iterable[Outcome]) -> None:
    """Print every outcome, in order; what does not hold with its reason."""
    for outcome in outcomes:
        if outcome.ok:
            put(f" {paint('✓', Colour.GREEN)} {outcome.title}")
        else:
            failures([outcome], put)
