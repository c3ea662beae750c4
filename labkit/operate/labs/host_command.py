"""A command on this machine that runs during other work: its output line by line, its end, no process left."""

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
"""Seconds that a command has to clean up if it is stopped."""


def executable(name: str) -> str:
    """The path of the program that a command names. `labkit` is always found.

    Raises:
        InvalidInput: there is no such program.
    """
    own = Path(sys.argv[0]).parent
    found = shutil.which(name) or (shutil.which(name, path=str(own)) if name == "labkit" else None)
    if found is None:
        raise InvalidInput(
            f"there is no command {name} on this machine.",
            "Give a program and its arguments; for shell syntax, use sh -c '...'.",
        )
    return found


class HostCommand:
    """A command that was started. `ended` is when, by the monotonic clock; None while it runs."""

    def __init__(self, argv: Sequence[str], selector: selectors.BaseSelector, on_line: Callable[[str], None]) -> None:
        """Start it; `on_line` gets each line of its output, when `selector` finds some and calls its data."""
        try:
            # A session of its own: Ctrl-C is for labkit, which stops the command and its children.
            self._process = subprocess.Popen(
                [executable(argv[0]), *argv[1:]],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            raise InvalidInput(
                f"{argv[0]} can't be started: {error}.", "Give a program that this machine can run."
            ) from error
        assert self._process.stdout is not None
        self._out = self._process.stdout
        self._on_line = on_line
        self._begun = b""
        self._selector = selector
        self._ended: float | None = None
        selector.register(self._out, selectors.EVENT_READ, self._read)

    @property
    def ended(self) -> float | None:
        """When its end was first noticed."""
        if self._ended is None and self._process.poll() is not None:
            self._ended = time.monotonic()
        return self._ended

    @property
    def status(self) -> int | None:
        """Its exit status, 128 + N if signal N ended it; None while it runs."""
        code = self._process.poll()
        return code if code is None or code >= 0 else 128 - code

    def close(self) -> None:
        """Stop it and its children, if it still runs."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self._process.poll() is None:
                with suppress(PermissionError, subprocess.TimeoutExpired):  # another user's, by sudo
                    os.killpg(self._process.pid, number)
                    self._process.wait(_GRACE)
        with suppress(KeyError):  # its output has ended, and was unregistered then
            self._selector.unregister(self._out)
        self._out.close()

    def _read(self) -> None:
        data = os.read(self._out.fileno(), 1 << 16)
        *lines, self._begun = (self._begun + data).split(b"\n")
        if not data:
            self._selector.unregister(self._out)
            lines = [self._begun] if self._begun else []
        for line in lines:
            self._on_line(line.decode(errors="replace"))
