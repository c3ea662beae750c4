"""The init's event loop: descriptors, timers and ended children, in one thread.

asyncio would do, but importing it takes longer than mounting all nodes of a lab.
"""

from __future__ import annotations

import heapq
import os
import select
import signal
import time
from collections.abc import Callable

Status = int
"""An exit status: 0-255, or 128 + N if signal N ended the process."""


class Timer:
    """A callback at a time; `cancel` forgets it."""

    __slots__ = ("callback", "when")

    def __init__(self, when: float, callback: Callable[[], None]) -> None:
        self.when = when
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        """Forget the timer."""
        self.callback = None

    def __lt__(self, other: Timer) -> bool:
        return self.when < other.when


class Loop:
    """Calls back when descriptors are readable or writable, when time has come, and when children end."""

    def __init__(self) -> None:
        self._poll = select.epoll()
        self._readers: dict[int, Callable[[], None]] = {}
        self._timers: list[Timer] = []
        self._children: dict[int, Callable[[Status], None]] = {}
        self._wake, wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        self.on_readable(self._wake, self._reap)

    def on_readable(self, descriptor: int, callback: Callable[[], None]) -> None:
        """Call back whenever `descriptor` has something to read or is at its end."""
        self._poll.register(descriptor, select.EPOLLIN)
        self._readers[descriptor] = callback

    def forget(self, descriptor: int) -> None:
        """Stop watching `descriptor`, which must still be open; harmless if it is not watched."""
        if self._readers.pop(descriptor, None):
            self._poll.unregister(descriptor)

    def after(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Call back once, in `seconds`."""
        timer = Timer(time.monotonic() + seconds, callback)
        heapq.heappush(self._timers, timer)
        return timer

    def on_exit(self, pid: int, callback: Callable[[Status], None]) -> None:
        """Call back once when the child `pid` has ended; it is reaped after that, so its PID can't be reused."""
        self._children[pid] = callback

    def run(self) -> None:
        """Run for ever."""
        while True:
            while self._timers and (self._timers[0].callback is None or self._timers[0].when <= time.monotonic()):
                timer = heapq.heappop(self._timers)
                if timer.callback:
                    timer.callback()
            pause = max(0.0, self._timers[0].when - time.monotonic()) if self._timers else -1
            for descriptor, _ in self._poll.poll(pause):
                callback = self._readers.get(descriptor)
                if callback:  # an earlier callback of this round may have forgotten it
                    callback()

    def _reap(self) -> None:
        os.read(self._wake, 4096)
        while True:
            try:
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if ended is None:
                return
            code = ended.si_status if ended.si_code == os.CLD_EXITED else 128 + ended.si_status
            callback = self._children.pop(ended.si_pid, None)
            if callback:
                callback(code)
            os.waitpid(ended.si_pid, 0)
