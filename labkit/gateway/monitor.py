"""What the daemon reports by BMP, read by a thread of its own and put into the service's inbox."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NoReturn, TypeAlias

from labkit.daemons.protocol import BmpHabits
from labkit.gateway.bmp import BmpStream, BmpUpdate, Message
from labkit.gateway.kernel import KernelRoutes


@dataclass(frozen=True, slots=True)
class Connected:
    """The daemon has connected, and begins to report from the beginning."""

    connection: socket.socket


@dataclass(frozen=True, slots=True)
class Reported:
    """The daemon has reported this; the kernel has had time to get the routes that follow."""

    messages: tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The daemon's connection has ended, whoever closed it."""


BmpEvent: TypeAlias = Connected | Reported | Disconnected


def listen(
    listener: socket.socket, habits: BmpHabits, routes: KernelRoutes, put: Callable[[BmpEvent], None]
) -> NoReturn:
    """Accept one connection of the daemon after the other, for ever, and report what comes over it.

    Raises:
        ValueError: what comes is not BMP.
    """
    while True:
        connection, _ = listener.accept()
        with connection:
            put(Connected(connection))
            read(connection, BmpStream(habits), routes, put)
        put(Disconnected())


def read(connection: socket.socket, stream: BmpStream, routes: KernelRoutes, put: Callable[[BmpEvent], None]) -> None:
    """Report what comes over a connection, as long as it lasts, once the kernel has routes for it."""
    while data := _receive(connection):
        messages = tuple(stream.feed(data, time.time()))
        routes.wait_for(_announced(messages))
        put(Reported(messages))


def _announced(messages: Iterable[Message]) -> set[str]:
    """The prefixes that are there after these messages."""
    found: set[str] = set()
    for message in messages:
        if isinstance(message, BmpUpdate):
            found = found.difference(message.withdrawn).union(message.announced)
    return found


def _receive(connection: socket.socket) -> bytes:
    """The next bytes; none when the daemon is gone, however it went."""
    try:
        return connection.recv(1 << 16)
    except ConnectionError:
        return b""
