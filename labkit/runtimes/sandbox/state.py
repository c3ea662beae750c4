"""The sandbox's directory in a lab's state: who owns it, which process is its init, and taking both away.

The directory is locked (flock on itself) by the init and its descendants, so it is free exactly when nothing of the lab
lives; `state.json` names the process to kill. Both survive any crash, and neither trusts a PID alone.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import shutil
import signal
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, astuple, dataclass
from pathlib import Path

from labkit.small_files import read_small_file

STATE, SOCKET, LOGS, SCRATCH, INIT_LOG = "state.json", "control.sock", "logs", "fs", "init.log"
_KILL_DEADLINE = 15.0


@dataclass(frozen=True, slots=True)
class Identity:
    """One process, and no other that may ever have its PID: start time in clock ticks since boot, boot, namespace."""

    pid: int
    start_ticks: int
    boot_id: str
    pid_namespace: int


def boot_id() -> str:
    """The kernel's identifier of this boot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def identify(pid: int) -> Identity | None:
    """The identity of a living process; None if there is none (any more). Raises PermissionError for a stranger's."""
    try:
        # The command's name may hold spaces and brackets; the fields begin after the last bracket.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        namespace = Path(f"/proc/{pid}/ns/pid").stat().st_ino
    except (FileNotFoundError, ProcessLookupError):
        return None
    return Identity(pid, int(fields[19]), boot_id(), namespace)


def write(directory: Path, lab: str, identity: Identity) -> None:
    """Write the state file, whole or not at all."""
    new = directory / f"{STATE}.new"
    new.write_text(json.dumps({"lab": lab, "init": asdict(identity)}))
    new.rename(directory / STATE)


def read(directory: Path) -> Identity | None:
    """The init's identity as recorded; None where nothing readable is."""
    try:
        found = json.loads(read_small_file(directory / STATE))
        identity = Identity(**found["init"])
    except (OSError, ValueError, RecursionError, TypeError, KeyError):
        return None
    kinds = tuple(type(value) for value in astuple(identity))
    return identity if kinds == (int, int, str, int) else None


def listener(directory: Path) -> Identity | None:
    """The identity of the init that listens on the control socket: for when the state file is lost or broken."""
    where = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.setblocking(False)  # it waits only where many wait already
            connection.connect(f"/proc/self/fd/{where}/{SOCKET}")
            credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    except (FileNotFoundError, ConnectionRefusedError, BlockingIOError):
        return None
    finally:
        os.close(where)
    pid = struct.unpack("=iII", credentials)[0]
    return identify(pid) if pid else None


class InUse(Exception):
    """The directory belongs to a living lab."""


def claim(directory: Path) -> int:
    """Make `directory` and lock it; what a dead lab left there is removed. Returns the locked descriptor.

    Raises `InUse`.
    """
    while True:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise InUse from None
        try:
            current = directory.stat()
        except FileNotFoundError:
            os.close(lock)
            continue  # another removed it between our opening and locking it
        if (current.st_dev, current.st_ino) != (os.fstat(lock).st_dev, os.fstat(lock).st_ino):
            os.close(lock)
            continue
        for entry in directory.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
        return lock


def locked(directory: Path) -> bool:
    """Whether something of the lab lives (or is being booted)."""
    try:
        lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def remove(directory: Path) -> None:
    """Remove the directory, and the lab's own above it if nothing else is there."""
    shutil.rmtree(directory, ignore_errors=True)
    if directory.exists():
        shutil.rmtree(directory)  # raises with what is in the way
    remove_empty(directory)  # what else is there belongs to the CLI


def remove_empty(directory: Path) -> None:
    """Remove the directory and the lab's own above it as far as they are empty."""
    for each in (directory, directory.parent):
        with suppress(OSError):
            each.rmdir()


def kill(identity: Identity) -> None:
    """Kill exactly this process, if it still lives, and wait until it and all its descendants are gone.

    Raises PermissionError if it belongs to another user, TimeoutError if the kernel takes unreasonably long.
    """
    if identity.boot_id != boot_id():
        return
    with _pidfd(identity.pid) as pidfd:
        # Open first, compare then: what is compared is now what is killed, or is already dead.
        if pidfd is None or identify(identity.pid) != identity:
            return
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        if not poll.poll(_KILL_DEADLINE * 1000):
            raise TimeoutError(f"process {identity.pid} did not die within {_KILL_DEADLINE:.0f} s")


@contextmanager
def ending(directory: Path) -> Iterator[int | None]:
    """A descriptor that is readable once the lab's init has ended; None if nobody knows which process it is."""
    identity = read(directory)
    if identity is None:
        yield None
        return
    with _pidfd(identity.pid) as pidfd:
        yield pidfd if identify(identity.pid) == identity else None


def wait_unlocked(directory: Path) -> bool:
    """Wait until nothing of the lab lives; False if that takes unreasonably long."""
    deadline = time.monotonic() + _KILL_DEADLINE
    while locked(directory):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.002)  # flock(2) has no deadline
    return True


@contextmanager
def _pidfd(pid: int) -> Iterator[int | None]:
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        yield None
        return
    try:
        yield pidfd
    finally:
        os.close(pidfd)
