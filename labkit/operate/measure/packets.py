"""The packets of flows, by what the programs at both ends report: which came back, and which must be lost. Pure.

Times are this machine's monotonic clock, which the nodes share.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

from labkit.operate.measure.flow_loss import OPEN, RETURNED, SEEN, UNSEEN, Direction, judged, losses, recovered

PATIENCE = 1.0
"""Seconds that a packet may take one way, while nobody is held up."""
_STEADY = bytes([RETURNED]) * 10
"""A flow is steady once so many of its packets came back in a row."""


class ProbeFacts(TypedDict, total=False):
    """A line of `flow_probe`: numbers of packets, times in seconds."""

    ports: list[int]
    sent: list[float]
    seen: list[int]
    back: list[int]
    looked: float
    stopped: bool


@dataclass(frozen=True, slots=True)
class FlowLoss:
    """What a flow lost, and whether it lost nothing at its end; None if that is not known.

    `unknown` are packets of which it is not known whether they were lost.
    """

    source_port: int
    sent: int
    forward: Direction
    backward: Direction
    recovered: bool | None
    unknown: int


class Packets:
    """What became of the packets of some flows, of which one of each is sent at a time.

    A packet is lost if it had time to arrive, and the programs at both ends have looked since. While one of them is
    held up, the fate of packets is not known.

    Args:
        flows: how many flows.
        interval: seconds between two packets of a flow.
    """

    def __init__(self, flows: int, interval: float) -> None:
        self._interval = interval
        self._times = array("d")
        self._fates = [bytearray() for _ in range(flows)]
        self._echoed = array("d")
        self._read = -math.inf
        self.stopped = False

    def take(self, facts: ProbeFacts) -> None:
        """Take in a line of `flow_probe`."""
        if "seen" in facts:
            self._echoed.append(facts["looked"])
        elif "looked" in facts:
            self._read, self.stopped = facts["looked"], facts["stopped"]
        self._times.extend(facts.get("sent", ()))
        for numbers, fate in ((facts.get("seen", ()), SEEN), (facts.get("back", ()), RETURNED)):
            for number in numbers:
                packet, flow = divmod(number, len(self._fates))
                self._lengthen(packet + 1)  # the responder's report may come first
                self._fates[flow][packet] = max(fate, self._fates[flow][packet])
        self._lengthen(len(self._times))

    @property
    def known(self) -> float:
        """Until when packets were sent whose fate is known, as a time.

        What was sent by then had arrived when the responder looked, or never does. When the responder looked again it
        had been echoed, and the sender has looked after the echo had time to arrive.
        """
        looks = bisect_right(self._echoed, self._read - PATIENCE)
        return self._echoed[looks - 2] - PATIENCE if looks > 1 else -math.inf

    @property
    def known_for(self) -> float:
        """How many seconds of packets have a fate that is known."""
        return self.known - self._times[0] if self._times else -math.inf

    @property
    def end(self) -> float:
        """When the next packet of each flow would have gone out; 0 before the first."""
        return self._times[-1] + self._interval if self._times else 0.0

    def complete(self) -> bool:
        """Whether no more packets are sent, and the fate of all is known."""
        final = self._final
        return self.stopped and all(fates.count(RETURNED, final) == len(fates[final:]) for fates in self._fates)

    def steady(self) -> list[bool]:
        """Of each flow, whether packets came back in a row."""
        return [_STEADY in fates for fates in self._fates]

    def arrived(self) -> bool:
        """Whether any packet reached the target."""
        return any(SEEN in fates or RETURNED in fates for fates in self._fates)

    def lost(self, since: float) -> int:
        """How many packets sent since a time are known to be lost."""
        first, last = bisect_left(self._times, since), self._final
        return sum(last - first - fates[first:last].count(RETURNED) for fates in self._fates) if first < last else 0

    def well(self, since: float, seconds: float) -> int:
        """How many flows lost nothing for so many seconds since a time, and nothing after them as far as is known."""
        final, window, end = self._final, (seconds, since), self.end
        return sum(recovered(self._times, fates, final, window, end) is True for fates in self._fates)

    def results(self, ports: Sequence[int], since: float, settled: float, settle: float) -> tuple[FlowLoss, ...]:
        """What the flows, which have ended, lost since a time; nothing if nothing was sent since.

        One without loss for the last `settle` seconds has recovered. If the fate of the last packets is not known,
        those before them count, back to the time `settled`.
        """
        first = bisect_left(self._times, since)
        times, end, final = self._times[first:], self.end, max(0, self._final - first)
        window = (settle, min(settled, end - settle))
        return tuple(
            FlowLoss(
                port,
                len(times),
                losses(times, fates, UNSEEN, since, end),
                losses(times, fates, SEEN, since, end),
                recovered(times, fates, final, window, end),
                fates.count(OPEN),
            )
            for port, whole in zip(ports if times else (), self._fates, strict=bool(times))
            for fates in (judged(bytes(whole[first:]), final),)
        )

    @property
    def _final(self) -> int:
        """How many packets of each flow have a fate that is known."""
        return bisect_right(self._times, self.known)

    def _lengthen(self, length: int) -> None:
        for fates in self._fates:
            if len(fates) < length:
                fates.extend(bytes([UNSEEN]) * (length - len(fates)))
