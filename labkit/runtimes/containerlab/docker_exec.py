"""Commands in containers: run to their end, with pipes, or on a terminal.

Docker has no call that ends a command which `exec` started, and a client that goes away leaves it running. So each
carries a mark in its environment, by which the whole tree that it started is found and killed from inside.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from typing import IO

from docker.errors import NotFound

from labkit.errors import EnvironmentProblem
from labkit.patience import waiting
from labkit.runtimes.containerlab.docker_engine import engine, socket_path, translated
from labkit.runtimes.protocol import CommandTimeout, Completed

MARK = "LABKIT_COMMAND"
_KILL = f'found=$(grep -ls "{MARK}=$2" /proc/[0-9]*/environ | cut -d/ -f3); [ -n "$found" ] && kill -s "$1" $found'
"""Succeeds if it has found anything to kill. The mark is an argument here, so that it does not find itself."""
_LOOK = 0.25
"""Seconds of silence after which to ask whether the command has ended: who inherits its output keeps that open."""
_LAST_WORDS = 1.0
"""Seconds for which an ended command's output may still be on its way, when the engine does not close the stream."""
_STARTED_WITHIN = 60.0
"""Seconds in which the engine starts a command."""
_PATIENCE = 0.1
"""Seconds between two tries to kill a command that is just being started."""
_CANNOT_START = {
    "executable file not found": 127,
    "no such file or directory": 127,
    "permission denied": 126,
    "is a directory": 126,
}


def run(container: str, what: str, argv: Sequence[str], text: str | None, timeout: float | None) -> Completed:
    """Run a command to its end. `what` is the container in words.

    Raises:
        CommandTimeout: it did not end within `timeout` seconds; it was killed.
        EnvironmentProblem: the engine does not answer.
    """
    mark = uuid.uuid4().hex
    deadline = None if timeout is None else time.monotonic() + timeout
    client = engine()
    with translated():
        made = client.exec_create(container, list(argv), stdin=text is not None, environment={MARK: mark})["Id"]
        try:
            connection, begun = start(made, client.api_version)
        except ConnectionRefusedError as error:
            return _not_started(str(error))
        talk = _Talk(connection, begun, (text or "").encode(), has_input=text is not None)
        try:
            talk.until_end(deadline, lambda: bool(client.exec_inspect(made)["Running"]))
        except TimeoutError:
            kill(container, mark, "KILL")
            raise CommandTimeout(
                f"{what}: `{' '.join(argv)}` did not end within {timeout:g} s.", "It was killed."
            ) from None
        status = client.exec_inspect(made)["ExitCode"]
    out, err = (part.decode(errors="replace") for part in (talk.out, talk.err))
    if status in (126, 127) and out.startswith("OCI runtime exec failed"):
        return _not_started(out)
    return Completed(255 if status is None else status, out, err)


def kill(container: str, mark: str, name: str) -> bool:
    """Send a signal to all that a marked command has started; False if there is nothing (yet, or any more)."""
    client = engine()
    try:
        with translated():
            made = client.exec_create(container, ["sh", "-c", _KILL, "kill", name, mark])["Id"]
            client.exec_start(made)
            return bool(client.exec_inspect(made)["ExitCode"] == 0)
    except (NotFound, EnvironmentProblem):
        return False  # the container is gone or off, and the command with it


def start(made: str, version: str) -> tuple[socket.socket, bytes]:
    """Start an exec; returns the connection that carries its streams, and what has come by it already.

    Not by the SDK: it reads the answer's head through a buffer and drops what the buffer holds beyond it, which is a
    quick command's whole output when this process is slower than the command.

    Raises:
        ConnectionRefusedError: the engine refuses, with its reason.
    """
    body = b'{"Detach":false,"Tty":false}'
    head = (
        f"POST /v{version}/exec/{made}/start HTTP/1.1\r\nHost: docker\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
    )
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.settimeout(_STARTED_WITHIN)
        with waiting(f"the Docker engine at {socket_path()} to start a command", _STARTED_WITHIN):
            connection.connect(socket_path())
            connection.sendall(head.encode() + body)
            begun = _after_head(connection)
    except BaseException:
        connection.close()
        raise
    connection.settimeout(None)
    return connection, begun


def _after_head(connection: socket.socket) -> bytes:
    answer = b""
    while b"\r\n\r\n" not in answer:
        piece = connection.recv(1 << 16)
        if not piece:
            raise ConnectionResetError("it closed the connection")
        answer += piece
    head, _, rest = answer.partition(b"\r\n\r\n")
    if head.split(b" ", 2)[1] not in (b"101", b"200"):
        raise ConnectionRefusedError((rest.strip() or head).decode(errors="replace"))
    return rest


