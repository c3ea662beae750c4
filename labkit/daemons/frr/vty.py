"""A daemon's command line, by the socket that vtysh uses: one answer costs microseconds, a vtysh 20 ms."""

from __future__ import annotations

import socket
from collections.abc import Iterable

from labkit.daemons.errors import NoAnswer

FOLDER = "/run/frr"
"""Where FRR's daemons have their sockets."""

PATIENCE = 8.0
"""Seconds that a daemon may take to answer; who asks the controller waits for 10."""

CONFIGURED = ("mgmtd", "zebra", "bgpd")
"""The daemons that have a configuration of their own."""

RUNNING = ("show running-config",)

_END = b"\0\0\0"
_WARNING = 1  # the command was carried out


def socket_of(daemon: str, folder: str = FOLDER) -> str:
    """The socket on which a daemon answers, in its node."""
    return f"{folder}/{daemon}.vty"


def known_of(daemon: str) -> str:
    """Where a node keeps the running configuration that labkit has given a daemon: by hand it may become another."""
    return f"{FOLDER}/{daemon}.known"


def vty(daemon: str, folder: str = FOLDER) -> Vty:
    """A connection to a daemon of the same node. Raises NoAnswer if it does not listen."""
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(socket_of(daemon, folder))
    except OSError as error:
        connection.close()
        raise NoAnswer(f"{daemon} does not listen: {error}") from error
    return Vty(daemon, connection)


class Vty:
    """A connection to a daemon, with all rights. As a context manager it is closed at the end."""

    def __init__(self, daemon: str, connection: socket.socket) -> None:
        self.daemon = daemon
        self._socket = connection
        self._socket.settimeout(PATIENCE)

    def __enter__(self) -> Vty:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def run(self, commands: Iterable[str]) -> str:
        """The output of the commands, which begin in the mode of `enable`.

        Raises:
            NoAnswer: a command failed, and those after it were not tried; or the daemon went away, or is silent.
        """
        return "".join(map(self._one, ("enable", *commands)))

    def _one(self, command: str) -> str:
        data = b""
        try:
            self._socket.sendall(command.encode() + b"\0")
            # The output, three NULs, and the command's result.
            while data[-4:-1] != _END:
                piece = self._socket.recv(1 << 16)
                if not piece:
                    raise NoAnswer(f"{self.daemon} ended while it carried out `{command}`")
                data += piece
        except OSError as error:
            raise NoAnswer(f"{self.daemon} does not answer `{command}`: {error}") from error
        text = data[:-4].decode(errors="replace")
        if data[-1] > _WARNING:
            raise NoAnswer(f"{self.daemon} refuses `{command}`: {text.strip() or f'result {data[-1]}'}")
        return text
