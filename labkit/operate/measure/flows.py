"""Flows between two nodes of a running lab, as seen from here: what was sent, what arrived, what came back."""

from __future__ import annotations

import json
import math
import os
import secrets
import selectors
import time
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import IO

from labkit.errors import CheckFailed, InvalidInput
from labkit.operate.look.client import LabClient
from labkit.operate.measure import flow_probe
from labkit.operate.measure.packets import FlowLoss, Packets, ProbeFacts

MOST_FLOWS = 64
MOST_PACKETS = 5000
"""Packets a second and direction: what the programs in the nodes can handle while the lab runs."""
_STARTS_WITHIN = 20.0
_KNOWN_WITHIN = 20.0
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


class Flows:
    """Running flows. Reports of their programs are read into `packets` while `until` waits."""

    def __init__(self, client: LabClient, way: FlowEnds, pace: Pace, seconds: float) -> None:
        self.selector = selectors.DefaultSelector()
        self._way = way
        self._pace = pace
        self.packets = Packets(pace.flows, pace.interval)
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
        """Stop sending, wait until every packet's fate is known, and read the last reports of both ends.

        If a program is held up for long, what is not known by then stays so.

        Raises:
            CheckFailed: a program does not end.
        """
        assert self._sender is not None
        assert self._responder is not None
        self._sender.stop()
        self.until(self.packets.complete, _KNOWN_WITHIN)
        for program in (self._sender, self._responder):
            program.finish()
            if not self.until(program.ended, _ENDS_WITHIN):
                raise unresponsive(program.node)

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

    def results(self, since: float, settled: float, settle: float) -> tuple[FlowLoss, ...]:
        """What the flows, which have ended, lost: see `Packets.results`.

        Raises:
            CheckFailed: nothing was sent since then.
        """
        assert self._sender is not None
        found = self.packets.results(self._sender.ports, since, settled, settle)
        if not found:
            raise unresponsive(self._way.source)
        return found

    def _program(self, node: str, role: str, *arguments: object) -> _Program:
        words = (role, self._token, self._seconds, *map(str, arguments))
        return _Program(self._client, self.selector, node, self.packets.take, words)

    def _started(self, program: _Program) -> None:
        if not self.until(lambda: bool(program.ports), _STARTS_WITHIN):
            raise unresponsive(program.node)


class _Program:
    """`flow_probe` in a node. `ports` are those of its flows, empty until it has reported them."""

    def __init__(
        self,
        client: LabClient,
        selector: selectors.BaseSelector,
        node: str,
        on_facts: Callable[[ProbeFacts], None],
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

    def stop(self) -> None:
        """Ask it to send nothing more.

        Raises:
            CheckFailed: it has ended.
        """
        try:
            os.write(_stream(self._process.stdin).fileno(), b".")
        except BrokenPipeError:
            raise self._gone() from None

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
            facts: ProbeFacts = json.loads(line)
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


def unresponsive(node: str) -> CheckFailed:
    """The error for a program that is held up for too long."""
    return CheckFailed(
        f"the program that measures on {node} does not answer.", "This machine may be too busy: try with fewer flows."
    )
