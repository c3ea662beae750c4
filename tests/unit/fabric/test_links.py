"""How the kernel's own link messages are read."""

from __future__ import annotations

import socket
import struct

from labkit.fabric.links import gone


def message(kind: int, family: int, index: int, padding: int = 0) -> bytes:
    body = struct.pack("=BxHiII", family, 1, index, 0, 0) + bytes(padding)
    length = 16 + len(body)
    return struct.pack("=IHHII", length, kind, 0, 0, 0) + body + bytes(-length % 4)


def test_only_deletions_of_interfaces_themselves_count() -> None:
    buffer = b"".join(
        (
            message(16, socket.AF_UNSPEC, 3, padding=5),
            message(17, socket.AF_UNSPEC, 4, padding=3),
            message(17, 7, 5),  # AF_BRIDGE: a port left the bridge
            message(17, socket.AF_UNSPEC, 6),
        )
    )
    assert gone(buffer) == {4, 6}


def test_nothing_is_gone_in_an_empty_buffer() -> None:
    assert gone(b"") == frozenset()
