"""The agent's loop: the forwarding table that the controller sends, into the kernel.

The kernel is repaired when a message comes, when the NIC changes and when the agent starts, and at no other time. A
route that somebody deletes or bends by hand stays so until then: breaking a VM's routing and seeing `labkit verify`
find it is part of the laboratory, and an agent that mended it within a millisecond would hide it.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TypeAlias

from labkit.agent import uplink as nic
from labkit.agent.feed_table import FeedTable, Prefix
from labkit.agent.fib import Fib, Outcome
from labkit.agent.kernel_routes import Uplink
from labkit.agent.plan import Kind
from labkit.feed.channel import Applied
from labkit.feed.client import Feed, Lost, Received, follow
from labkit.feed.service import Inbox, Settings, watch
from labkit.feed.tables import AGENT, AgentSnapshot, ToAgent

_log = logging.getLogger("labkit.agent")

_NIC_CHANGED = "NIC changed"


@dataclass(frozen=True, slots=True)
class _Nic:
    state: Uplink | str


_Event: TypeAlias = Received[ToAgent, Applied] | Lost[ToAgent, Applied] | _Nic


class Agent:
    """One VM's agent. Two threads wait, for the feed and for the NIC; all work is done in the thread of `run`."""

    def __init__(self, settings: Settings, interface: str) -> None:
        self._settings = settings
        self._interface = interface
        self._inbox: Inbox[_Event] = Inbox()
        self._fib = Fib()
        self._uplink: Uplink | str = f"{interface} has not been looked at yet"
        self._table: FeedTable | None = None
        self._feed: Feed[ToAgent, Applied] | None = None
        self._seq = 0
        self._error: str | None = None

    def run(self) -> None:
        """Work until something fails that a restart may mend; what is installed stays.

        Raises:
            OSError: the kernel no longer answers.
        """
        watch("nic", lambda: nic.watch(self._interface, lambda state: self._inbox.put(_Nic(state))))
        # The NIC is known before the controller may send anything, or the first answer would be an error.
        self._handle(self._inbox.collect())
        follow(self._settings, AGENT, self._inbox.put)
        while True:
            self._handle(self._inbox.collect())

    def _handle(self, events: list[_Event]) -> None:
        for event in events:
            match event:
                case Received(feed, seq, message) if not feed.refused:
                    self._received(feed, seq, message)
                case Lost(feed) if feed is self._feed:
                    self._feed = None
                case _Nic(state):
                    self._nic_changed(state)
                case _:
                    pass

    def _received(self, feed: Feed[ToAgent, Applied], seq: int, message: ToAgent) -> None:
        self._feed, self._seq = feed, seq
        try:
            before = self._take(message)
        except ValueError as problem:
            # What is wanted is unknown now; the FIB stays as it is until a snapshot comes.
            self._table = None
            feed.refuse(seq, str(problem))
            return
        self._install(f"{message.TYPE} {seq}", before)
        self._answer(self._error)

    def _take(self, message: ToAgent) -> dict[Prefix, int | None] | None:
        """Change the table as the message says; the result is as `_install` wants it."""
        others = message.tables.keys() - {self._interface}
        if others:
            raise ValueError(f"this agent programs {self._interface}, not {', '.join(sorted(others))}")
        if isinstance(message, AgentSnapshot):
            if self._interface not in message.tables:
                raise ValueError(f"there is no table for {self._interface}")
            self._table = FeedTable.of(message.tables[self._interface])
            return None
        if self._table is None:
            raise ValueError("a delta where a snapshot is due")
        return self._table.apply(message.tables[self._interface]) if message.tables else {}

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
            self._record(cause, outcome, len(self._table.routes))
        self._settings.mark_ready()

    def _record(self, cause: str, outcome: Outcome, total: int) -> None:
        shown = (Kind.ADD, Kind.CHANGE, Kind.REMOVE, Kind.GROUP, Kind.STRAY)
        counts = [f"{outcome.counts[kind]:,} {kind}" for kind in shown if outcome.counts[kind]]
        done = ", ".join(counts) or "nothing to change"
        _log.info("%s: %s; %s routes in all, %.1f ms", cause, done, f"{total:,}", outcome.seconds * 1000)
        for line in outcome.lines:
            _log.info("  %s", line)
        if outcome.error:
            _log.error("not installed: %s", outcome.error)

    def _answer(self, error: str | None) -> None:
        if self._feed is not None:
            self._feed.applied(self._seq, error)
