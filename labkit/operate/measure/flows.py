"""Flows between two nodes of a running lab, as seen from here: what was sent, what arrived, what came back."""

from __future__ import annotations

import json
import math
import os
import secrets
import selectors
import time
from array import array
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import IO, Any

from labkit.errors import CheckFailed, InvalidInput
from labkit.operate.look.client import LabClient
from labkit.operate.measure import flow_probe
from labkit.operate.measure.flow_loss import RETURNED, SEEN, UNSEEN, Direction, losses, without_loss
from labkit.operate.measure.flow_probe import PATIENCE

MOST_FLOWS = 64
MOST_PACKETS = 5000
"""Packets a second and direction: what the programs in the nodes can handle while the lab runs."""
_STEADY = bytes([RETURNED]) * 10
"""A flow is steady once so many of its packets came back in a row."""
_STARTS_WITHIN = 20.0
_ENDS_WITHIN = 10.0
_LOOK = 0.1


@dataclass(frozen=True, slots=True)
class FlowEnds:
    """The two ends of a measurement: the nodes that send and answer, and their addresses."""

    source: str
    source_address: IPv4Address
    target: str
    target_address: IPv4Address


@dataclass(frozen=True, slots=True)
class Pace:
    """The number of flows, and the seconds between two packets of a flow.

    Raises:
        InvalidInput: too few or too many.
    """

    flows: int = 8
    interval: float = 0.005

    def __post_init__(self) -> None:
        each = f"a packet every {self.interval * 1000:g} ms"
        if not 1 <= self.flows <= MOST_FLOWS:
            raise InvalidInput(f"{self.flows} flows can't be measured.", f"Choose 1 to {MOST_FLOWS}.")
        if not 0.001 <= self.interval <= 1:
            raise InvalidInput(f"{each} can't be measured.", "Choose an interval of 1 to 1000 ms.")
        rate = self.flows / self.interval
        if rate > MOST_PACKETS:
            raise InvalidInput(
                f"{self.flows} flows with {each} are {rate:.0f} packets a second; at most {MOST_PACKETS} are possible.",
                f"Choose fewer flows, or an interval of {math.ceil(self.flows / MOST_PACKETS * 1000)} ms.",
            )


@dataclass(frozen=True, slots=True)
class FlowLoss:
    """What a flow lost, and whether it lost nothing at its end."""

    source_port: int
    sent: int
    forward: Direction
    backward: Direction
    recovered: bool


