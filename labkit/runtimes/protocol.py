"""What a runtime does: boot a rendered topology, run commands in its nodes, take it away.

Two runtimes implement `Runtime`: the sandbox (Linux namespaces, no privileges) and containerlab (Docker). Both read
nothing but the rendered containerlab topology.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Protocol

from labkit.errors import CheckFailed

HEALTHY_WITHIN = 60.0
"""Seconds that the healthchecks of labkit's labs allow a node."""


class CommandTimeout(CheckFailed):
    """A command in a node did not end in time; it was killed (exit code 1)."""


class NotListening(CheckFailed):
    """Nothing listens at the socket in a node (exit code 1)."""


class NotReady(CheckFailed):
    """A node is on, but its healthcheck did not succeed in time (exit code 1)."""


@dataclass(frozen=True, slots=True)
class Completed:
    """A command that ended. `rc` is its exit status, 128 + N if signal N ended it, 126/127 if it could not start."""

    rc: int
    stdout: str
    stderr: str


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """One node of a running lab.

    `state` is `starting`, `running`, `exited` (its command ended; with `exit_code`) or `stopped` (powered off).
    `health` is `healthy`, `starting`, or empty where the topology has no healthcheck.
    """

    name: str
    state: str
    health: str
    image: str
    exit_code: int | None = None

    @property
    def off(self) -> bool:
        """Whether nothing runs in it."""
        return self.state in {"stopped", "exited"}


@dataclass(frozen=True, slots=True)
class LabStatus:
    """A lab. `state` is `running`, `deploying`, or `dead` (its processes are gone, its state is not: destroy it).

    `timings` are seconds from the start of `deploy` to the end of each of its phases, in order; empty from `inspect`.
    """

    lab: str
    runtime: str
    state: str
    nodes: tuple[NodeStatus, ...]
    timings: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Progress:
    """`done` of `total` nodes have reached `kind` (`started` or `healthy`); `node` is the one that just did."""

    kind: str
    node: str
    done: int
    total: int


OnProgress = Callable[[Progress], None]


def ignore_progress(_: Progress) -> None:
    """An `OnProgress` for callers who don't look."""


class Process(Protocol):
    """A command running in a node: the part of `subprocess.Popen[bytes]` that both runtimes have.

    The three streams are pipes. Killing it, or losing the process that holds it, ends the command.
    """

    stdin: IO[bytes] | None
    stdout: IO[bytes] | None
    stderr: IO[bytes] | None

    def poll(self) -> int | None:
        """The exit status, or None while it runs."""
        ...

    def wait(self, timeout: float | None = None) -> int:
        """The exit status, once it has ended. Raises `subprocess.TimeoutExpired` after `timeout` seconds."""
        ...

    def terminate(self) -> None:
        """Ask the command to end (SIGTERM)."""
        ...

    def kill(self) -> None:
        """End the command (SIGKILL)."""
        ...


class Runtime(Protocol):
    """How labs are booted and reached. All methods raise `labkit.errors.LabkitError`, nothing else."""

    name: str

    def prepare(self, image: str) -> AbstractContextManager[None]:
        """Begin what a lab of nodes with this image will need, while the lab is read and planned.

        `deploy` goes on with it; if there is none before the context is left, nothing stays.
        """
        ...

    def deploy(self, topology: Path, on_progress: OnProgress = ignore_progress) -> LabStatus:
        """Boot the topology file and return once every healthcheck has succeeded.

        A node's `exec` lines must succeed. Whatever goes wrong, including Ctrl-C and `kill -9`, nothing is left behind.
        """
        ...

    def reshape(self, topology: Path, restart: Collection[str] = ()) -> LabStatus:
        """Make the running lab of the topology's name that of the topology file; returns once every node is healthy.

        Nodes and links that the file lacks are taken away, those that are new are made. A node that stays keeps
        running, and runs the `exec` lines that are new for it; those of `restart`, by name, are powered off and made
        again with their new files and settings: nothing that they wrote stays. If it fails, what was made may be there:
        reshape it back.
        """
        ...

    def destroy(self, lab: str) -> bool:
        """Take the lab away; False if there was none. Needs no topology file, and may be repeated."""
        ...

    def inspect(self, lab: str) -> LabStatus | None:
        """The lab's nodes and their states; None if there is no such lab."""
        ...

    def labs(self) -> tuple[str, ...]:
        """The names of the labs that this runtime holds, sorted."""
        ...

    def exec(
        self,
        lab: str,
        node: str,
        argv: Sequence[str],
        input: str | None = None,  # noqa: A002 - as in subprocess.run
        timeout: float | None = None,
    ) -> Completed:
        """Run a command in a node and collect its output. Raises `CommandTimeout` after `timeout` seconds."""
        ...

    def attach(self, lab: str, node: str, argv: Sequence[str]) -> int:
        """Run a command in a node on this process's own standard streams; return its exit status.

        If they are a terminal, the command gets a terminal of its own in the node (job control, window size, Ctrl-C).
        """
        ...

    def stream(self, lab: str, node: str, argv: Sequence[str]) -> Process:
        """Start a command in a node with pipes for its standard streams."""
        ...

    def connect(self, lab: str, node: str, path: str) -> socket.socket:
        """Connect to the Unix socket at `path` in a node: whoever may run commands there may connect, and nobody else.

        Raises `NotListening` if nothing listens there.
        """
        ...

    def stop(self, lab: str, node: str) -> None:
        """Power the node off: its links go down first, so that no session is ended properly, then its processes."""
        ...

    def start(self, lab: str, node: str, within: float | None = None) -> None:
        """Power the node on again as after a reboot: same files, same links, `cmd` and `exec` lines run again.

        Returns when it is healthy; a node that is on already is waited for. Raises `NotReady` if it is not healthy
        within `within` seconds (None: as long as its healthcheck allows); it stays on then. It may be
        stopped meanwhile.
        """
        ...

    def logs(self, lab: str, node: str, follow: bool = False) -> Iterator[str]:
        """The lines that the node's `cmd` wrote to stdout and stderr; `follow` waits for more while the lab lives."""
        ...
