"""One node of a running sandbox, as its init sees it: the first process, its namespaces, its state."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from labkit import linux
from labkit.runtimes.sandbox import process
from labkit.runtimes.sandbox.logs import LogWriter, former
from labkit.runtimes.sandbox.loop import Loop
from labkit.runtimes.sandbox.messages import SandboxError
from labkit.runtimes.sandbox.rootfs import BuildFailed, build
from labkit.runtimes.sandbox.spec import Node

STARTING, RUNNING, EXITED, STOPPED = "starting", "running", "exited", "stopped"
HEALTHY, UNHEALTHY = "healthy", "unhealthy"

_DISK = "size=256m,nr_inodes=64k"
"""Of what a node writes below its root."""
_RESERVE = "reserve"

_LIMITS = (errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOMEM)


def environment_error(message: str, remedy: str = "") -> SandboxError:
    """An error of this machine."""
    return {"kind": "environment", "message": message, "remedy": remedy}


def refused_by_system(what: str, error: OSError) -> SandboxError:
    """The error for what the system refuses to a sandbox that runs: for the most part, a limit is reached."""
    text = f"{what}: {f'{error.filename}: ' if error.filename else ''}{error.strerror}."
    if error.errno in _LIMITS:
        return environment_error(
            f"{text} This is a limit on processes, open files or memory.",
            "Take labs down, or raise the limit: `ulimit -a`, or pids.max and memory.max of the control group.",
        )
    return environment_error(text, "`labkit doctor` shows what this machine lacks and how to fix it.")


class RunningNode:
    """A node. Its network namespace is held here by descriptor, so that its links outlive its processes."""

    def __init__(self, loop: Loop, spec: Node, scratch: Path, log: Path, *, own_user_namespace: bool) -> None:
        self.settle(spec)
        self.log = log
        self._writer: LogWriter | None = None
        self.state = STOPPED
        self.health = ""
        self.exit_code: int | None = None
        self.pid = 0
        self.pidfd = -1
        self.namespace = -1
        self.interfaces: dict[str, int] = {}
        self._loop = loop
        self._scratch = scratch
        self._own_user_namespace = own_user_namespace
        self._channel: socket.socket | None = None
        self._built: Callable[[SandboxError | None], None] | None = None
        self._started: Callable[[SandboxError | None], None] | None = None
        self._dead: list[Callable[[], None]] = []
        self.when_ended: Callable[[], None] = lambda: None

    def settle(self, spec: Node) -> None:
        """Be what `spec` describes from the next power-on."""
        self.spec = spec
        self.keep = frozenset(spec.capabilities)
        self.environ = process.environment(spec.name, spec.env)

    def clear(self) -> None:
        """Remove what the node, which has been killed, wrote below its root: it starts with its image's files again."""
        with suppress(OSError):  # it was not made
            linux.umount(str(self._scratch), linux.MNT_DETACH)
            self._scratch.rmdir()

    def remove(self) -> None:
        """Remove what is left of the node, which has been killed: its network namespace, files and log."""
        if self.namespace >= 0:
            os.close(self.namespace)
            self.namespace = -1
        self.clear()
        for file in (self.log, former(self.log)):
            file.unlink(missing_ok=True)

    def fork(self, built: Callable[[SandboxError | None], None]) -> None:
        """Make the node's namespaces and root in a new process, then call back. `go` starts its command."""
        self.state, self.health, self.exit_code = STARTING, "starting" if self.spec.health else "", None
        try:
            self._make_scratch()
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            self._writer = LogWriter(self._loop, self.log)
            output = self._writer.write_end
        except OSError as error:
            self._not_forked(error, built)
            return
        try:
            self.pid = process.fork(process.new_pid_namespace, lambda: self._first_process(ours, theirs, output))
            self.pidfd = os.pidfd_open(self.pid)
        except OSError as error:
            ours.close()  # by which the process ends, if there is one
            self._not_forked(error, built)
            return
        finally:
            theirs.close()
            os.close(output)
        self._channel, self._built = ours, built
        self._loop.on_readable(ours.fileno(), self._listen)
        self._loop.on_exit(self.pid, self._ended)

    def _make_scratch(self) -> None:
        """Give the node's files a file system of their own: a node that fills its disk takes no other's room."""
        try:
            self._scratch.mkdir()
        except FileExistsError:  # the node was on before, and may have filled it
            shutil.rmtree(self._scratch / _RESERVE, ignore_errors=True)
            return
        linux.mount("labkit", str(self._scratch), "tmpfs", linux.MS_NODEV, f"mode=755,{_DISK}")

    def _reserve(self) -> None:
        """Keep some room for the next power-on, which makes files of its own."""
        with suppress(OSError):
            (self._scratch / _RESERVE).mkdir()
            for number in range(16):
                (self._scratch / _RESERVE / str(number)).write_bytes(bytes(16384))

    def _not_forked(self, error: OSError, built: Callable[[SandboxError | None], None]) -> None:
        self.state, self.health, self.pid = STOPPED, "", 0
        answer = _explain(self.spec.name, self.log, error)
        self._loop.after(0, lambda: built(answer))

    def drain_log(self) -> None:
        """See to it that what the node's command has written so far is in its log."""
        if self._writer:
            self._writer.drain()

    def _first_process(self, ours: socket.socket, channel: socket.socket, output: int) -> NoReturn:
        ours.close()
        os.setsid()
        answer: SandboxError | None = None
        try:
            build(self.spec, str(self._scratch), own_user_namespace=self._own_user_namespace)
            nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        except BuildFailed as error:
            answer = {"kind": error.kind, "message": error.message, "remedy": error.remedy}
        except OSError as error:
            answer = _explain(self.spec.name, self.log, error)
        channel.send(json.dumps(answer).encode())
        if answer or not channel.recv(1):
            os._exit(0)
        process.execute(process.idle_or(self.spec.argv), self.environ, (nothing, output, output), self.keep)

    def go(self, started: Callable[[SandboxError | None], None]) -> None:
        """Start the node's command, then call back."""
        assert self._channel
        self._started = started
        try:
            self._channel.send(b"g")
        except BrokenPipeError:
            return  # it has died; `_listen` is about to see that

    def _listen(self) -> None:
        assert self._channel
        data = self._channel.recv(1 << 16)
        if data and self._built:
            callback, self._built = self._built, None
            self._reserve()
            callback(json.loads(data) or None)
            return
        # End of file: the command runs (the channel closes on execve), or the process died before.
        self._close_channel()
        if self._started:
            callback, self._started = self._started, None
            self.state = RUNNING
            callback(None)

    def _close_channel(self) -> None:
        if self._channel:
            self._loop.forget(self._channel.fileno())
            self._channel.close()
            self._channel = None

    def _ended(self, status: int) -> None:
        if self._channel:
            self._listen()  # its last word may have come together with its end
        self._close_channel()
        os.close(self.pidfd)
        self.pidfd, self.pid = -1, 0
        if self.state != STOPPED:
            self.state, self.exit_code = EXITED, status
        self.health = ""
        waiting = self._built or self._started
        self._built = self._started = None
        if waiting:
            waiting(environment_error(f"node {self.spec.name} died while it was built (exit status {status})."))
        self.when_ended()
        dead, self._dead = self._dead, []
        for callback in dead:
            callback()

    def kill(self, dead: Callable[[], None]) -> None:
        """Kill every process of the node at once, then call back; its links and files stay."""
        self.state = STOPPED
        if self.pidfd < 0:
            dead()
            return
        self._dead.append(dead)
        signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)

    def spawn_lines(self, lines: Sequence[Sequence[str]], streams: tuple[int, int, int], report: int) -> int:
        """Start running lines in the node, one after the other. Raises ProcessLookupError if it is not running."""
        if self.pidfd < 0 or self.state != RUNNING:
            raise ProcessLookupError
        return process.spawn_lines(self.pidfd, lines, self.environ, streams, self.keep, report=report)

    def spawn(self, argv: list[str], streams: tuple[int, int, int], env: dict[str, str], *, terminal: bool) -> int:
        """Start a command in the node. Raises ProcessLookupError if the node is not running."""
        if self.pidfd < 0 or self.state != RUNNING:
            raise ProcessLookupError
        return process.spawn(self.pidfd, argv, self.environ | env, streams, self.keep, terminal=terminal)

    def connect(self, path: str, report: Callable[[socket.socket | OSError], None]) -> int:
        """Connect to a Unix socket in the node, as `process.connect` does.

        Raises ProcessLookupError if the node is not running.
        """
        if self.pidfd < 0 or self.state != RUNNING:
            raise ProcessLookupError
        return process.connect(self.pidfd, path, self.keep, report)


def _explain(name: str, log: Path, error: OSError) -> SandboxError:
    doing = f"node {name}: {error.filename or 'building it'}: {error.strerror}."
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        if error.filename == str(log):
            return environment_error(
                f"the disk is full: {doing}", "Free some space, or store labs elsewhere: XDG_STATE_HOME."
            )
        if error.filename == "unshare":
            return environment_error(
                f"{doing} A limit on namespaces is reached.",
                "Take labs down, or raise the sysctls user.max_net_namespaces, user.max_mnt_namespaces and others.",
            )
        return environment_error(
            f"{doing} The node's own disk is full; it has 256 MB.",
            "Start the lab again: labkit down, then labkit up.",
        )
    if error.errno in _LIMITS:
        return refused_by_system(f"node {name}", error)
    if error.filename == "pivot_root":
        return environment_error(
            f"{doing} This is a chroot, where a node can't have its own root directory.",
            "Run labkit outside the chroot, or enter its root file system with pivot_root.",
        )
    return environment_error(doing, "`labkit doctor` shows what this machine lacks and how to fix it.")
