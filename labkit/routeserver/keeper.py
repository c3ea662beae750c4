"""What ExaBGP starts: it keeps ExaBGP's pipes open, and a worker alive behind them.

When a helper dies while ExaBGP writes to it, ExaBGP ends every session with it. So the process that ExaBGP knows does
nothing that can fail: it imports, forks the worker, and waits. While a dead worker is replaced (a fork, no imports),
ExaBGP's events wait in the pipe, and neither a session nor an event is lost.

The keeper is the watchdog of both: a worker that misses its beats is killed and replaced; an ExaBGP that no longer
answers its worker is killed, and its supervisor starts all of it afresh.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import NoReturn

from labkit.feed.service import Settings, begin
from labkit.routeserver.worker import (
    EXIT_DONE,
    EXIT_SHUT_DOWN,
    EXIT_SPEAKER_BROKEN,
    SERVICE,
    TICK,
    Worker,
    WorkerSettings,
)

PATIENCE = 20
"""Seconds without a sign of life after which ExaBGP or the worker is taken for hung."""

SHORT_LIVES, SHORT_LIFE = 5, 2.0
"""So many workers in a row that lived less than these seconds: something in ExaBGP's state kills them, and it goes."""

FAREWELL = 2.0
"""Seconds for a worker's last report when ExaBGP is gone."""

STDIN, STDOUT = 0, 1

_log = logging.getLogger("labkit.routeserver")


class Keeper:
    """One ExaBGP, one worker at a time. `run` returns the exit code."""

    def __init__(self, place: Settings, patience: int, configuration: Path) -> None:
        self._settings = WorkerSettings(place, patience, os.getpid(), configuration)
        # A handle, not a number: a number may be somebody else's by the time it is used.
        self._speaker = os.pidfd_open(os.getppid())
        self._asked_to_end = False

    def run(self) -> int:
        """Replace workers until one has done its work, or ExaBGP is gone."""
        signal.signal(signal.SIGTERM, self._on_sigterm)
        short_lives = 0
        while True:
            began = time.monotonic()
            code = self._one_worker()
            if code == EXIT_DONE or self._speaker_gone():
                return 0
            if code == EXIT_SHUT_DOWN:
                self._end_speaker(signal.SIGTERM)
                return 0
            short_lives = short_lives + 1 if time.monotonic() - began < SHORT_LIFE else 0
            if code == EXIT_SPEAKER_BROKEN or short_lives >= SHORT_LIVES:
                self._end_speaker(signal.SIGKILL)
                return 1
            _log.warning("the worker ended (%d); starting another", code)

    def _on_sigterm(self, *_: object) -> None:
        self._asked_to_end = True

    def _one_worker(self) -> int:
        """Fork a worker and wait for it; its exit code, or minus the signal that killed it."""
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        pid = os.fork()
        if pid == 0:
            os.close(reader)
            _be_worker(self._settings, writer)
        os.close(writer)
        try:
            return self._watch(pid, reader)
        finally:
            os.close(reader)

    def _watch(self, pid: int, beats: int) -> int:
        """Wait for a worker, kill it if it hangs, pass the end on to it."""
        process = os.pidfd_open(pid)
        poll = select.poll()
        poll.register(process, select.POLLIN)
        poll.register(beats, select.POLLIN)
        poll.register(STDIN, 0)
        silent = 0
        farewell_ends = float("inf")
        try:
            while True:
                ready = dict(poll.poll(TICK * 1000))
                if process in ready:
                    _, status = os.waitpid(pid, 0)
                    return os.waitstatus_to_exitcode(status)
                if self._asked_to_end:
                    signal.pidfd_send_signal(process, signal.SIGTERM)
                if STDIN in ready:
                    poll.unregister(STDIN)
                    farewell_ends = time.monotonic() + FAREWELL
                if ready.get(beats, 0) & select.POLLIN:
                    os.read(beats, 4096)
                    silent = 0
                elif not ready:
                    silent += 1
                if silent >= self._settings.patience or time.monotonic() >= farewell_ends:
                    _log.error("the worker gave no sign of life; killing it")
                    signal.pidfd_send_signal(process, signal.SIGKILL)
                    poll.unregister(beats)
                    silent, farewell_ends = 0, float("inf")
        finally:
            os.close(process)

    def _speaker_gone(self) -> bool:
        """Whether nobody can write to our standard input any more."""
        poll = select.poll()
        poll.register(STDIN, 0)
        return bool(poll.poll(0))

    def _end_speaker(self, how: signal.Signals) -> None:
        """End ExaBGP. It holds our standard input: if nobody does, our parent is somebody else by now.

        There is no waiting for it: an ExaBGP that ends waits for us.
        """
        if not self._speaker_gone():
            signal.pidfd_send_signal(self._speaker, how)


def _be_worker(settings: WorkerSettings, beats: int) -> NoReturn:
    """Run as the worker. The process ends at once then: a thread of it may be blocked for ever."""
    code = 1

    def beat() -> None:
        with contextlib.suppress(BlockingIOError):  # the keeper has unread beats enough
            os.write(beats, b".")

    try:
        code = Worker(settings, STDIN, STDOUT, beat).run()
    except BrokenPipeError:
        pass  # the keeper is dead; ExaBGP starts another when our end of the pipe closes
    finally:
        if (problem := sys.exception()) is not None:
            traceback.print_exception(problem)
        sys.stderr.flush()
        os._exit(code)


def main() -> int:
    """The entry of `python3 -m labkit.routeserver`."""
    place = begin(SERVICE, name="routeserver", log=sys.stderr)  # standard output leads to ExaBGP
    patience = int(os.environ.get("LABKIT_WATCHDOG") or PATIENCE)
    configuration = Path(os.environ["LABKIT_EXABGP_CONF"])
    try:
        keeper = Keeper(place, patience, configuration)
    except ProcessLookupError:
        return 0  # ExaBGP died while we were starting
    return keeper.run()
