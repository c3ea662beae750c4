"""The kernel of a gateway's instance: whether it has routes yet for what the daemon has just received."""

from __future__ import annotations

import errno
import select
import socket
import struct
import sys
import time
from collections.abc import Collection
from ipaddress import IPv4Address

from labkit.netlink import HEADER, attributes, messages

PATIENCE = 0.3
"""Seconds. A daemon accepts a route, reports it and decides 50 ms later; the kernel gets only what it uses."""

_RTMGRP_IPV4_ROUTE = 0x40
_RTM_NEWROUTE, _RTM_DELROUTE, _RTM_GETROUTE = 24, 25, 26
_REQUEST_DUMP = 0x301
_ROUTE = struct.Struct("=BBBBBBBBI")
_DESTINATION, _PRIORITY, _TABLE = 1, 6, 15
_MAIN = 254
_BUFFER = 1 << 17


class KernelRoutes:
    """The prefixes of the main routing table, by the kernel's own messages. For use by one thread."""

    def __init__(self) -> None:
        self._routes: set[tuple[str, int]] = set()
        """Prefixes and metrics."""
        self._socket = self._subscribe()

    def wait_for(self, prefixes: Collection[str]) -> bool:
        """Wait until there is a route for each of these prefixes, but no longer than `PATIENCE`.

        Machines that are sent to a gateway before that would lose their packets there.

        Returns:
            Whether there is.
        """
        deadline = time.monotonic() + PATIENCE
        while not set(prefixes) <= {prefix for prefix, _ in self._routes}:
            if not select.select([self._socket], [], [], max(0.0, deadline - time.monotonic()))[0]:
                return False
            self._receive()
        return True

    def take(self, buffer: bytes) -> None:
        """Take a buffer of netlink messages."""
        for kind, body in messages(buffer):
            if kind in (_RTM_NEWROUTE, _RTM_DELROUTE) and (route := _route(body)) is not None:
                (self._routes.add if kind == _RTM_NEWROUTE else self._routes.discard)(route)

    def _receive(self) -> None:
        try:
            self.take(self._socket.recv(_BUFFER))
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
            # So much changed that the kernel dropped messages: from the beginning.
            self._socket.close()
            self._routes.clear()
            self._socket = self._subscribe()

    def _subscribe(self) -> socket.socket:
        """Ask for every route there is, and for what changes from now on."""
        kernel = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
        kernel.bind((0, _RTMGRP_IPV4_ROUTE))
        body = _ROUTE.pack(socket.AF_INET, 0, 0, 0, 0, 0, 0, 0, 0)
        kernel.send(HEADER.pack(HEADER.size + len(body), _RTM_GETROUTE, _REQUEST_DUMP, 0, 0) + body)
        return kernel


def _route(body: bytes) -> tuple[str, int] | None:
    """The prefix and metric of a route message; None for one of another table."""
    _, length, _, _, table, *_ = _ROUTE.unpack_from(body)
    found = attributes(body[_ROUTE.size :])
    if int.from_bytes(found.get(_TABLE, bytes((table,))), sys.byteorder) != _MAIN:
        return None
    metric = int.from_bytes(found.get(_PRIORITY, b""), sys.byteorder)
    return f"{IPv4Address(found.get(_DESTINATION, bytes(4)))}/{length}", metric
