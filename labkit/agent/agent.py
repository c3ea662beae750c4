"""The agent's loop: the forwarding tables that the controller sends, a NIC each, into the kernel.

The kernel is repaired when a message comes, when the NIC changes and when the agent starts, and at no other time. A
route that somebody deletes or bends by hand stays so until then: breaking a VM's routing and seeing `labkit verify`
find it is part of the laboratory, and an agent that mended it within a millisecond would hide it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from labkit.agent import uplink as nic
from labkit.agent.feed_table import Address, FeedTable, Prefix
from labkit.agent.fib import Fib, FibOutcome
from labkit.agent.kernel_routes import Share, Uplink
from labkit.agent.plan import StageKind
from labkit.feed.channel import Applied
from labkit.feed.client import Feed, Lost, Received, follow
from labkit.feed.service import Inbox, Settings, watch
from labkit.feed.tables import AGENT, AgentSnapshot, ToAgent

_log = logging.getLogger("labkit.agent")

_NIC_CHANGED = "NIC changed"


@dataclass(frozen=True, slots=True)
class _Nic:
    interface: str
    state: Uplink | str


_Event: TypeAlias = Received[ToAgent, Applied] | Lost[ToAgent, Applied] | _Nic


@dataclass(slots=True)
class _Port:
    """A NIC of the VM.

    `state` is what was last seen of it: its uplink, or why there is none. `fibs` are the shares of the kernel that have
    its routes. `table` is what the controller wants there, None before the first snapshot. `attempted`: that has been
    installed, as far as the kernel would have it.
    """

    state: Uplink | str
    fibs: Mapping[Share, Fib]
    table: FeedTable | None = None
    error: str | None = None
    attempted: bool = False


_Before: TypeAlias = dict[Prefix, int | None]


def _shares(number: int, tables: int) -> Iterator[Share]:
    """The shares of the kernel that have the routes of one of a VM's NICs: `tables` NICs have one of their own."""
    if number == 0:
        yield Share(0, 1 + tables)
    if tables:
        yield Share(1 + number, 1 + tables)


