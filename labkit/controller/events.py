"""The lab's event log: what happened, where, and because of what. One JSON object a line, kept and streamed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from labkit.feed.codec import to_json
from labkit.feed.status import LabEvent


class EventLog:
    """An append-only file of events, and the queues of those who follow it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("a", encoding="utf-8", buffering=1)
        self.has_past = path.stat().st_size > 0
        self._followers: set[asyncio.Queue[str]] = set()

    def add(self, node: str, kind: str, text: str, cause: str = "") -> None:
        """Record an event that happens now and hand it to every follower."""
        line = json.dumps(to_json(LabEvent, LabEvent(time.time(), node, kind, text, cause)))
        self._file.write(line + "\n")
        for queue in self._followers:
            queue.put_nowait(line)

    def past(self) -> Iterator[str]:
        """The lines written so far, oldest first."""
        with self._path.open(encoding="utf-8") as lines:
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
