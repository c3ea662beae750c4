"""Route netlink, as much of it as several rooms read: messages in a buffer, and their attributes."""

from __future__ import annotations

import struct
from collections.abc import Iterator

HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_ATTRIBUTE_TYPE = 0x3FFF
_ALIGN = 4


def messages(buffer: bytes) -> Iterator[tuple[int, bytes]]:
    """The messages in a buffer as `(type, body)`."""
    position = 0
    while position + HEADER.size <= len(buffer):
        length, kind, *_ = HEADER.unpack_from(buffer, position)
        yield kind, buffer[position + HEADER.size : position + length]
        position += (length + _ALIGN - 1) & -_ALIGN


def attributes(data: bytes) -> dict[int, bytes]:
    """The attributes behind the fixed part of a message, by type; of one that occurs twice, the last."""
    found: dict[int, bytes] = {}
    position = 0
    while position + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, position)
        found[kind & _ATTRIBUTE_TYPE] = data[position + _ATTRIBUTE.size : position + length]
        position += (max(length, _ATTRIBUTE.size) + _ALIGN - 1) & -_ALIGN
    return found
