"""Waiting until a node's healthcheck succeeds, as soon as it does.

The first success ends it. A failure is what containerlab's engine would call one: after the start period, `retries`
failures in a row at `interval`. A test that asks for files only is not run: the kernel reports when they are there. Any
other one is tried far more often than at `interval`, since nobody likes to wait.
"""

from __future__ import annotations

import math
import shlex
import time
from collections.abc import Callable
from pathlib import Path

from labkit.inotify import CREATE, MOVED_TO, Inotify
from labkit.runtimes.sandbox.loop import Loop, Timer
from labkit.runtimes.sandbox.spec import Health

_FIRST_PAUSE, _PAUSE_FACTOR, _LONGEST_PAUSE = 0.01, 1.5, 0.25

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
    """Watches one node's healthcheck until it succeeds or has failed; then calls `done` with None or the reason."""

    def __init__(
        self,
        loop: Loop,
        health: Health,
        root: Path,
        run: RunTest,
        done: Callable[[str | None], None],
        *,
        alive: Callable[[], bool],
        within: float | None = None,
    ) -> None:
        """Begin. `root` is the node's root seen from outside; `alive` is whether its first process runs.

        `within` are the seconds that it may take, if not as many as the healthcheck allows.
        """
        self._alive = alive
        self._loop = loop
        self._health = health
        self._run = run
        self._done: Callable[[str | None], None] | None = done
        self._pause = _FIRST_PAUSE
        self._last = "it was not tried"
        self._deadline = time.monotonic() + (health.allowed if within is None else within)
        self._timer: Timer | None = None
        self._inotify: Inotify | None = None
        self._files = [root / path.lstrip("/") for path in marker_files(health.test) or []]
        shell = health.test[0] == "CMD-SHELL"
        self._argv = ["/bin/sh", "-c", " ".join(health.test[1:])] if shell else list(health.test[1:])
        if self._files:
            self._inotify = Inotify()
            loop.on_readable(self._inotify.descriptor, self._changed)
            if self._deadline < math.inf:
                self._timer = loop.after(self._deadline - time.monotonic(), self._fail)
            self._look()
        else:
            self._try()

    @property
    def reason(self) -> str:
        """Why the node is not healthy, as far as the last look shows."""
        return f"{shlex.join(self._argv)}: {self._last}"

    def cancel(self) -> None:
        """Stop; `done` is not called any more."""
        self._done = None
        if self._timer:
            self._timer.cancel()
        if self._inotify:
            self._loop.forget(self._inotify.descriptor)
            self._inotify.close()
            self._inotify = None

    def node_ended(self) -> None:
        """The node's first process has ended: files that are not there will not come."""
        if self._files:
            self._fail()

    def _finish(self, reason: str | None) -> None:
        done = self._done
        self.cancel()
        if done:
            done(reason)

    def _fail(self) -> None:
        self._finish(self.reason)

    def _changed(self) -> None:
        assert self._inotify
        list(self._inotify.read())
        self._look()

    def _look(self) -> None:
        """Succeed if all files are there, else watch where the first missing one, or a folder above it, must appear."""
        assert self._inotify
        for file in self._files:
            while not file.exists():
                folder = next(each for each in file.parents if each.exists())
                below = folder / file.relative_to(folder).parts[0]
                try:
                    self._inotify.watch(str(folder), CREATE | MOVED_TO)
                except FileNotFoundError:
                    continue  # it has just been removed
                if not below.exists():  # else it came before the watch
                    self._last = f"exit status 1: {file.name} is missing"
                    return
        self._finish(None)

    def _try(self) -> None:
        if self._done:
            self._run(self._argv, self._health.timeout, self._answer)

    def _answer(self, status: int, output: str) -> None:
        if not self._done:
            return
        if status == 0:
            self._finish(None)
            return
        self._last = f"exit status {status}{': ' if output.strip() else ''}{output.strip()[-500:]}"
        if time.monotonic() >= self._deadline or not self._alive():
            self._fail()
            return
        self._timer = self._loop.after(self._pause, self._try)
        self._pause = min(self._pause * _PAUSE_FACTOR, _LONGEST_PAUSE, max(self._health.interval, _FIRST_PAUSE))