class _Talk:
    """The conversation with a command: input goes in and output comes out as each side is ready."""

    def __init__(self, connection: socket.socket, begun: bytes, text: bytes, *, has_input: bool) -> None:
        self.out = bytearray()
        self.err = bytearray()
        self._socket = connection
        self._socket.setblocking(False)
        self._left = memoryview(text)
        self._writing = has_input
        self._raw = bytearray()
        self._take(begun)

    def until_end(self, deadline: float | None, running: Callable[[], bool]) -> None:
        """Talk until the command has ended. Raises TimeoutError at the deadline."""
        ended = False
        with self._socket:
            while True:
                look = _LAST_WORDS if ended else _LOOK
                wait = look if deadline is None else min(look, deadline - time.monotonic())
                if wait <= 0:
                    raise TimeoutError
                writers = [self._socket] if self._writing else []
                readable, writable, _ = select.select([self._socket], writers, [], wait)
                if writable:
                    self._write()
                if readable and not self._read():
                    return
                if not readable and not writable:
                    if ended:
                        return
                    ended = not running()

    def _write(self) -> None:
        try:
            if self._left:
                self._left = self._left[self._socket.send(self._left) :]
            if not self._left:
                self._writing = False
                self._socket.shutdown(socket.SHUT_WR)
        except BlockingIOError:
            return
        except (BrokenPipeError, ConnectionResetError, OSError):
            self._writing = False  # the command reads no more, as it may

    def _read(self) -> bool:
        """Take what is there; False at the end."""
        try:
            piece = self._socket.recv(1 << 16)
        except BlockingIOError:
            return True
        except ConnectionResetError:
            return False
        self._take(piece)
        return bool(piece)

    def _take(self, piece: bytes) -> None:
        """Frames are a byte for the stream, three of nothing, four of length, and the content."""
        self._raw += piece
        while len(self._raw) >= 8:
            end = 8 + int.from_bytes(self._raw[4:8], "big")
            if len(self._raw) < end:
                break
            (self.err if self._raw[0] == 2 else self.out).extend(self._raw[8:end])
            del self._raw[:end]


class DockerCommand:
    """A command with pipes, held by a `docker exec`: what `labkit.runtimes.protocol.Process` asks for."""

    def __init__(self, container: str, argv: Sequence[str]) -> None:
        self._container = container
        self._mark = uuid.uuid4().hex
        pipe = subprocess.PIPE
        # Its own session: Ctrl-C is for labkit, which ends the command in order.
        self._process = subprocess.Popen(
            [*_docker_exec("-i", self._mark), container, *argv],
            stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True,
        )  # fmt: skip
        self.stdin: IO[bytes] | None = self._process.stdin
        self.stdout: IO[bytes] | None = self._process.stdout
        self.stderr: IO[bytes] | None = self._process.stderr

    def poll(self) -> int | None:
        """The exit status, or None while it runs."""
        return self._process.poll()

    def wait(self, timeout: float | None = None) -> int:
        """The exit status, once it has ended."""
        return self._process.wait(timeout)

    def terminate(self) -> None:
        """Ask the command to end."""
        self._signal("TERM")

    def kill(self) -> None:
        """End the command."""
        self._signal("KILL")

    def _signal(self, name: str) -> None:
        """Send a signal, again while the command is still being started."""
        while self.poll() is None and not kill(self._container, self._mark, name):
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.wait(_PATIENCE)


def attach(container: str, argv: Sequence[str]) -> int:
    """Run a command on this process's standard streams, on a terminal of its own if they are one."""
    mark = uuid.uuid4().hex
    on_terminal = all(os.isatty(stream.fileno()) for stream in (sys.stdin, sys.stdout))
    term = os.environ.get("TERM", "") if on_terminal else ""
    extra = ["-e", f"TERM={term}"] if term else []
    process = subprocess.Popen([*_docker_exec("-it" if on_terminal else "-i", mark), *extra, container, *argv])
    try:
        return process.wait()
    except BaseException:
        kill(container, mark, "KILL")
        process.kill()
        process.wait()
        raise


def _docker_exec(flags: str, mark: str) -> list[str]:
    docker = shutil.which("docker")
    if docker is None:
        raise EnvironmentProblem(
            "The `docker` command is missing; shells and streams need it.",
            "Install it: sudo apt-get install docker.io    (newer Debian: docker-cli)",
        )
    return [docker, "exec", flags, "-e", f"{MARK}={mark}"]


def _not_started(why: str) -> Completed:
    """How a command ends that can't be started, as a shell would have it."""
    folded = why.casefold()
    status = next((status for words, status in _CANNOT_START.items() if words in folded), 126)
    return Completed(status, "", why.strip() + "\n")
