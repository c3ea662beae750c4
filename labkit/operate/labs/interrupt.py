"""Ctrl-C and its kin: what ends labkit comes as one exception, once, and not in the middle of what must stay whole."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""A user's Ctrl-C, a service manager's or CI's stop, a terminal that was closed."""


class Interrupted(BaseException):
    """A signal asked labkit to end. Not an `Exception`: nothing but the way out may catch it."""


def interruptible() -> None:
    """Let the signals that end labkit raise `Interrupted`, in the main thread; only the first of them does.

    What follows the first is cleaning up, and whoever closes a terminal sends two. A signal that the caller has told us
    to ignore (`nohup`, a job in the background) stays ignored.
    """
    for number in ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _first)


def settled() -> None:
    """From now on those signals change nothing: what labkit was to do is done, or is being undone."""
    for number in ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            # Not SIG_IGN: programs that the cleaning up starts would inherit it.
            signal.signal(number, _later)


def _first(_number: int, _frame: FrameType | None) -> None:
    settled()
    raise Interrupted


def _later(_number: int, _frame: FrameType | None) -> None:
    """Labkit is ending already."""


@contextmanager
def held() -> Iterator[None]:
    """Hold back the signals that end labkit for the time of the context; one that came meanwhile then takes effect."""
    if threading.current_thread() is not threading.main_thread():
        yield  # no other thread hears signals
        return
    came: list[int] = []
    before = {}
    try:
        for number in ENDING:
            if signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, lambda number, _frame: came.append(number))
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if came:
        signal.raise_signal(came[0])
