"""The agent's loop: what the feed says, whenever it says it and whenever the NIC comes back, into the kernel.

The kernel is repaired when the feed speaks, when the NIC changes and when the agent starts, and at no other time. A
route that somebody deletes or bends by hand stays so until then: breaking a VM's routing and seeing `labkit verify`
find it is part of the laboratory, and an agent that mended it within a millisecond would hide it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import TypeAlias

from labkit.agent import uplink as nic
from labkit.agent.feed_table import FeedTable, Prefix
from labkit.agent.fib import Fib, Outcome
from labkit.agent.kernel_routes import Uplink
from labkit.agent.plan import Kind
from labkit.feed.client import Feed, Message, feeds

_log = logging.getLogger("labkit.agent")

_NIC_CHANGED = "NIC changed"


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the agent runs: its node's name, its NIC, the feed's socket and the file that says it is ready."""

    node: str
    interface: str
    feed: Path
    ready: Path


@dataclass(frozen=True, slots=True)
class _Told:
    feed: Feed
    message: Message


@dataclass(frozen=True, slots=True)
class _Nic:
    state: Uplink | str


_Event: TypeAlias = _Told | _Nic | Exception


class Agent:
    """One VM's agent. Two threads listen, to the feed and to the NIC; all work is done in the thread of `run`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._events: SimpleQueue[_Event] = SimpleQueue()
        self._fib = Fib()
        self._uplink: Uplink | str = f"{settings.interface} has not been looked at yet"
        self._table: FeedTable | None = None
        self._feed: Feed | None = None
        self._seq = 0
        self._error: str | None = None

    def run(self) -> None:
        """Work until something fails that a restart may mend; what is installed stays.

        Raises:
            OSError: the kernel no longer answers.
            Exception: what ended one of the listening threads.
        """
        self._listen("nic", self._watch_nic)
        # The NIC is known before the feed may speak, or the first answer would be that nothing can be installed.
        self._handle(self._events.get())
        self._listen("feed", self._hear_feed)
        while True:
            self._handle(self._events.get())

    def _handle(self, event: _Event) -> None:
        match event:
            case _Told(feed, message):
                self._told(feed, message)
            case _Nic(state):
                self._nic_changed(state)
            case _:
                raise event

    def _listen(self, name: str, work: Callable[[], None]) -> None:
        def guarded() -> None:
            try:
                work()
            except Exception as failure:  # noqa: BLE001 - handed to the main thread, which raises it
                self._events.put(failure)

        threading.Thread(target=guarded, name=name, daemon=True).start()

    def _watch_nic(self) -> None:
        nic.watch(self._settings.interface, lambda state: self._events.put(_Nic(state)))

    def _hear_feed(self) -> None:
        for feed in feeds("agent", self._settings.node, self._settings.feed):
            for message in feed:
                self._events.put(_Told(feed, message))

    def _told(self, feed: Feed, message: Message) -> None:
        self._feed, self._seq = feed, message["seq"]
        try:
            before = self._take(message)
        except (ValueError, KeyError, TypeError, AttributeError) as problem:
            # What is wanted is unknown now; the FIB stays as it is. After a bad delta, a snapshot may tell.
            self._table = None
            self._answer(f"message {self._seq} of the feed makes no sense: {problem!r}")
            if message.get("type") != "snapshot":
                feed.close()
            return
        self._install(f"{message['type']} {self._seq}", before)
        self._answer(self._error)

    def _take(self, message: Message) -> dict[Prefix, int | None] | None:
        """Change the table as told; the result is as `_install` wants it."""
        if message["type"] == "snapshot":
            self._table = FeedTable.from_wire(message["table"])
            return None
        if message["type"] != "delta" or self._table is None:
            raise ValueError(f"a {message['type']} where a snapshot is due")
        return self._table.apply(message["table"])

    def _nic_changed(self, state: Uplink | str) -> None:
        if isinstance(state, str) and state != self._uplink:
            _log.info("%s", state)
        self._uplink = state
        if self._table is None:
            return
        former = self._error
        self._install(_NIC_CHANGED, None)
        if self._error != former:
            self._answer(self._error)

    def _install(self, cause: str, before: dict[Prefix, int | None] | None) -> None:
        """Bring the kernel to the table; `before` as for `Fib.update`, None to reconcile everything."""
        assert self._table is not None
        if isinstance(self._uplink, str):
            self._error = f"{self._uplink}: no route can be installed"
            return
        if before is None:
            outcome = self._fib.reconcile(self._table, self._uplink)
        else:
            outcome = self._fib.update(self._table, before, self._uplink)
        self._error = outcome.error
        if outcome.counts or outcome.error or cause != _NIC_CHANGED:
            self._tell(cause, outcome, len(self._table.routes))
        self._settings.ready.parent.mkdir(parents=True, exist_ok=True)
        self._settings.ready.touch()

    def _tell(self, cause: str, outcome: Outcome, total: int) -> None:
        shown = (Kind.ADD, Kind.CHANGE, Kind.REMOVE, Kind.GROUP, Kind.STRAY)
        counts = [f"{outcome.counts[kind]:,} {kind}" for kind in shown if outcome.counts[kind]]
        said = ", ".join(counts) or "nothing to change"
        _log.info("%s: %s; %s routes in all, %.1f ms", cause, said, f"{total:,}", outcome.seconds * 1000)
        for line in outcome.lines:
            _log.info("  %s", line)
        if outcome.error:
            _log.error("not installed: %s", outcome.error)

    def _answer(self, error: str | None) -> None:
        if self._feed is not None:
            self._feed.applied(self._seq, error)
