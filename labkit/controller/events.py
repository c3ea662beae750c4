"""The lab's event log: what happened, where, and because of what. One JSON object a line, kept and streamed.

It has a bound: of two files the older is dropped when the newer is full. An event that does not fit on the disk is
streamed only.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from labkit.feed.codec import to_json
from labkit.feed.status import LabEvent

MOST = 8 << 20
"""Bytes of each file: about 40,000 events."""


class EventLog:
    """Files of events to which lines are appended, and the queues of those who follow them."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._former = path.with_name(f"{path.name}.1")
        self.has_past = any(file.exists() for file in (self._former, path))
        self._followers: set[asyncio.Queue[str]] = set()

    def add(self, node: str, kind: str, text: str, cause: str = "") -> None:
        """Record an event that happens now and hand it to every follower."""
        line = json.dumps(to_json(LabEvent, LabEvent(time.time(), node, kind, text, cause)))
        with contextlib.suppress(OSError):
            self._keep(line.encode() + b"\n")
        for queue in self._followers:
            queue.put_nowait(line)

    def _keep(self, line: bytes) -> None:
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        try:
            size = os.fstat(descriptor).st_size
            if os.write(descriptor, line) < len(line):
                os.truncate(descriptor, size)  # no half of an event
            elif size + len(line) > MOST:
                self._path.rename(self._former)
        finally:
            os.close(descriptor)

    def past(self) -> Iterator[str]:
        """The lines kept so far, oldest first."""
        for path in (self._former, self._path):
            with contextlib.suppress(FileNotFoundError), path.open(encoding="utf-8") as lines:
                for line in lines:
                    yield line.rstrip("\n")

    @contextlib.contextmanager
    def follow(self) -> Iterator[AsyncIterator[str]]:
        """Past lines and, until the context ends, every new one."""
        queue: asyncio.Queue[str] = asyncio.Queue()
        self._followers.add(queue)
        past = list(self.past())

        async def lines() -> AsyncIterator[str]:
            for line in past:
                yield line
            while True:
                yield await queue.get()

        try:
            yield lines()
        finally:
            self._followers.discard(queue)
