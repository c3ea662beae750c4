"""BGP sessions that one end still has, while the other is off or has forgotten them, and when they end.

BGP refuses a new connection for a session that it has (RFC 4271 §6.8): until the old one ends, none comes up. That is
when its hold time is over, or when the far end, powered on again, answers what it gets on it by a reset. The times are
those of the holder's TCP connection.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from labkit.errors import CheckFailed, LabkitError
from labkit.feed.status import PlatformStatus
from labkit.lab.sessions import BgpSession, SessionEnd
from labkit.operate.look.client import AT_ONCE, LabClient
from labkit.runtimes.protocol import LabStatus

PATIENCE = 5.0
"""Seconds that a node may take to show its connections."""

_SINCE = re.compile(r"\b(lastsnd|lastrcv):(\d+)")
_RETRANSMISSION = re.compile(r"timer:\(on,(?:(\d+)min)?(?:(\d+(?:\.\d+)?)sec)?(?:(\d+)ms)?,")


@dataclass(frozen=True, slots=True)
class TcpConnection:
    """A TCP connection: seconds since the last data were sent and received, and until they are sent again.

    `again` is None if all that was sent has been acknowledged.
    """

    sent: float
    received: float
    again: float | None


@dataclass(frozen=True, slots=True)
class HeldSession:
    """A session that `holder` still has with `far`. It ends at `until` (Unix seconds) at the latest."""

    holder: str
    far: str
    until: float

    def text(self, now: float) -> str:
        """What is held, until when, as a sentence without a full stop."""
        clock = time.strftime("%H:%M:%S", time.localtime(round(self.until)))
        left = max(0, round(self.until - now))
        return f"{self.holder} keeps its old session with {self.far} until {clock} at the latest ({left} s)"


def held_session(client: LabClient, session: BgpSession, holder: SessionEnd, *, on: bool) -> HeldSession | None:
    """A session that its far end does not have, by the holder's connection.

    None if the holder has none either, or does not answer. `on` is whether the far end's node is on, or about to be.
    """
    far = session.far(holder)
    argv = ("ss", "-Htnio", "state", "established", "src", str(holder.address), "dst", str(far.address))
    try:
        connections = read(client.run(holder.node, *argv, timeout=PATIENCE).stdout)
    except LabkitError:  # it has been powered off meanwhile, or is frozen
        return None
    ends_in = min((_ends_in(each, session.hold, holder.keepalive, on=on) for each in connections), default=None)
    return None if ends_in is None else HeldSession(holder.node, far.node, time.time() + ends_in)


def held_with(client: LabClient, status: LabStatus, node: str) -> list[HeldSession]:
    """The sessions that others keep with a node that is off and about to be powered on, the first to end first.

    None of them if the controller does not answer, which knows what sessions there are.
    """
    off = {each.name for each in status.nodes if each.off}
    if node not in off:
        return []
    try:
        sessions = client.fetch(PlatformStatus, "status").configured
    except CheckFailed:
        return []
    holders = [(s, s.far(end)) for s in sessions for end in s.ends if end.node == node and s.far(end).node not in off]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = pool.map(lambda each: held_session(client, *each, on=True), holders)
        return sorted((held for held in found if held is not None), key=lambda held: held.until)


def read(text: str) -> Iterator[TcpConnection]:
    """The connections that `ss -Htnio` prints, two lines each."""
    lines = text.splitlines()
    for first, second in zip(lines[::2], lines[1::2], strict=False):
        since = {name: int(milliseconds) / 1000 for name, milliseconds in _SINCE.findall(second)}
        timer = _RETRANSMISSION.search(first)
        again = None
        if timer is not None:
            minutes, seconds, milliseconds = (float(part or 0) for part in timer.groups())
            again = minutes * 60 + seconds + milliseconds / 1000
        # What is zero is not printed.
        yield TcpConnection(since.get("lastsnd", 0.0), since.get("lastrcv", 0.0), again)


def _ends_in(connection: TcpConnection, hold: int, keepalive: int, *, on: bool) -> float:
    """Seconds until a session ends at the latest: its hold time, or the next time that a node that is on is sent to."""
    expires = hold - connection.received
    if on:
        following = keepalive - connection.sent if connection.again is None else connection.again
        expires = min(expires, following)
    return max(0.0, expires)
