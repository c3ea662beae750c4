"""The caller's side of booting a sandbox."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import labkit
from labkit.errors import EnvironmentProblem, InvalidInput, LabkitError
from labkit.runtimes import kernel_probe
from labkit.runtimes.protocol import OnProgress, Progress
from labkit.runtimes.sandbox import client, state, wire
from labkit.runtimes.sandbox.messages import BootEvent
from labkit.runtimes.sandbox.spec import SandboxLab

_VANISH_DEADLINE = 15.0
_SILENCE = 300.0
"""Seconds between two events of a boot. The init's own ends, for exec lines and healthchecks, are sooner."""
_MAIN = (
    "import sys; sys.path.insert(0, sys.argv[1]); "
    "from labkit.runtimes.sandbox.launcher import main; main({}, *sys.argv[2:])"
)


class Launch:
    """Starts the launcher when made, which prepares for nodes of the image `layers`; `boot` gives it a lab.

    As a context manager: leaving it without a booted lab, in whatever way, leaves nothing.
    """

    def __init__(self, layers: Sequence[Path] = ()) -> None:
        self._connection, theirs = socket.socketpair()
        package = Path(labkit.__file__).parent.parent
        try:
            # Isolated and without site: nothing but the standard library and labkit itself is imported there.
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _MAIN.format(theirs.fileno()), str(package), *map(str, layers)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                cwd="/",
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        except OSError as error:
            self._connection.close()
            missing = isinstance(error, FileNotFoundError)
            raise EnvironmentProblem(
                f"No process for the sandbox can be started: {error.filename or sys.executable}: {error.strerror}.",
                "Run `labkit doctor`." if missing else "Look at the limits on processes and memory (`ulimit -a`).",
            ) from error
        finally:
            theirs.close()
        self._reader = wire.Reader[BootEvent](self._connection)
        self._directory: Path | None = None
        self._owned = True
        self._up = False

    def __enter__(self) -> Launch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End what is not a booted lab; as leaving the context does."""
        if not self._up:
            self._abandon()
        self._connection.close()
        assert self._process.stderr
        self._process.stderr.close()
        self._process.wait()

    def _abandon(self) -> None:
        """End what was begun: the init removes everything when it sees our end closed; be sure that it has."""
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_WR)
        self._connection.settimeout(_VANISH_DEADLINE)
        with contextlib.suppress(wire.Closed, TimeoutError):
            while True:
                self._reader.read()
        if self._directory and self._owned:
            identity = state.read(self._directory)
            if identity:
                state.kill(identity)
            if not state.locked(self._directory):
                state.remove(self._directory)

    def boot(self, lab: SandboxLab, directory: Path, on_progress: OnProgress) -> BootEvent:
        """Boot the lab with its state in `directory`; returns the init's last word (`timings`, `nodes`)."""
        self._directory = directory
        reached: dict[str, int] = {}
        try:
            self._connection.settimeout(_SILENCE)
            wire.send(self._connection, {"lab": lab.to_json(), "directory": str(directory)})
            while True:
                message, _ = self._reader.read()
                client.raise_error(message.get("error"))
                event = message["event"]
                if event == "refused":
                    self._owned = message["claimed"]
                    raise _refusal(lab.name, message)
                if event == "up":
                    self._commit()
                    return message
                reached[event] = reached.get(event, 0) + 1
                on_progress(Progress(event, message["node"], reached[event], len(lab.nodes)))
        except wire.Closed:
            raise self._unexpected_end(lab.name) from None
        except TimeoutError as error:
            raise EnvironmentProblem(
                f"the sandbox of lab {lab.name} has done nothing for {_SILENCE:g} s while it was booting.",
                "Something has stopped its processes (SIGSTOP), or the machine is too busy. Try again.",
            ) from error

    def _commit(self) -> None:
        self._process.wait()  # it has written the state file
        wire.send(self._connection, {"commit": True})
        self._up = True
        self._reader.read()

    def _unexpected_end(self, lab: str) -> LabkitError:
        words = b""
        with contextlib.suppress(OSError):
            assert self._directory
            words = (self._directory / state.INIT_LOG).read_bytes()
        if self._process.poll() is not None and not words:
            assert self._process.stderr
            words = self._process.stderr.read()
        text = words.decode(errors="replace").strip()
        return EnvironmentProblem(
            f"The sandbox of lab {lab} ended while it was booting{': ' + text[-2000:] if text else '.'}",
            "Something killed it (another `labkit down`, or the kernel for lack of memory). Try again.",
        )


def _refusal(lab: str, message: BootEvent) -> LabkitError:
    if message["reason"] == "in-use":
        return InvalidInput(
            f"A lab named {lab} is running or booting.",
            f"Take it down (`labkit down {lab}`) or rename this lab.",
        )
    if message["reason"] == "directory":
        full = os.strerror(errno.ENOSPC) in message["text"]
        what = "the disk is full" if full else "The lab's state can't be written"
        return EnvironmentProblem(
            f"{what}: {message['text']}.",
            "Free some space or make it writable, or store labs elsewhere: XDG_STATE_HOME.",
        )
    probe = kernel_probe.user_namespaces()
    if not probe.ok:
        return EnvironmentProblem(f"The sandbox can't be made: {probe.why}", probe.remedy)
    return EnvironmentProblem(f"The sandbox can't be made: {message['text']}.", "Run `labkit doctor`.")
