"""Waiting for a condition, with a deadline and the last state seen."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PAUSE = 0.01


def eventually(read: Callable[[], T], holds: Callable[[T], bool], within: float = 15.0, what: str = "") -> T:
    """What `read` gives once `holds` is true of it; fails with `what` was waited for and the last value seen."""
    deadline = time.monotonic() + within
    while True:
        value = read()
        if holds(value):
            return value
        assert time.monotonic() < deadline, f"not within {within} s{f': {what}' if what else ''}; last seen: {value}"
        time.sleep(PAUSE)
