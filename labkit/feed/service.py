"""The skeleton that every service of a node fills in.

    settings = begin("fabric")              # log, settings, no ready mark yet
    inbox: Inbox[Event] = Inbox()
    follow(settings, "fabric", inbox.put)   # a thread puts what the controller sends
    watch("links", work)                    # another one puts what the kernel reports
    while True:
        for event in inbox.collect():       # all work is done here, in the main thread
            ...
        settings.mark_ready()

A thread that fails ends the process: half a service is worse than one that its supervisor starts again. Nothing is
lost by that. What a service has put into the kernel or a daemon outlives it, and every feed begins with a snapshot.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Generic, TextIO, TypeVar

FEED_SOCKET = Path("/run/labkit/feed.sock")
"""Where a node finds its feed: the platform channel, which the runtime binds into every platform node."""

READY = Path("/run/labkit-ready")
"""The folder of ready marks, one file a service. The node's healthcheck looks for them."""

E = TypeVar("E")


@dataclass(frozen=True, slots=True)
class Settings:
    """What a service knows of its place: its ready mark's name, its node's name, the feed's socket, the marks' folder.

    The environment sets them: `LABKIT_NODE` (default: the host name), `LABKIT_FEED`, `LABKIT_READY`.
    """

    service: str
    node: str
    feed: Path = FEED_SOCKET
    ready: Path = READY

    @classmethod
    def from_environment(cls, service: str) -> Settings:
        """The settings of a service that starts here."""
        get = os.environ.get
        return cls(
            service,
            get("LABKIT_NODE") or socket.gethostname(),
            Path(get("LABKIT_FEED") or FEED_SOCKET),
            Path(get("LABKIT_READY") or READY),
        )

    def mark_ready(self) -> None:
        """Mark the service as ready; may be repeated."""
        self.ready.mkdir(parents=True, exist_ok=True)
        (self.ready / self.service).touch()

    def clear_ready(self) -> None:
        """Mark the service as not ready, or not ready yet."""
        (self.ready / self.service).unlink(missing_ok=True)


def begin(service: str, *, name: str = "", log: TextIO | None = None) -> Settings:
    """Begin the process of a service: its log, its rule for failing threads, its settings; it is not ready yet.

    Args:
        service: the name of its ready mark.
        name: the prefix of its log lines, `service` if empty.
        log: where the log goes; standard output, which the supervisor keeps, if None.
    """
    threading.excepthook = _end_process
    logging.basicConfig(
        stream=log if log is not None else sys.stdout,
        level=os.environ.get("LABKIT_LOG", "INFO"),
        format=f"{name or service}: %(message)s",
    )
    settings = Settings.from_environment(service)
    settings.clear_ready()
    return settings


def _end_process(failure: threading.ExceptHookArgs) -> None:
    traceback.print_exception(failure.exc_value)
    sys.stderr.flush()
    os._exit(1)


class Inbox(Generic[E]):
    """What the main thread of a service works on, in the order in which it came. Its threads do nothing but put."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[E] = SimpleQueue()

    def put(self, event: E) -> None:
        """Add an event; from any thread, or from a signal handler."""
        self._queue.put(event)

    def collect(self, timeout: float | None = None) -> list[E]:
        """Wait for an event, and return it with all others that have come; none after `timeout` seconds."""
        events: list[E] = []
        try:
            events.append(self._queue.get(timeout=timeout))
            while True:
                events.append(self._queue.get_nowait())
        except Empty:
            return events


def watch(name: str, work: Callable[[], None]) -> None:
    """Run `work` in a thread that ends with the process, and ends it if it fails."""
    threading.Thread(target=work, name=name, daemon=True).start()
