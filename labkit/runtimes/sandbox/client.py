"""Talking to a running sandbox's init over its control socket."""

from __future__ import annotations

import os
import selectors
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from labkit.errors import EnvironmentProblem, InvalidInput
from labkit.patience import waiting
from labkit.runtimes.protocol import CommandTimeout, Completed, NotListening, NotReady
from labkit.runtimes.sandbox import state, wire
from labkit.runtimes.sandbox.messages import ControlAnswer, ControlRequest, SandboxError

_ANSWER_DEADLINE = 10.0
"""Seconds. It answers within a few milliseconds, and later on a machine that is busy."""
_GRACE = 5.0


class NotRunning(Exception):
    """No init listens in the lab's directory."""


_KINDS = {"input": InvalidInput, "environment": EnvironmentProblem, "not-ready": NotReady}


def connect(directory: Path) -> socket.socket:
    """A connection to the init. Raises `NotRunning`, or EnvironmentProblem if it belongs to another user."""
    try:
        where = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotRunning from error
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(_ANSWER_DEADLINE)
    try:
        # A socket's address has room for 107 bytes, a state directory may be longer.
        connection.connect(f"/proc/self/fd/{where}/{state.SOCKET}")
    except (FileNotFoundError, ConnectionRefusedError) as error:
        connection.close()
        raise NotRunning from error
    except TimeoutError as error:
        connection.close()
        raise _frozen(directory, "at all", _ANSWER_DEADLINE) from error
    except PermissionError as error:
        connection.close()
        raise EnvironmentProblem(
            f"The lab in {directory} belongs to another user.", "Run the command as the user who booted it."
        ) from error
    finally:
        os.close(where)
    return connection


def raise_error(found: SandboxError | None) -> None:
    """Raise the error that an answer carries, if it does."""
    if found:
        raise _KINDS[found["kind"]](found["message"], found["remedy"])


def request(directory: Path, message: ControlRequest, timeout: float = _ANSWER_DEADLINE) -> ControlAnswer:
    """Send a request and return its one answer, which may take `timeout` seconds.

    Raises the error that it carries, `NotRunning`, EnvironmentProblem.
    """
    with waiting(f"the sandbox of lab {directory.parent.name}", timeout):
        return _ask(directory, message, timeout)[0]


def switch(directory: Path, message: ControlRequest, timeout: float) -> None:
    """Send a request to power a node on or off, whose caller names what is waited for; raises as `request` does."""
    _ask(directory, message, timeout)


def _ask(directory: Path, message: ControlRequest, timeout: float) -> tuple[ControlAnswer, list[int]]:
    """An answer, and the descriptors that come with it; raises as `request` does."""
    what = f"`{' '.join(str(message[key]) for key in ('op', 'node') if key in message)}`"
    with connect(directory) as there:
        there.settimeout(timeout)
        try:
            wire.send(there, message)
            answer, descriptors = wire.Reader[ControlAnswer](there).read()
        except wire.Closed as error:
            raise NotRunning from error
        except TimeoutError as error:
            raise _frozen(directory, what, timeout) from error
    raise_error(answer.get("error"))
    return answer, descriptors


def _frozen(directory: Path, what: str, timeout: float) -> EnvironmentProblem:
    lab = directory.parent.name
    identity = state.read(directory)
    process = f"process ({identity.pid}) " if identity else "process "
    return EnvironmentProblem(
        f"the sandbox of lab {lab} did not answer {what} within {timeout:g} s: its first {process}is stopped "
        "(SIGSTOP), or the machine is too busy.",
        f"Let it go on (kill -CONT), or take the lab down: labkit down {lab}",
    )


