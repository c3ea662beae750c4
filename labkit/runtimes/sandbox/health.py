"""Waiting until a node's healthcheck succeeds, as soon as it does.

The first success ends it. A failure is what containerlab's engine would call one: after the start period, `retries`
failures in a row at `interval`. In between the test is tried far more often, since nobody likes to wait.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable
from pathlib import Path

from labkit.runtimes.sandbox.loop import Loop, Timer
from labkit.runtimes.sandbox.spec import Health

_FIRST_PAUSE, _PAUSE_FACTOR, _LONGEST_PAUSE = 0.01, 1.5, 0.25
_FILE_PAUSE = 0.003

RunTest = Callable[[list[str], float, Callable[[int, str], None]], None]
"""Run argv in the node for at most so many seconds, then call back with exit status and output."""


def marker_files(test: tuple[str, ...]) -> list[str] | None:
    """The files whose existence is all that `test` asks for, if that is so; None if it must be run.

    Only files below /run and /tmp count: file systems that the sandbox itself mounts fresh in every node.
    Looking at them from outside costs microseconds, a process costs milliseconds, and the services that
    are just starting need the processors more.
    """
    if not test or test[0] not in ("CMD", "CMD-SHELL"):
        return None
    shell = test[0] == "CMD-SHELL"
    if not shell:
        words = list(test[1:])
    else:
        line = " ".join(test[1:])
        if any(character in line for character in "|;<>$`()*?[]{}~!#\\\n"):
            return None
        try:
            words = shlex.split(line)
        except ValueError:
            return None  # the shell reports the mistake
    if not words or words.pop(0) != "test":
        return None
    files = []
    while True:
        if len(words) < 2 or words[0] not in ("-e", "-f"):
            return None
        path = words[1]
        if not path.startswith(("/run/", "/tmp/")) or ".." in path:  # noqa: S108
            return None
        files.append(path)
        if not words[2:]:
            return files
        if words[2] == "-a":
            words = words[3:]
        elif words[2:4] == ["&&", "test"] and shell:
            words = words[4:]
        else:
            return None


class Watch:
    """Tries one node's healthcheck until it succeeds or has failed; then calls `done` with None or the reason."""

    def __init__(
        self,
        loop: Loop,
        health: Health,
        root: Path,
        run: RunTest,
        done: Callable[[str | None], None],
        *,
        alive: Callable[[], bool],
    ) -> None:
        """Begin. `root` is the node's root seen from outside; `alive` is whether its first process runs."""
        self._alive = alive
        self._loop = loop
        self._health = health
        self._run = run
        self._done: Callable[[str | None], None] | None = done
        self._pause = _FIRST_PAUSE
        self._last = "it was not tried"
        self._deadline = time.monotonic() + health.start_period + health.interval * max(1, health.retries)
        self._timer: Timer | None = None
        self._files = [root / path.lstrip("/") for path in marker_files(health.test) or []]
        shell = health.test[0] == "CMD-SHELL"
        self._argv = ["/bin/sh", "-c", " ".join(health.test[1:])] if shell else list(health.test[1:])
        self._try()

    def cancel(self) -> None:
        """Stop trying; `done` is not called any more."""
        self._done = None
        if self._timer:
            self._timer.cancel()

    def _try(self) -> None:
        if not self._done:
            return
        if self._files:
            missing = [path for path in self._files if not path.exists()]
            text = f"{missing[0].name} is missing" if missing else ""
            self._answer(1 if missing else 0, text)
        else:
            self._run(self._argv, self._health.timeout, self._answer)

    def _answer(self, status: int, output: str) -> None:
        if not self._done:
            return
        if status == 0:
            self._done(None)
            return
        self._last = f"exit status {status}{': ' if output.strip() else ''}{output.strip()[-500:]}"
        if time.monotonic() >= self._deadline or not self._alive():
            self._done(f"{shlex.join(self._argv)}: {self._last}")
            return
        if self._files:
            pause = _FILE_PAUSE
        else:
            pause = self._pause
            self._pause = min(self._pause * _PAUSE_FACTOR, _LONGEST_PAUSE, max(self._health.interval, _FIRST_PAUSE))
        self._timer = self._loop.after(pause, self._try)
