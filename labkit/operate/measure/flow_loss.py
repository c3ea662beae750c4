"""What became of a flow's packets: how many each direction lost, and for how long. Pure.

A flow is two sequences of equal length: when each packet was sent (seconds, ascending) and its fate.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

UNSEEN, SEEN, RETURNED = 0, 1, 2
"""Fates: the responder never saw it (lost forward); saw it, but no echo came (lost backward); it was echoed."""


@dataclass(frozen=True, slots=True)
class Outage:
    """Packets in a row that one direction lost. `began` is when the first was sent, in seconds since the origin.

    It lasted until the flow's next packet was sent. A packet that never reached the responder counts forward only.
    """

    began: float
    seconds: float
    packets: int


@dataclass(frozen=True, slots=True)
class Direction:
    """What one direction lost; `longest` is the first of its longest outages, None if it lost nothing."""

    lost: int
    longest: Outage | None


def losses(times: Sequence[float], fates: Sequence[int], kind: int, origin: float, end: float) -> Direction:
    """What was lost forward (`kind` is `UNSEEN`) or backward (`SEEN`). The next packet would be sent at `end`."""
    lost, at = 0, 0
    longest: Outage | None = None
    for fate, group in groupby(fates):
        packets = len(list(group))
        began, at = times[at], at + packets
        if fate == kind:
            lost += packets
            outage = Outage(began - origin, (times[at] if at < len(times) else end) - began, packets)
            longest = outage if longest is None or outage.seconds > longest.seconds else longest
    return Direction(lost, longest)


def without_loss(times: Sequence[float], fates: Sequence[int], since: float, until: float) -> bool:
    """Whether packets were sent from `since` on and before `until`, and all of them came back."""
    first, last = bisect_left(times, since), bisect_left(times, until)
    return first < last and all(fate == RETURNED for fate in fates[first:last])
