"""A daemon's command line, against a daemon of the test's own."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from labkit.daemons.errors import NoAnswer
from labkit.daemons.frr.vty import vty


@contextmanager
def daemon(folder: Path, answers: dict[str, list[bytes]]) -> Iterator[list[str]]:
    """Listens as a daemon called `bgpd` and gives each command's answer in these pieces; yields the commands."""
    commands: list[str] = []

    def serve(connection: socket.socket) -> None:
        with connection:
            buffer = b""
            while data := connection.recv(4096):
                *found, buffer = (buffer + data).split(b"\0")
                for command in map(bytes.decode, found):
                    commands.append(command)
                    if command not in answers:
                        return
                    for piece in answers[command]:
                        connection.sendall(piece)

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "bgpd.vty"))
        listener.listen()
        thread = threading.Thread(target=lambda: serve(listener.accept()[0]))
        thread.start()
        yield commands
        thread.join()


def test_the_output_of_the_commands_is_put_together(tmp_path: Path) -> None:
    answers = {"enable": [b"\0\0\0\0"], "a": [b"one\n\0", b"\0\0", b"\0"], "b": [b"two\n\0\0\0\1"]}
    with daemon(tmp_path, answers) as commands, vty("bgpd", str(tmp_path)) as connection:
        assert connection.run(["a", "b"]) == "one\ntwo\n"
    assert commands == ["enable", "a", "b"]


def test_a_refused_command_is_an_error_and_the_next_is_not_tried(tmp_path: Path) -> None:
    answers = {"enable": [b"\0\0\0\0"], "a": [b"% Unknown command\n\0\0\0\2"], "b": [b"\0\0\0\0"]}
    with (
        daemon(tmp_path, answers) as commands,
        vty("bgpd", str(tmp_path)) as connection,
        pytest.raises(NoAnswer, match="bgpd refuses `a`: % Unknown command"),
    ):
        connection.run(["a", "b"])
    assert commands == ["enable", "a"]


def test_a_daemon_that_ends_is_an_error(tmp_path: Path) -> None:
    with (
        daemon(tmp_path, {"enable": [b"\0\0\0\0"]}),
        vty("bgpd", str(tmp_path)) as connection,
        pytest.raises(NoAnswer, match="bgpd ended while it carried out `a`"),
    ):
        connection.run(["a"])


def test_a_daemon_that_does_not_listen_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NoAnswer, match="bgpd does not listen"):
        vty("bgpd", str(tmp_path))
