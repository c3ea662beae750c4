"""What `labkit measure` runs in nodes: numbered packets go out, are echoed, and each side reports those it received.

Its text is sent to the nodes' own Python, so it imports nothing of labkit.

    respond TOKEN SECONDS ADDRESS FLOWS
    send TOKEN SECONDS ADDRESS INTERVAL TARGET PORT...

Either has one socket a flow, bound to ADDRESS; the sender's flows go to the PORTs of TARGET. Packet `number` of flow
`number % flows` carries the token and the number, and nothing without the token is echoed. It prints one JSON
object per line: first `ports`, then what is new of `sent` (when, by CLOCK_MONOTONIC, one packet of every flow went
out), `back` and `seen` (numbers). The program ends when its standard input does, or after SECONDS.
"""

from __future__ import annotations

import json
import os
import select
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from time import monotonic

REPORT = 0.1
"""Seconds between two lines."""
PATIENCE = 1.0
"""Seconds that the last packets have to come back."""
_BUFFER = 1 << 20
_STDIN = 0


def main(role: str, token: str, seconds: str, address: str, *rest: str) -> None:
    """Be the responder or the sender."""
    end = monotonic() + float(seconds)
    if role == "respond":
        _respond(bytes.fromhex(token), _bound(address, int(rest[0])), end)
    else:
        interval, target, *ports = rest
        targets = [(target, int(port)) for port in ports]
        _send(bytes.fromhex(token), _bound(address, len(targets)), targets, float(interval), end)


def _respond(token: bytes, sockets: Sequence[socket.socket], end: float) -> None:
    seen: list[int] = []
    due, over = 0.0, False
    while not over:
        readable, over = _wait(sockets, due if seen else end)
        for each in readable:
            for packet, sender in _packets(each, token):
                seen.append(_number(packet))
                with suppress(OSError):  # there is no way back now: it is lost on it
                    each.sendto(packet, sender)
        over = over or monotonic() >= end
        if seen and (over or monotonic() >= due):
            _tell(seen=seen)
            seen, due = [], monotonic() + REPORT


def _send(
    token: bytes, sockets: Sequence[socket.socket], targets: Sequence[tuple[str, int]], interval: float, end: float
) -> None:
    sent: list[float] = []
    back: list[int] = []
    number, over = 0, False
    due = report = monotonic()
    while (now := monotonic()) < end:
        if not over and now >= due:
            sent.append(now)
            for each, target in zip(sockets, targets, strict=True):
                with suppress(OSError):  # the node has no way there now: it is lost
                    each.sendto(token + number.to_bytes(8, "big"), target)
                number += 1
            # Who was held up does not catch up: a burst would measure something else.
            due = due + interval if due + interval > now else now + interval
        if now >= report:
            _tell(sent=sent, back=back)
            sent, back, report = [], [], now + REPORT
        readable, finish = _wait(sockets, min(report, end if over else due), stdin=not over)
        for each in readable:
            back += [_number(packet) for packet, _ in _packets(each, token)]
        if finish:
            over, end = True, min(end, monotonic() + PATIENCE)
    _tell(sent=sent, back=back)


def _bound(address: str, flows: int) -> list[socket.socket]:
    """A socket a flow. Each has a buffer of its own: who is held up for a second must not lose what came meanwhile."""
    sockets = []
    for _ in range(flows):
        each = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        each.setblocking(False)
        each.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        each.bind((address, 0))
        sockets.append(each)
    _tell(ports=[each.getsockname()[1] for each in sockets])
    return sockets


def _wait(sockets: Sequence[socket.socket], until: float, *, stdin: bool = True) -> tuple[list[socket.socket], bool]:
    """The sockets with packets, and whether standard input has ended."""
    watched: list[socket.socket | int] = [*sockets, *([_STDIN] if stdin else [])]
    readable = select.select(watched, [], [], max(0.0, until - monotonic()))[0]
    over = _STDIN in readable and not os.read(_STDIN, 1)
    return [each for each in readable if isinstance(each, socket.socket)], over


def _packets(one: socket.socket, token: bytes) -> Iterator[tuple[bytes, tuple[str, int]]]:
    """What has come of this measurement, and from where."""
    with suppress(BlockingIOError):
        while True:
            packet, sender = one.recvfrom(64)
            if len(packet) == len(token) + 8 and packet.startswith(token):
                yield packet, sender


def _number(packet: bytes) -> int:
    return int.from_bytes(packet[-8:], "big")


def _tell(**facts: object) -> None:
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except OSError as error:
        sys.exit(error.strerror)
