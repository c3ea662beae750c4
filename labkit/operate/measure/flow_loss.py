"""What became of a flow's packets: how many each direction lost, and for how long. Pure.

A flow is two sequences of equal length: when each packet was sent (seconds, ascending) and its fate.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

UNSEEN, SEEN, RETURNED, OPEN = 0, 1, 2, 3
"""Fates: the responder never saw it (lost forward); saw it, but no echo came (lost backward); it was echoed.

`OPEN` is not known: it has not come back, and may be where a program that is held up has not read it yet.
"""
_NOT_FINAL = bytes.maketrans(bytes([UNSEEN, SEEN]), bytes([OPEN, OPEN]))


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


def judged(fates: bytes, final: int) -> bytes:
    """The fates as far as they are known: those of the first `final` packets are final, and whatever came back is."""
    return fates[:final] + fates[final:].translate(_NOT_FINAL)


def recovered(
    times: Sequence[float], fates: bytes | bytearray, final: int, window: tuple[float, float], end: float
) -> bool | None:
    """Whether a flow lost nothing in the last seconds of which something is known.

    Args:
        times: when its packets were sent.
        fates: what became of them.
        final: how many of the fates are final; of the others, those that came back are.
        window: how many seconds it must have lost nothing, and when these may begin at the earliest.
        end: when the next packet would be sent.

    Returns:
        None if it is not known: there are not so many seconds, or a packet in them has no final fate.
    """
    seconds, earliest = window
    count = min(max(final, fates.rfind(RETURNED) + 1), len(times))
    until = times[count] if count < len(times) else end
    first = bisect_left(times, until - seconds)
    if until - seconds < earliest or first >= count:
        return None
    known, others = fates[first:final], fates[max(first, final) : count]
    if known.count(RETURNED) < len(known):
        return False
    return True if others.count(RETURNED) == len(others) else None
