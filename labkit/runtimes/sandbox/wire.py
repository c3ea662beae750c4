"""Messages between the sandbox's init and those who talk to it: length, JSON, and file descriptors beside it."""

from __future__ import annotations

import array
import json
import os
import socket
import struct
from collections.abc import Mapping, Sequence
from typing import Generic, TypeVar

_LENGTH = struct.Struct("=I")
_MOST_DESCRIPTORS = 8
_LONGEST = 16 << 20

M = TypeVar("M")
"""What is read, one of `messages`."""


class Closed(Exception):
    """The other side has closed the connection."""


def send(connection: socket.socket, message: Mapping[str, object], descriptors: Sequence[int] = ()) -> None:
    """Send one message. Raises `Closed` if nobody is there to read it."""
    body = json.dumps(message).encode()
    data = _LENGTH.pack(len(body)) + body
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
    try:
        sent = connection.sendmsg([data], ancillary)
        if sent < len(data):
            connection.sendall(data[sent:])
    except (BrokenPipeError, ConnectionResetError) as error:
        raise Closed from error


class Reader(Generic[M]):
    """Reads messages from a stream socket, blocking or not. That they are what is expected is the sender's promise."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._data = b""
        self._descriptors: list[int] = []

    def fill(self) -> None:
        """Read once what is there. Raises `Closed` at the end of the stream, BlockingIOError if there is nothing."""
        space = socket.CMSG_SPACE(_MOST_DESCRIPTORS * array.array("i").itemsize)
        try:
            data, ancillary, _, _ = self._connection.recvmsg(1 << 16, space, socket.MSG_CMSG_CLOEXEC)
        except ConnectionResetError as error:
            raise Closed from error
        for level, kind, content in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                found = array.array("i")
                found.frombytes(content[: len(content) - len(content) % found.itemsize])
                self._descriptors += found
        if not data:
            raise Closed
        self._data += data

    def take(self) -> tuple[M, list[int]] | None:
        """A whole message that was read, with the descriptors that came so far; None if there is none yet."""
        if len(self._data) < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack_from(self._data)
        if length > _LONGEST:
            raise Closed
        if len(self._data) < _LENGTH.size + length:
            return None
        message: M = json.loads(self._data[_LENGTH.size : _LENGTH.size + length])
        self._data = self._data[_LENGTH.size + length :]
        descriptors, self._descriptors = self._descriptors, []
        return message, descriptors

    def read(self) -> tuple[M, list[int]]:
        """The next message and its descriptors; waits for it as long as the socket's timeout lets it."""
        while (found := self.take()) is None:
            self.fill()
        return found

    def close(self) -> None:
        """Close descriptors that came and were not taken."""
        for descriptor in self._descriptors:
            os.close(descriptor)
        self._descriptors = []
