"""A daemon's command line, by the socket that vtysh uses: one answer costs microseconds, a vtysh 20 ms."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from pathlib import Path

from labkit.daemons.errors import NoAnswer

FOLDER = Path("/run/frr")
"""Where FRR's daemons have their sockets."""

PATIENCE = 8.0
"""Seconds that a daemon may take to answer; who asks the controller waits for 10."""

_END = b"\0\0\0"
_WARNING = 1  # the command was carried out


class Vty:
    """A connection to a daemon, with all rights. Ends with the `with` block that it belongs to."""

    def __init__(self, daemon: str, folder: Path = FOLDER, patience: float = PATIENCE) -> None:
        """Connect. Raises `NoAnswer` if the daemon does not listen."""
        self.daemon = daemon
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(patience)
        try:
            self._socket.connect(str(folder / f"{daemon}.vty"))
        except OSError as error:
            self._socket.close()
            raise NoAnswer(f"{daemon} does not listen: {error}") from error

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
