"""Waiting for files without looking at them again and again (inotify(7), which Python has no module for)."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterator

MODIFY = 0x2
MOVED_TO = 0x80
CREATE = 0x100
CLOSE_WRITE = 0x8
CLOSE_NOWRITE = 0x10

_EVENT = struct.Struct("iIII")
_libc = ctypes.CDLL(None, use_errno=True)


class Inotify:
    """Watches of files and folders. `descriptor` is readable when something has happened."""

    def __init__(self) -> None:
        self.descriptor: int = _libc.inotify_init1(os.O_CLOEXEC)
        if self.descriptor < 0:
            _fail("inotify_init1")

    def close(self) -> None:
        """End all watches."""
        os.close(self.descriptor)

    def watch(self, path: str, events: int) -> int:
        """Watch a path for these events; returns the watch's number. Raises OSError if it is not there."""
        number: int = _libc.inotify_add_watch(self.descriptor, os.fsencode(path), events)
        if number < 0:
            _fail(path)
        return number

    def read(self) -> Iterator[tuple[int, int]]:
        """Wait, then return what has happened: number of the watch, and event."""
        data = os.read(self.descriptor, 1 << 16)
        offset = 0
        while offset < len(data):
            number, event, _, length = _EVENT.unpack_from(data, offset)
            offset += _EVENT.size + length
            yield number, event


def _fail(what: str) -> None:
    number = ctypes.get_errno()
    raise OSError(number, os.strerror(number), what)
