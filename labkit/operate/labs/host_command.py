"""A command on this machine, beside other work: its output line by line, its end, and no process left of it."""

from __future__ import annotations

import os
import selectors
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from labkit.errors import InvalidInput

_GRACE = 10.0
"""Seconds that a command has to clean up, if it must be ended."""


def executable(name: str) -> str:
    """The program that a command means. `labkit` is always found.

    Raises:
        InvalidInput: there is none.
    """
    own = Path(sys.argv[0]).parent
    found = shutil.which(name) or (shutil.which(name, path=str(own)) if name == "labkit" else None)
    if found is None:
        raise InvalidInput(
            f"there is no command {name} on this machine.",
            "Give a program and its arguments; a shell's own words need a shell: sh -c '...'.",
        )
    return found


class HostCommand:
    """A command that was started. `ended` is when, by the monotonic clock; None while it runs."""

    def __init__(self, argv: Sequence[str], selector: selectors.BaseSelector, said: Callable[[str], None]) -> None:
        """Start it; `said` gets each line of its output, when `selector` finds some and calls its data."""
        try:
            # A session of its own: Ctrl-C is for labkit, which ends the command and what it has started.
            self._process = subprocess.Popen(
                [executable(argv[0]), *argv[1:]],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            raise InvalidInput(f"{argv[0]} can't be started: {error}.", "Give a program that runs here.") from error
        assert self._process.stdout is not None
        self._out = self._process.stdout
        self._said = said
        self._begun = b""
        self._selector = selector
        self._ended: float | None = None
        selector.register(self._out, selectors.EVENT_READ, self._read)

    @property
    def ended(self) -> float | None:
        """When it was first seen to have ended."""
        if self._ended is None and self._process.poll() is not None:
            self._ended = time.monotonic()
        return self._ended

    @property
    def status(self) -> int | None:
        """Its exit status, 128 + N if signal N ended it; None while it runs."""
        code = self._process.poll()
        return code if code is None or code >= 0 else 128 - code

    def close(self) -> None:
        """End it, and what it has started, if it has not ended."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self._process.poll() is None:
                with suppress(PermissionError, subprocess.TimeoutExpired):  # another user's, by sudo
                    os.killpg(self._process.pid, number)
                    self._process.wait(_GRACE)
        with suppress(KeyError):  # it is at its end, and nobody watches it any more
            self._selector.unregister(self._out)
        self._out.close()

    def _read(self) -> None:
        data = os.read(self._out.fileno(), 1 << 16)
        *lines, self._begun = (self._begun + data).split(b"\n")
        if not data:
            self._selector.unregister(self._out)
            lines = [self._begun] if self._begun else []
        for line in lines:
            self._said(line.decode(errors="replace"))
