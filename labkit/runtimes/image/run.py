"""Running the tools that build an image: output to a log and a callback, and no process left behind."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from labkit.errors import EnvironmentProblem

_TAIL_LINES = 30
_STOP_SECONDS = 10.0
_PAUSE = 0.01


@dataclass(frozen=True, slots=True)
class BuildProgress:
    """How far a build is: the step's name, the whole's fraction (0 to 1) and the tool's latest line."""

    step: str
    fraction: float
    line: str = ""


OnProgress = Callable[[BuildProgress], None]


class ToolFailed(Exception):
    """A build tool failed; `tail` is the last of its output. Callers turn it into an EnvironmentProblem."""

    def __init__(self, tool: str, status: int, tail: Sequence[str]) -> None:
        super().__init__(f"{tool} ended with status {status}")
        self.tool = tool
        self.status = status
        self.tail = tuple(tail)

    def mentions(self, *words: str) -> bool:
        """Whether the end of the output holds one of these texts."""
        return any(word in line for line in self.tail for word in words)

    def last_error(self) -> str:
        """The line that most probably has the reason."""
        marks = ("E:", "ERROR", "error", "fatal", "cannot", "failed")
        lines = [line.strip() for line in self.tail if line.strip()]
        telling = [line for line in lines if any(mark in line for mark in marks)]
        return (telling or lines or ["it printed nothing"])[-1]


@dataclass(slots=True)
class Build:
    """One build under way: its log, its listener, and the lock that its processes share with it."""

    log: IO[str]
    on_progress: OnProgress
    lock: int
    environment: dict[str, str] = field(default_factory=lambda: dict(os.environ))
    _step: str = ""
    _start: float = 0.0
    _end: float = 0.0

    def step(self, name: str, start: float, end: float) -> None:
        """Begin a step that takes the whole from fraction `start` to `end`."""
        self._step, self._start, self._end = name, start, end
        self.log.write(f"--- {name}\n")
        self.on_progress(BuildProgress(name, start))

    def advance(self, share: float, line: str = "") -> None:
        """Report that `share` (0 to 1) of the current step is done."""
        self.on_progress(BuildProgress(self._step, self._start + (self._end - self._start) * min(share, 1.0), line))

    def run(
        self,
        command: Sequence[str | Path],
        *,
        environment: dict[str, str] | None = None,
        into: Sequence[str | Path] | None = None,
        on_line: Callable[[str], None] | None = None,
    ) -> None:
        """Run a tool to its end; its messages go to the log and, line by line, to `on_line`.

        With `into`, the tool's stdout is that command's stdin. The tools are in a session of their own, so that Ctrl-C
        reaches labkit alone, which then ends them in order; they die with labkit however it dies; and they hold the
        build lock as long as they live, so that nobody else works in the same directory meanwhile.

        Raises:
            ToolFailed: one of them ended with another status than 0.
        """
        variables = self.environment | (environment or {})
        self.log.write(f"$ {' '.join(map(str, command))}{' | ' + ' '.join(map(str, into)) if into else ''}\n")
        read, write = os.pipe()
        children: list[subprocess.Popen[bytes]] = []
        tail: list[str] = []
        try:
            with os.fdopen(read, errors="replace") as messages:
                try:
                    stdout = subprocess.PIPE if into else write
                    children.append(self._spawn(command, variables, subprocess.DEVNULL, stdout, write))
                    if into:
                        source = children[0].stdout
                        assert source is not None
                        children.append(self._spawn(into, variables, source.fileno(), write, write))
                        source.close()  # so that the tool gets SIGPIPE when its reader dies
                finally:
                    os.close(write)
                for line in messages:
                    self.log.write(line)
                    tail = [*tail[-_TAIL_LINES + 1 :], line.rstrip("\n")]
                    if on_line:
                        on_line(line.rstrip("\n"))
            statuses = [child.wait() for child in children]
        except BaseException:
            _stop(children)
            raise
        for argv, status in zip((command, into or ()), statuses, strict=False):
            if status:
                raise ToolFailed(Path(argv[0]).name, status, tail)

    def _spawn(
        self, command: Sequence[str | Path], environment: dict[str, str], stdin: int, stdout: int, stderr: int
    ) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", "--", *map(str, command)],
            env=environment,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            pass_fds=(self.lock,),
            start_new_session=True,
        )


def _stop(children: Sequence[subprocess.Popen[bytes]]) -> None:
    """End tools in order: TERM, so that they clean up after themselves, then KILL to their whole session."""
    for child in children:
        if child.poll() is None:
            child.terminate()
    for child in children:
        try:
            child.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        _await_rest(child.pid)


def _await_rest(group: int) -> None:
    """Wait until nothing is left of an ended tool's process group, which may still write and remove files."""
    deadline = time.monotonic() + _STOP_SECONDS
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)  # no signal: only whether there is anybody
        except (ProcessLookupError, PermissionError):
            return
        time.sleep(_PAUSE)  # they are nobody's children here, and a process group has no descriptor


def need_space(directory: Path, megabytes: int, what: str) -> None:
    """Check that a file system has room before work starts that would fill it.

    Raises:
        EnvironmentProblem: it has not.
    """
    free = shutil.disk_usage(directory).free // 1_000_000
    if free < megabytes:
        raise EnvironmentProblem(
            f"Not enough disk space for {what}: {directory} has {free} MB free, {megabytes} MB are needed.",
            "Free some space there, or choose another place with XDG_CACHE_HOME (images) or TMPDIR (scratch space).",
        )


def disk_full(where: Path) -> EnvironmentProblem:
    """The error for a disk that filled up during the work."""
    return EnvironmentProblem(
        f"The disk is full: {where} (or the scratch space) ran out of room while the image was built. "
        "What was written has been removed.",
        "Free some space, or choose another place with XDG_CACHE_HOME (images) or TMPDIR (scratch space).",
    )


def is_disk_full(error: OSError) -> bool:
    """Whether an error means that a disk or a quota is full."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)
