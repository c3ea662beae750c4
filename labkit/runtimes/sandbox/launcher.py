"""What `deploy` starts in a fresh interpreter: it makes namespaces, forks the init, claims the lab's directory, ends.

A fresh interpreter, because the caller may have threads (a progress display), gigabytes, and open files. It starts
before the caller knows the lab: the init prepares what any lab of an image needs meanwhile.
"""

from __future__ import annotations

import os
import signal
import socket
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from labkit import linux
from labkit.runtimes.sandbox import init, process, state, wire
from labkit.runtimes.sandbox.messages import BootOrder

# All but the mount namespace: the init makes that itself, or its /proc would become this process's too.
_NAMESPACES = linux.CLONE_NEWPID | linux.CLONE_NEWNET | linux.CLONE_NEWUTS | linux.CLONE_NEWIPC
_SYS_ADMIN = linux.CAPABILITIES.index("SYS_ADMIN")
_WHOLE = 4294967295
_OOM_SCORE = 300
"""Of 1000: if the machine runs out of memory, the kernel ends a lab's processes before those of others."""


def main(descriptor: int, *layers: str) -> None:
    """Deploy what comes over the socket `descriptor`; `layers` are those of the image that most of its nodes have."""
    connection = socket.socket(fileno=descriptor)
    connection.set_inheritable(False)
    orders, theirs = socket.socketpair()
    process.may_open_many_files()
    _be_ended_first()
    try:
        make_namespaces()
        init_pid = os.fork()
        problem = None
    except OSError as error:
        init_pid = -1
        problem = error
    if init_pid == 0:
        orders.close()
        init.main(theirs, connection, layers, own_user_namespace=not whole_machine())
    theirs.close()
    try:
        message, _ = wire.Reader[BootOrder](connection).read()
    except wire.Closed:
        return  # the topology was no good, or the caller is gone
    directory = Path(message["directory"])
    try:
        lock = state.claim(directory)  # held open, and so locked, by this process and the init
    except state.InUse:
        _refuse(connection, "in-use", "", None)
    except OSError as error:
        state.remove_empty(directory)
        _refuse(connection, "directory", f"{error.filename or directory}: {error.strerror}", None)
    if problem:
        _refuse(connection, "namespaces", f"{problem.filename or 'fork'}: {problem.strerror}", directory)
    try:
        log = os.open(directory / state.INIT_LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        identity = state.identify(init_pid)
        if identity:
            state.write(directory, message["lab"]["name"], identity)
        with suppress(wire.Closed):  # it has died; whoever deploys sees that
            wire.send(orders, message, (lock, log))
    except OSError as error:
        with suppress(ProcessLookupError):
            os.kill(init_pid, signal.SIGKILL)
        _refuse(connection, "directory", f"{error.filename or directory}: {error.strerror}", directory)
    os._exit(0)


def _be_ended_first() -> None:
    file = Path("/proc/self/oom_score_adj")
    file.write_text(str(max(int(file.read_text()), _OOM_SCORE)))


def _refuse(connection: socket.socket, reason: str, text: str, claimed: Path | None) -> NoReturn:
    with suppress(wire.Closed):
        wire.send(connection, {"event": "refused", "reason": reason, "text": text, "claimed": bool(claimed)})
    if claimed:
        state.remove(claimed)
    os._exit(1)


def _may_administrate() -> bool:
    """Whether this process is root with the right to make namespaces and mounts, so that it needs no user namespace."""
    if os.geteuid() != 0:
        return False
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> _SYS_ADMIN & 1)
    return False


def whole_machine() -> bool:
    """Whether this is the initial user namespace."""
    return Path("/proc/self/uid_map").read_text().split() == ["0", "0", str(_WHOLE)]


def make_namespaces() -> None:
    """Move this process to where a lab lives, its children into a PID namespace of their own."""
    if _may_administrate():
        linux.must_have_whole_root()
        linux.unshare(_NAMESPACES)
        return
    user, group = os.geteuid(), os.getegid()
    linux.unshare(linux.CLONE_NEWUSER | _NAMESPACES)
    # One ID is enough, and needs no subordinate ids: everything in a node is root there and this user here.
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {user} 1")
    Path("/proc/self/gid_map").write_text(f"0 {group} 1")
