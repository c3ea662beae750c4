"""What `deploy` starts in a fresh interpreter: it claims the lab's directory, makes namespaces, forks the init, ends.

A fresh interpreter, because the caller may have threads (a progress display), gigabytes, and open files.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from labkit import linux
from labkit.runtimes.sandbox import state, wire
from labkit.runtimes.sandbox.init import Init
from labkit.runtimes.sandbox.spec import from_json

# All but the mount namespace: the init makes that itself, or its /proc would become this process's too.
_NAMESPACES = linux.CLONE_NEWPID | linux.CLONE_NEWNET | linux.CLONE_NEWUTS | linux.CLONE_NEWIPC
_SYS_ADMIN = linux.CAPABILITIES.index("SYS_ADMIN")
_WHOLE = 4294967295


def main(descriptor: int) -> None:
    """Deploy what comes over the socket `descriptor`."""
    connection = socket.socket(fileno=descriptor)
    connection.set_inheritable(False)
    try:
        message, _ = wire.Reader(connection).read()
    except wire.Closed:
        return  # the topology was no good, or the caller is gone
    lab, directory = from_json(message["lab"]), Path(message["directory"])
    try:
        state.claim(directory)  # held open, and so locked, by this process and the init
    except state.InUse:
        _refuse(connection, "in-use", "", None)
    except OSError as error:
        state.remove_empty(directory)
        _refuse(connection, "directory", f"{error.filename or directory}: {error.strerror}", None)
    try:
        _own_streams(directory)
    except OSError as error:
        _refuse(connection, "directory", f"{error.filename or directory}: {error.strerror}", directory)
    try:
        make_namespaces()
        pid = os.fork()
    except OSError as error:
        _refuse(connection, "namespaces", f"{error.filename or 'fork'}: {error.strerror}", directory)
    if pid == 0:
        Init(lab, directory, connection, own_user_namespace=not whole_machine()).run()
    try:
        identity = state.identify(pid)
        if identity:
            state.write(directory, lab.name, identity)
    except OSError as error:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        _refuse(connection, "directory", f"{error.filename or directory}: {error.strerror}", directory)
    os._exit(0)


def _refuse(connection: socket.socket, reason: str, text: str, claimed: Path | None) -> NoReturn:
    with suppress(wire.Closed):
        wire.send(connection, {"event": "refused", "reason": reason, "text": text, "claimed": bool(claimed)})
    if claimed:
        state.remove(claimed)
    os._exit(1)


def _own_streams(directory: Path) -> None:
    log = os.open(directory / state.INIT_LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    for target, source in enumerate((nothing, log, log)):
        os.dup2(source, target)


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
        linux.unshare(_NAMESPACES)
        return
    user, group = os.geteuid(), os.getegid()
    linux.unshare(linux.CLONE_NEWUSER | _NAMESPACES)
    # One ID is enough, and needs no subordinate ids: everything in a node is root there and this user here.
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {user} 1")
    Path("/proc/self/gid_map").write_text(f"0 {group} 1")


if __name__ == "__main__":
    main(int(sys.argv[1]))
