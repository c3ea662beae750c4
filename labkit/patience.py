"""Who is waited for: whoever waits for another process names it here, and the command line shows that it takes long."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

AFTER = 2.0
"""Seconds of waiting after which it is shown."""

Show = Callable[[str], None]

_listeners: list[Show] = []
_shown: set[str] = set()


def show_waits(show: Show) -> None:
    """Have `show` called, in another thread, with whom this process waits for; each wait once."""
    _listeners[:] = [show]


@contextmanager
def waiting(text: str, seconds: float) -> Iterator[None]:
    """Name for the time of the context whom this process waits for, and for how many seconds at most."""
    if not _listeners:
        yield
        return
    timer = threading.Timer(AFTER, _show, [f"waiting for {text}, at most {seconds:g} s"])
    timer.daemon = True
    with suppress(RuntimeError):  # a limit on processes leaves no thread for it
        timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _show(text: str) -> None:
    if text not in _shown:
        _shown.add(text)
        for show in _listeners:
            show(text)
