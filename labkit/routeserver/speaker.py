"""The pipes to ExaBGP: a thread that only reads, a thread that only writes, a window between them.

ExaBGP writes to us blocking, in its only thread: if nobody read, it would stop, keep-alives and all. And a writer
that fills ExaBGP's input while nobody reads its answers deadlocks (docs/exabgp.md, "Back-pressure").
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable

from labkit.routeserver.wire import PING

WINDOW = 200
"""Commands written and not yet answered."""

NUDGE = 0.001
"""Seconds after which ExaBGP is sent a `PING` while it has work: it carries out 50 steps (announced prefixes) at a time
and then, if there is neither input nor a message from a peer, rests for 10 ms. So it never rests while it has work, and
its resting costs next to nothing while it has none."""

PIPE_SIZE = 1 << 20
"""Asked of the kernel for the pipe that ExaBGP writes to, so that it can go on while a dead helper is replaced."""


class Speaker:
    """Both ends of the conversation. `received` is called by the reading thread with every chunk, b"" at the end."""

    def __init__(self, stdin: int, stdout: int, received: Callable[[bytes], None]) -> None:
        self._stdin, self._stdout = stdin, stdout
        self._received = received
        self._waiting: deque[bytes] = deque()
        self._unanswered = 0
        self._nudged = False
        self.nudging = False
        """Whether pings may be mixed in: not while answers are counted off to know which is which."""
        self._state = threading.Condition()

    def start(self) -> None:
        """Start both threads; they end with the process."""
        with contextlib.suppress(OSError):  # the user's share of pipe memory may be spent; the default size works too
            fcntl.fcntl(self._stdin, fcntl.F_SETPIPE_SZ, PIPE_SIZE)
        threading.Thread(target=self._read, name="read", daemon=True).start()
        threading.Thread(target=self._write, name="write", daemon=True).start()

    def send(self, commands: Iterable[bytes]) -> None:
        """Queue commands, each with its newline."""
        with self._state:
            self._waiting.extend(commands)
            self._state.notify()

    def answered(self, count: int) -> None:
        """So many answers came. A predecessor's may be among them: they widen the window a little, for a while."""
        with self._state:
            self._unanswered = max(0, self._unanswered - count)
            self._nudged = False
            self._state.notify()

    @property
    def outstanding(self) -> int:
        """Commands queued or not yet answered."""
        with self._state:
            return len(self._waiting) + self._unanswered

    def _read(self) -> None:
        while True:
            try:
                chunk = os.read(self._stdin, PIPE_SIZE)
            except OSError:
                chunk = b""
            self._received(chunk)
            if not chunk:
                return

    def _write(self) -> None:
        while True:
            command = self._next()
            try:
                while command:
                    command = command[os.write(self._stdout, command) :]
            except BrokenPipeError:
                return  # the reader sees the end of the other pipe

    def _next(self) -> bytes:
        """Wait for the next command to write."""
        with self._state:
            while not self._waiting or self._unanswered >= WINDOW:
                may_nudge = self.nudging and self._unanswered and not self._nudged
                if not self._state.wait(NUDGE if may_nudge else None) and may_nudge:
                    self._nudged = True
                    self._unanswered += 1
                    return PING
            self._unanswered += 1
            return self._waiting.popleft()