class Flows:
    """Running flows. Reports of their programs are read while `until` waits.

    Times are this machine's monotonic clock, which the nodes share. A packet that could still be on its way counts
    neither as lost nor as returned.
    """

    def __init__(self, client: LabClient, way: FlowEnds, pace: Pace, seconds: float) -> None:
        self.selector = selectors.DefaultSelector()
        self._way = way
        self._pace = pace
        self._times = array("d")
        self._fates = [bytearray() for _ in range(pace.flows)]
        self._client = client
        self._token = secrets.token_hex(8)
        self._seconds = f"{seconds:.1f}"
        self._responder: _Program | None = None
        self._sender: _Program | None = None

    def start(self) -> None:
        """Start the responder, and then the sender.

        Raises:
            InvalidInput: a node is off.
            CheckFailed: a program does not start.
        """
        way, pace = self._way, self._pace
        responder = self._responder = self._program(way.target, "respond", way.target_address, pace.flows)
        self._started(responder)
        ends = (way.source_address, pace.interval, way.target_address, *responder.ports)
        self._sender = self._program(way.source, "send", *ends)
        self._started(self._sender)

    def finish(self) -> None:
        """Stop sending, wait for what is on its way, and read the last reports of both ends."""
        for program in (self._sender, self._responder):
            assert program is not None
            program.finish()
            if not self.until(program.ended, _ENDS_WITHIN):
                raise _unresponsive(program.node)

    def close(self) -> None:
        """End the programs in the nodes."""
        for program in (self._sender, self._responder):
            if program is not None:
                program.close()
        self.selector.close()

    def until(self, done: Callable[[], bool], seconds: float) -> bool:
        """Wait until `done()` is true, for `seconds` at most; returns whether it is.

        Raises:
            CheckFailed: a program at either end has ended.
        """
        deadline = time.monotonic() + seconds
        while not done():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            for key, _ in self.selector.select(min(left, _LOOK)):
                key.data()
        return True

    def steady(self) -> list[bool]:
        """Of each flow, whether packets came back in a row."""
        return [_STEADY in fates for fates in self._fates]

    def arrived(self) -> bool:
        """Whether any packet reached the target."""
        return any(SEEN in fates or RETURNED in fates for fates in self._fates)

    def lost(self, since: float) -> int:
        """How many of the judged packets since a time did not come back."""
        first, last = bisect_left(self._times, since), bisect_left(self._times, time.monotonic() - PATIENCE)
        return sum(last - first - fates[first:last].count(RETURNED) for fates in self._fates) if first < last else 0

    def well(self, since: float, seconds: float) -> int:
        """How many flows lost none of the packets judged last, those of so many seconds, all sent since a time."""
        until = time.monotonic() - PATIENCE
        if until - seconds < since:
            return 0
        return sum(without_loss(self._times, fates, until - seconds, until) for fates in self._fates)

    @property
    def end(self) -> float:
        """When the next packet of each flow would have gone out; 0 before the first."""
        return self._times[-1] + self._pace.interval if self._times else 0.0

    def results(self, since: float, settle: float) -> tuple[FlowLoss, ...]:
        """What the flows, which have ended, lost since a time. One without loss for the last `settle` has recovered.

        Raises:
            CheckFailed: nothing was sent since then.
        """
        first = bisect_left(self._times, since)
        times = self._times[first:]
        if not times:
            raise _unresponsive(self._way.source)
        end = self.end
        assert self._sender is not None
        return tuple(
            FlowLoss(
                port,
                len(times),
                losses(times, fates[first:], UNSEEN, since, end),
                losses(times, fates[first:], SEEN, since, end),
                without_loss(times, fates[first:], end - settle, end),
            )
            for port, fates in zip(self._sender.ports, self._fates, strict=True)
        )

    def _program(self, node: str, role: str, *arguments: object) -> _Program:
        words = (role, self._token, self._seconds, *map(str, arguments))
        return _Program(self._client, self.selector, node, self._take, words)

    def _started(self, program: _Program) -> None:
        if not self.until(lambda: bool(program.ports), _STARTS_WITHIN):
            raise _unresponsive(program.node)

    def _take(self, facts: dict[str, list[Any]]) -> None:
        self._times.extend(facts.get("sent", ()))
        for word, fate in (("seen", SEEN), ("back", RETURNED)):
            for number in facts.get(word, ()):
                packet, flow = divmod(number, self._pace.flows)
                self._lengthen(packet + 1)  # the responder's report may come first
                self._fates[flow][packet] = max(fate, self._fates[flow][packet])
        self._lengthen(len(self._times))

    def _lengthen(self, length: int) -> None:
        for fates in self._fates:
            if len(fates) < length:
                fates.extend(bytes([UNSEEN]) * (length - len(fates)))


class _Program:
    """`flow_probe` in a node. `ports` are those of its flows, empty until it has reported them."""

    def __init__(
        self,
        client: LabClient,
        selector: selectors.BaseSelector,
        node: str,
        on_facts: Callable[[dict[str, list[Any]]], None],
        words: tuple[str, ...],
    ) -> None:
        text = Path(flow_probe.__file__).read_text(encoding="utf-8")
        self.node = node
        self.ports: list[int] = []
        self._ended = False
        self._on_facts = on_facts
        self._finishing = False
        self._begun = b""
        self._selector = selector
        self._process = client.runtime.stream(client.record.lab, node, ("python3", "-Ic", text, *words))
        self._out = _stream(self._process.stdout)
        selector.register(self._out, selectors.EVENT_READ, self._read)

    def ended(self) -> bool:
        """Whether it has reported everything."""
        return self._ended

    def finish(self) -> None:
        """Ask it to end."""
        self._finishing = True
        _stream(self._process.stdin).close()

    def close(self) -> None:
        """Kill it, if it has not ended."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            _stream(stream).close()

    def _read(self) -> None:
        data = os.read(self._out.fileno(), 1 << 16)
        if not data:
            self._selector.unregister(self._out)
            self._ended = True
            if not self._finishing or self._process.wait() != 0:
                raise self._gone()
        *lines, self._begun = (self._begun + data).split(b"\n")
        for line in lines:
            facts = json.loads(line)
            self.ports = facts.pop("ports", self.ports)
            self._on_facts(facts)

    def _gone(self) -> CheckFailed:
        words = _stream(self._process.stderr).read().decode(errors="replace").strip().splitlines()
        return CheckFailed(
            f"the measurement on {self.node} ended early: "
            + (words[-1] if words else "the node was powered off, or the program killed."),
            "Both ends must stay on, with their addresses, during the measurement.",
        )


def _stream(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None  # a Process has all three
    return stream


def _unresponsive(node: str) -> CheckFailed:
    return CheckFailed(
        f"the program that measures on {node} does not answer.", "This machine may be too busy: try with fewer flows."
    )
