"""What interfaces there are, and word from the kernel when that changes."""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterator

from labkit.netlink import messages

_RTMGRP_LINK = 1
_RTM_DELLINK = 17
_IFINFOMSG = struct.Struct("=BxHiII")
_BUFFER = 1 << 16


class LinkMonitor:
    """A subscription to this network namespace's link messages, from the moment it is made."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
        self._socket.bind((0, _RTMGRP_LINK))

    def changes(self) -> Iterator[frozenset[int]]:
        """Wait for news, for ever: each item holds the indices of interfaces that went away since the last.

        An empty item means that something else about some interface changed, or that so much changed that the kernel
        dropped messages. Either way: look.
        """
        while True:
            try:
                yield gone(self._socket.recv(_BUFFER))
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                yield frozenset()


def gone(buffer: bytes) -> frozenset[int]:
    """The indices of the interfaces that are deleted or moved away by a buffer of netlink messages."""
    indices = set()
    for kind, body in messages(buffer):
        if kind == _RTM_DELLINK:
            family, _, index, _, _ = _IFINFOMSG.unpack_from(body)
            # The bridge reports a port that merely leaves it as deleted, too, in its own family.
            if family == socket.AF_UNSPEC:
                indices.add(index)
    return frozenset(indices)


def interfaces() -> dict[str, int]:
    """The index of every interface in this network namespace, by name."""
    return {name: index for index, name in socket.if_nameindex()}
