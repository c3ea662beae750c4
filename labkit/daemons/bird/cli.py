"""BIRD's command line, by the socket that birdc uses. Every line of an answer has a code of four digits."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable

from labkit.daemons.errors import NoAnswer

SOCKET = "/run/bird/bird.ctl"
"""Where BIRD answers, in its node."""

KNOWN = "/etc/bird/known.conf"
"""Next to bird.conf: the same file without what was changed in it by hand."""

PATIENCE = 8.0
"""Seconds that it may take to answer; who asks the controller waits for 10."""

GREETING = re.compile(rb"0001 .*\n")
"""What BIRD sends whoever connects, once it runs by its configuration."""

_END = re.compile(rb"^(\d{4}) .*\n\Z", re.MULTILINE)
_CODED = re.compile(r"\d{4}[ -]")
_REFUSED = 8000
"""From this code on, an answer is an error."""
_NOT_IN_TABLE = 8001
"""A table without such a route: nothing is no mistake."""


class Cli:
    """A connection to BIRD."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._socket.settimeout(PATIENCE)

    def run(self, lines: Iterable[str]) -> str:
        """The output of these lines, as birdc prints it.

        Raises:
            NoAnswer: a line is refused, and those after it were not tried; or BIRD went away, or is silent.
        """
        self._answer("its greeting")
        return "".join(map(self._one, lines))

    def _one(self, line: str) -> str:
        try:
            self._socket.sendall(f"{line}\n".encode())
        except OSError as error:
            raise NoAnswer(f"BIRD does not answer `{line}`: {error}") from error
        code, text = self._answer(f"`{line}`")
        if code >= _REFUSED and code != _NOT_IN_TABLE:
            raise NoAnswer(f"BIRD refuses `{line}`: {text.strip()}")
        return text

    def _answer(self, what: str) -> tuple[int, str]:
        """The code and the text of an answer, which ends with a line that has a blank after its code."""
        data = b""
        while not (end := _END.search(data[-1000:])):
            try:
                piece = self._socket.recv(1 << 16)
            except OSError as error:
                raise NoAnswer(f"BIRD does not answer {what}: {error}") from error
            if not piece:
                raise NoAnswer(f"BIRD ended before {what}")
            data += piece
        lines = data.decode(errors="replace").splitlines()
        return int(end[1]), "".join(f"{_plain(line)}\n" for line in lines)


def _plain(line: str) -> str:
    """A line without its code, or without the blank in place of the code of the line before."""
    return line[5:] if _CODED.match(line) else line[1:]


def disabled(protocols: str) -> list[str]:
    """The BGP protocols that are disabled, by what `show protocols` prints: no other one is down."""
    lines = (line.split() for line in protocols.splitlines())
    return [words[0] for words in lines if words[1:2] == ["BGP"] and words[3:4] == ["down"]]
