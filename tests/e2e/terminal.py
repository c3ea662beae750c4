"""The far side of a terminal that a test has given to a program."""

from __future__ import annotations

import os
import select
import subprocess
import time

from tests.e2e.waiting import SOON


def read_until(descriptor: int, words: bytes, within: float = SOON) -> bytes:
    """What comes until `words` are in it."""
    seen = b""
    deadline = time.monotonic() + within
    while words not in seen:
        left = deadline - time.monotonic()
        assert left > 0, f"{words!r} not within {within} s; came: {seen!r}"
        if select.select([descriptor], [], [], left)[0]:
            seen += os.read(descriptor, 4096)
    return seen


def drained(master: int, process: subprocess.Popen[bytes]) -> int | None:
    """The exit status; what it prints meanwhile is taken, or it could not end."""
    if select.select([master], [], [], 0)[0]:
        try:
            os.read(master, 4096)
        except OSError:  # nobody has the terminal any more
            return process.wait(SOON)
    return process.poll()
