"""What `labkit measure` runs in nodes: numbered packets go out, are echoed, and each side reports those it received.

Its text is sent to the nodes' own Python, so it imports nothing of labkit.

    respond TOKEN SECONDS ADDRESS FLOWS
    send TOKEN SECONDS ADDRESS INTERVAL TARGET PORT...

Either has one socket a flow, bound to ADDRESS; the sender's flows go to the PORTs of TARGET. Packet `number` of flow
`number % flows` carries the token and the number, and nothing without the token is echoed. It prints one JSON
object per line, with times by CLOCK_MONOTONIC: first `ports`, then every `REPORT` seconds

    sent       when one packet of every flow had gone out, new ones
    back       the numbers that the sender has received, new ones
    seen       the numbers that the responder has received, new ones
    looked     everything that had come until then has been read, and is in this line or an earlier one. What the
               responder had read at one `looked`, it had echoed at the next
    stopped    whether the sender has stopped sending

The sender stops sending at the first byte of standard input. Either program ends when its standard input does, or
after SECONDS.
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
_BUFFER = 1 << 22
_STDIN = 0
_SO_RCVBUFFORCE = 33


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
    due, over = monotonic(), False
    while not over:
        looked = monotonic()
        readable, given = _wait(sockets, min(due, end))
        for each in readable:
            for packet, sender in _packets(each, token):
                seen.append(_number(packet))
                with suppress(OSError):  # there is no way back now: it is lost on it
                    each.sendto(packet, sender)
        over = given == b"" or looked >= end
        if over or monotonic() >= due:
            _report(seen=seen, looked=looked)
            seen, due = [], monotonic() + REPORT


def _send(
    token: bytes, sockets: Sequence[socket.socket], targets: Sequence[tuple[str, int]], interval: float, end: float
) -> None:
    sent: list[float] = []
    back: list[int] = []
    number, stopped, over = 0, False, False
    due = report = monotonic()
    while not over:
        now = monotonic()
        if not stopped and now >= due:
            for each, target in zip(sockets, targets, strict=True):
                with suppress(OSError):  # the node has no way there now: it is lost
                    each.sendto(token + number.to_bytes(8, "big"), target)
                number += 1
            # Not before all of them have gone out: whoever is held up here sends later.
            sent.append(monotonic())
            # Who was held up does not catch up: a burst would measure something else.
            due = due + interval if due + interval > now else now + interval
        looked = monotonic()
        readable, given = _wait(sockets, min(report, end) if stopped else min(report, end, due))
        for each in readable:
            back += [_number(packet) for packet, _ in _packets(each, token)]
        stopped = stopped or given is not None
        over = given == b"" or looked >= end
        if over or monotonic() >= report:
            _report(sent=sent, back=back, looked=looked, stopped=stopped)
            sent, back, report = [], [], monotonic() + REPORT


def _bound(address: str, flows: int) -> list[socket.socket]:
    """A socket a flow. Each has a buffer of its own: who is held up for a while must not lose what came meanwhile."""
    sockets = []
    for _ in range(flows):
        each = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        each.setblocking(False)
        try:
            each.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
        except PermissionError:  # an ordinary user gets what the machine allows
            each.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        each.bind((address, 0))
        sockets.append(each)
    _report(ports=[each.getsockname()[1] for each in sockets])
    return sockets


def _wait(sockets: Sequence[socket.socket], until: float) -> tuple[list[socket.socket], bytes | None]:
    """The sockets with packets, and what standard input has: empty at its end, None for nothing."""
    watched: list[socket.socket | int] = [*sockets, _STDIN]
    readable = select.select(watched, [], [], max(0.0, until - monotonic()))[0]
    given = os.read(_STDIN, 1) if _STDIN in readable else None
    return [each for each in readable if isinstance(each, socket.socket)], given


def _packets(one: socket.socket, token: bytes) -> Iterator[tuple[bytes, tuple[str, int]]]:
    """What has come of this measurement, and from where."""
    with suppress(BlockingIOError):
        while True:
            packet, sender = one.recvfrom(64)
            if len(packet) == len(token) + 8 and packet.startswith(token):
                yield packet, sender


def _number(packet: bytes) -> int:
    return int.from_bytes(packet[-8:], "big")


def _report(**facts: object) -> None:
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except OSError as error:
        sys.exit(error.strerror)
