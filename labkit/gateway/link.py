"""A line or a tunnel of a gateway's instance: its interface, which is down without a connection."""

from __future__ import annotations

import fcntl
import socket
import struct

_GET_FLAGS, _SET_FLAGS = 0x8913, 0x8914
_REQUEST = struct.Struct("16sH14x")
_UP = 0x1


def set_up(interface: str, *, up: bool) -> None:
    """Set an interface up or down, as netdevice(7) has it; an address with a peer keeps its route's place.

    Raises:
        OSError: there is no such interface.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as control:
        request = _REQUEST.pack(interface.encode(), 0)
        _, flags = _REQUEST.unpack(fcntl.ioctl(control, _GET_FLAGS, request))
        wanted = flags | _UP if up else flags & ~_UP
        if wanted != flags:
            fcntl.ioctl(control, _SET_FLAGS, _REQUEST.pack(interface.encode(), wanted))