def connect_in(directory: Path, node: str, path: str) -> socket.socket:
    """A connection to the Unix socket at `path` in a node.

    Raises `NotListening`, `NotRunning`, and what the init answers.
    """
    with waiting(f"the sandbox of lab {directory.parent.name}", _ANSWER_DEADLINE):
        answer, descriptors = _ask(directory, {"op": "connect", "node": node, "path": path}, _ANSWER_DEADLINE)
    if "refused" in answer:
        raise NotListening(f"nothing listens at {path} on {node}: {answer['refused']}.", "Start what should listen.")
    return socket.socket(fileno=descriptors[0])


class Command:
    """A command running in a node, without streams of its own."""

    def __init__(
        self,
        directory: Path,
        node: str,
        argv: Sequence[str],
        streams: tuple[int, ...],
        *,
        env: dict[str, str] | None = None,
        timeout: float | None = None,
    ) -> None:
        """Start it on the three `streams`, or with a pseudo-terminal if there are none."""
        self.connection = connect(directory)
        self.returncode: int | None = None
        self.timed_out = False
        self.master = -1
        self._reader = wire.Reader[ControlAnswer](self.connection)
        message: ControlRequest = {
            "op": "exec",
            "node": node,
            "argv": list(argv),
            "env": env or {},
            "timeout": timeout,
            "terminal": not streams,
        }
        try:
            self.connection.settimeout(_ANSWER_DEADLINE)
            with waiting(f"the sandbox to start a command on {node}", _ANSWER_DEADLINE):
                wire.send(self.connection, message, streams)
                answer, descriptors = self._reader.read()
            raise_error(answer.get("error"))
            if not streams:
                (self.master,) = descriptors
        except wire.Closed as closed:
            self.connection.close()
            raise NotRunning from closed
        except TimeoutError as error:
            self.connection.close()
            raise _frozen(directory, f"`exec {node}`", _ANSWER_DEADLINE) from error
        except BaseException:
            self.connection.close()
            raise

    def wait(self, timeout: float | None) -> bool:
        """Wait for its end for at most `timeout` seconds (0: just look); whether it has ended.

        A command whose lab is taken away ends with 137, as killed.
        """
        if self.returncode is not None:
            return True
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            self.connection.settimeout(None if deadline is None else max(0.0, deadline - time.monotonic()))
            try:
                found = self._reader.take()
                if not found:
                    self._reader.fill()
                    continue
            except (TimeoutError, BlockingIOError):
                return False
            except wire.Closed:
                self._end(128 + signal.SIGKILL)
                return True
            self.timed_out = found[0]["timeout"]
            self._end(found[0]["exit"])
            return True

    def _end(self, returncode: int) -> None:
        self.returncode = returncode
        self.connection.close()

    def signal(self, number: int) -> None:
        """Signal it and its process group; harmless if it has ended."""
        if self.returncode is None:
            self.connection.settimeout(_GRACE)
            try:
                wire.send(self.connection, {"signal": number})
            except wire.Closed:
                return

    def close(self) -> None:
        """End it if it has not ended."""
        self.connection.close()


class SandboxCommand:
    """A command in a node with pipes for its streams: what `labkit.runtimes.protocol.Process` asks for."""

    def __init__(self, directory: Path, node: str, argv: Sequence[str]) -> None:
        inside, outside = _pipes()
        try:
            self._command = Command(directory, node, argv, inside)
        except BaseException:
            for descriptor in outside:
                os.close(descriptor)
            raise
        finally:
            for descriptor in inside:
                os.close(descriptor)
        self._argv = list(argv)
        self.stdin: IO[bytes] | None = os.fdopen(outside[0], "wb")
        self.stdout: IO[bytes] | None = os.fdopen(outside[1], "rb")
        self.stderr: IO[bytes] | None = os.fdopen(outside[2], "rb")

    def poll(self) -> int | None:
        """The exit status, or None while it runs."""
        self._command.wait(0)
        return self._command.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The exit status, once it has ended. Raises `subprocess.TimeoutExpired` after `timeout` seconds."""
        if not self._command.wait(timeout):
            raise subprocess.TimeoutExpired(self._argv, timeout or 0)
        assert self._command.returncode is not None
        return self._command.returncode

    def terminate(self) -> None:
        """Ask the command to end (SIGTERM)."""
        self._command.signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the command (SIGKILL)."""
        self._command.signal(signal.SIGKILL)


