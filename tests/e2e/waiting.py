"""Waiting for a condition, with a deadline and the last state seen."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from labkit.errors import CheckFailed

T = TypeVar("T")

SOON = 60.0
"""Seconds within which comes what must come, on a busy machine too: more than any timer of a protocol in these labs."""

SHORTEST_PAUSE, LONGEST_PAUSE = 0.01, 0.2
"""Seconds between two looks: as long as a look takes, so that looking does not hold up what it waits for."""


def eventually(read: Callable[[], T], holds: Callable[[T], bool], within: float = SOON, what: str = "") -> T:
    """What `read` gives once `holds` is true of it; fails with `what` was waited for and the last value seen.

    A look that fails an assertion of its own, or that gets no answer of the lab, does not hold yet: a command may fail
    while what it looks at changes, as `ip route get` does between one route and the next. At the deadline that failure
    is the one reported.
    """
    deadline = time.monotonic() + within
    while True:
        began = time.monotonic()
        try:
            value = read()
        except (AssertionError, CheckFailed):
            if time.monotonic() >= deadline:
                raise
        else:
            if holds(value):
                return value
            assert time.monotonic() < deadline, (
                f"not within {within} s{f': {what}' if what else ''}; last seen: {value}"
            )
        time.sleep(min(max(SHORTEST_PAUSE, time.monotonic() - began), LONGEST_PAUSE))