class Agent:
    """One VM's agent. A thread waits for the feed and one for each NIC; all work is done in the thread of `run`.

    Args:
        interfaces: the VM's NICs, the primary one first.
        tables: whether each has a routing table of its own; otherwise the primary one's routes are all there are.
    """

    def __init__(self, settings: Settings, interfaces: Sequence[str], *, tables: bool = False) -> None:
        self._settings = settings
        self._inbox: Inbox[_Event] = Inbox()
        self._ports = {
            name: _Port(
                f"{name} has not been looked at yet",
                {share: Fib() for share in _shares(number, len(interfaces) if tables else 0)},
            )
            for number, name in enumerate(interfaces)
        }
        self._feed: Feed[ToAgent, Applied] | None = None
        self._seq = 0

    def run(self) -> None:
        """Work until something fails that a restart may mend; what is installed stays.

        Raises:
            OSError: the kernel no longer answers.
        """
        for name in self._ports:
            self._watch(name)
        # The NICs are known before the controller may send anything, or the first answer would be an error.
        seen: set[str] = set()
        while seen != self._ports.keys():
            events = self._inbox.collect()
            seen |= {event.interface for event in events if isinstance(event, _Nic)}
            self._handle(events)
        follow(self._settings, AGENT, self._inbox.put)
        while True:
            self._handle(self._inbox.collect())

    def _watch(self, interface: str) -> None:
        watch("nic", lambda: nic.watch(interface, lambda state: self._inbox.put(_Nic(interface, state))))

    def _handle(self, events: list[_Event]) -> None:
        for event in events:
            match event:
                case Received(feed, seq, message) if not feed.refused:
                    self._received(feed, seq, message)
                case Lost(feed) if feed is self._feed:
                    self._feed = None
                case _Nic(interface, state):
                    self._nic_changed(interface, state)
                case _:
                    pass

    def _received(self, feed: Feed[ToAgent, Applied], seq: int, message: ToAgent) -> None:
        self._feed, self._seq = feed, seq
        try:
            changed = self._take(message)
        except ValueError as problem:
            # What is wanted is unknown now; the FIB stays as it is until a snapshot comes.
            for port in self._ports.values():
                port.table = None
            feed.refuse(seq, str(problem))
            return
        for name, before in changed.items():
            self._install(name, f"{message.TYPE} {seq}", before)
        self._answer()

    def _take(self, message: ToAgent) -> dict[str, _Before | None]:
        """Change the tables by the message; of each NIC whose table it has, the result is as `_install` wants it.

        Raises:
            ValueError: the message does not fit the VM's NICs, or a table.
        """
        others = message.tables.keys() - self._ports.keys()
        if others:
            raise ValueError(f"this agent programs {', '.join(self._ports)}, not {', '.join(sorted(others))}")
        if isinstance(message, AgentSnapshot):
            for name, port in self._ports.items():
                if name not in message.tables:
                    raise ValueError(f"there is no table for {name}")
                port.table = FeedTable.of(message.tables[name])
            return dict.fromkeys(self._ports)
        changed: dict[str, _Before | None] = {}
        for name, delta in message.tables.items():
            table = self._ports[name].table
            if table is None:
                raise ValueError("a delta where a snapshot is due")
            changed[name] = table.apply(delta)
        return changed

    def _nic_changed(self, interface: str, state: Uplink | str) -> None:
        port, former = self._ports[interface], self._error()
        if isinstance(state, str) and state != port.state:
            _log.info("%s", state)
        others = self._also_connected(), self._own()
        port.state = state
        changed = (self._also_connected(), self._own()) != others
        for name in self._ports if changed else (interface,):
            if self._ports[name].table is not None:
                self._install(name, _NIC_CHANGED, None)
        if self._error() != former:
            self._answer()

    def _own(self) -> tuple[Address, ...]:
        """The addresses of all NICs."""
        states = [port.state for port in self._ports.values()]
        return tuple(address for state in states if isinstance(state, Uplink) for address in state.own)

    def _also_connected(self) -> tuple[Prefix, ...]:
        """The subnets of the NICs after the first, to which the main table has the kernel's own routes."""
        _, *others = (port.state for port in self._ports.values())
        return tuple(subnet for state in others if isinstance(state, Uplink) for subnet in state.subnets)

    def _install(self, name: str, cause: str, before: _Before | None) -> None:
        """Bring the kernel to a NIC's table; `before` as for `Fib.update`, None to reconcile everything."""
        port = self._ports[name]
        assert port.table is not None
        if isinstance(port.state, str):
            port.error = f"{port.state}: no route can be installed"
            return
        errors = []
        for share, fib in port.fibs.items():
            uplink = port.state._replace(share=share, also_connected=self._also_connected(), own=self._own())
            outcome = fib.reconcile(port.table, uplink) if before is None else fib.update(port.table, before, uplink)
            if outcome.error is not None:
                errors.append(outcome.error)
            if outcome.counts or outcome.error or cause != _NIC_CHANGED:
                where = f"{name}, table {share.table}, " if len(self._ports) > 1 else ""
                self._record(f"{where}{cause}", outcome, len(port.table.routes))
        port.error = "; ".join(errors) or None
        port.attempted = True
        if all(each.attempted for each in self._ports.values()):
            self._settings.mark_ready()

    @staticmethod
    def _record(cause: str, outcome: FibOutcome, total: int) -> None:
        shown = (StageKind.ADD, StageKind.CHANGE, StageKind.REMOVE, StageKind.GROUP, StageKind.STRAY)
        counts = [f"{outcome.counts[kind]:,} {kind}" for kind in shown if outcome.counts[kind]]
        done = ", ".join(counts) or "nothing to change"
        _log.info("%s: %s; %s routes in all, %.1f ms", cause, done, f"{total:,}", outcome.seconds * 1000)
        for line in outcome.lines:
            _log.info("  %s", line)
        if outcome.error:
            _log.error("not installed: %s", outcome.error)

    def _error(self) -> str | None:
        """What the kernel lacks of the tables, and why; None if it has them."""
        return "; ".join(port.error for port in self._ports.values() if port.error is not None) or None

    def _answer(self) -> None:
        if self._feed is not None:
            self._feed.applied(self._seq, self._error())
