"""Ctrl-C and similar signals become one exception, once, and never in the middle of what must stay whole."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""A user's Ctrl-C, a service manager's or CI's stop, a terminal that was closed."""


class Interrupted(BaseException):
    """A signal asked labkit to end. Not an `Exception`: only the end of the program may catch it."""


def interruptible() -> None:
    """Let the first of the signals that end labkit raise `Interrupted` in the main thread.

    After the first comes cleaning up, and closing a terminal sends two. A signal that the caller has set to be ignored
    (`nohup`, a job in the background) stays ignored.
    """
    for number in ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _first)


def settled() -> None:
    """Ignore those signals from now on: the work is done, or is being undone."""
    for number in ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            # Not SIG_IGN: programs that are started for cleaning up would inherit it.
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
        yield  # no other thread receives signals
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