def _pipes() -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """Pipes for standard input, output and error: the command's ends and ours."""
    stdin, stdout, stderr = os.pipe(), os.pipe(), os.pipe()
    return (stdin[0], stdout[1], stderr[1]), (stdin[1], stdout[0], stderr[0])


def run(directory: Path, node: str, argv: Sequence[str], given: str | None, timeout: float | None) -> Completed:
    """Run a command and collect its output until it ends (not until all who inherited its streams do).

    Raises `CommandTimeout`, `NotRunning`, and what the init answers.
    """
    inside, outside = _pipes()
    # Objects and not numbers: closed twice, a number may by then be another thread's.
    with (
        os.fdopen(outside[0], "wb", 0) as stdin,
        os.fdopen(outside[1], "rb") as out,
        os.fdopen(outside[2], "rb") as err,
    ):
        try:
            command = Command(directory, node, argv, inside, timeout=timeout)
        finally:
            for descriptor in inside:
                os.close(descriptor)
        # The init ends a command that takes too long, and has some time for that.
        end = None if timeout is None else time.monotonic() + timeout + _ANSWER_DEADLINE
        try:
            outputs = _converse(command, end, (given or "").encode(), stdin, (out.fileno(), err.fileno()))
        except TimeoutError as error:
            raise _frozen(directory, f"`exec {node}`", _ANSWER_DEADLINE) from error
    if command.timed_out:
        raise CommandTimeout(
            f"`{' '.join(argv)}` on {node} did not end within {timeout} s and was killed.",
            "Give it more time, or find out what it waits for.",
        )
    assert command.returncode is not None
    stdout, stderr = (b"".join(parts).decode(errors="replace") for parts in outputs)
    return Completed(command.returncode, stdout, stderr)


def _converse(
    command: Command, end: float | None, given: bytes, stdin: IO[bytes], outputs: tuple[int, int]
) -> tuple[list[bytes], list[bytes]]:
    """Carry its streams; returns what it wrote to both. Raises TimeoutError at `end`, by the monotonic clock."""
    stdout, stderr = outputs
    collected: dict[int, list[bytes]] = {stdout: [], stderr: []}
    try:
        with selectors.DefaultSelector() as selector:
            for descriptor in (stdin.fileno(), stdout, stderr):
                os.set_blocking(descriptor, False)
            selector.register(command.connection, selectors.EVENT_READ)
            for output in collected:
                selector.register(output, selectors.EVENT_READ)
            if given:
                selector.register(stdin, selectors.EVENT_WRITE)
            else:
                stdin.close()
            while True:
                left = None if end is None else end - time.monotonic()
                if left is not None and left <= 0:
                    raise TimeoutError
                for key, _ in selector.select(left):
                    if key.fd in collected:
                        if not _read(key.fd, collected[key.fd]):
                            selector.unregister(key.fd)
                    elif key.fileobj is stdin:
                        given = _write(key.fd, given)
                        if not given:
                            selector.unregister(stdin)
                            stdin.close()
                    elif command.wait(0):
                        for output, parts in collected.items():
                            while _read(output, parts):
                                pass
                        return collected[stdout], collected[stderr]
    finally:
        command.close()


def _read(descriptor: int, parts: list[bytes]) -> bool:
    """Read what is there; False at the end, or if there is nothing."""
    try:
        data = os.read(descriptor, 1 << 16)
    except BlockingIOError:
        return False
    parts.append(data)
    return bool(data)


def _write(descriptor: int, data: bytes) -> bytes:
    """Write what fits; return the rest, nothing if nobody reads any more."""
    try:
        return data[os.write(descriptor, data) :]
    except BlockingIOError:
        return data
    except BrokenPipeError:
        return b""
