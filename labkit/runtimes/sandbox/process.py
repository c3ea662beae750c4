"""Starting processes in nodes: by fork from the sandbox's init, so that every one of them is its descendant.

Rather than `nsenter` from outside: what init starts has the node's own capabilities and not its caller's, dies with the
lab, and needs neither a second user namespace entry nor another interpreter.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import resource
import signal
import socket
import termios
from collections.abc import Callable, Sequence
from typing import NoReturn

from labkit import linux

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_IN_NODE = linux.CLONE_NEWNS | linux.CLONE_NEWNET | linux.CLONE_NEWUTS | linux.CLONE_NEWIPC
_IDLE = ("sleep", "infinity")
_OPEN_FILES = resource.getrlimit(resource.RLIMIT_NOFILE)
"""The limit before the sandbox's own processes raise it. Programs in nodes get it: some reserve memory for each."""


def may_open_many_files() -> None:
    """Raise the calling process's limit on open files as far as it may."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (_OPEN_FILES[1], _OPEN_FILES[1]))


def environment(node: str, extra: dict[str, str]) -> dict[str, str]:
    """The environment of a node's processes: what Docker sets, and what the topology adds."""
    return {"PATH": _PATH, "HOME": "/root", "HOSTNAME": node, **extra}


def fork(enter: Callable[[], None], child: Callable[[], NoReturn]) -> int:
    """Fork `child` after `enter` has chosen the PID namespace of the next fork; return its PID as init sees it."""
    home = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    try:
        enter()
        try:
            pid = os.fork()
            if pid == 0:
                _in_child(child)
            return pid
        finally:
            linux.setns(home, linux.CLONE_NEWPID)
    finally:
        os.close(home)


def _in_child(child: Callable[[], NoReturn]) -> NoReturn:
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.umask(0o022)
        child()
    except BaseException as error:  # noqa: BLE001 - a child must never return into init's event loop
        with contextlib.suppress(OSError):
            os.write(2, os.fsencode(f"labkit: {type(error).__name__}: {error}\n"))
    finally:
        os._exit(126)


def new_pid_namespace() -> None:
    """For `fork`: the child becomes PID 1 of a new PID namespace."""
    linux.unshare(linux.CLONE_NEWPID)


def execute(argv: Sequence[str], environ: dict[str, str], streams: Sequence[int], keep: frozenset[int]) -> NoReturn:
    """Become `argv`, with `streams` as standard input, output and error, and no capability beyond `keep`.

    If it can't, prints why on standard error and ends with 127 or 126, as a shell does.
    """
    for target, stream in enumerate(streams):
        os.dup2(stream, target)
    linux.limit_capabilities(keep)
    resource.setrlimit(resource.RLIMIT_NOFILE, _OPEN_FILES)
    try:
        os.execvpe(argv[0], list(argv), environ)  # noqa: S606 - no shell is wanted
    except OSError as error:
        os.write(2, os.fsencode(f"labkit: {argv[0]}: {error.strerror}\n"))
        os._exit(127 if isinstance(error, FileNotFoundError) else 126)


def idle_or(argv: Sequence[str]) -> Sequence[str]:
    """`argv`, or for a node without a command one that idles; the kernel then reaps what it inherits."""
    if argv:
        return argv
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # survives execve
    return _IDLE


def spawn(
    pidfd: int,
    argv: Sequence[str],
    environ: dict[str, str],
    streams: Sequence[int],
    keep: frozenset[int],
    *,
    terminal: bool = False,
) -> int:
    """Start `argv` in the node whose first process `pidfd` is, in a session of its own; return its PID.

    With `terminal`, the first stream is made its controlling terminal. Raises ProcessLookupError if the node is dead.
    """

    def child() -> NoReturn:
        _enter(pidfd)
        if terminal:
            fcntl.ioctl(streams[0], termios.TIOCSCTTY, 0)
        execute(argv, environ, streams, keep)

    return fork(lambda: linux.setns(pidfd, linux.CLONE_NEWPID), child)


def spawn_lines(
    pidfd: int,
    lines: Sequence[Sequence[str]],
    environ: dict[str, str],
    streams: Sequence[int],
    keep: frozenset[int],
    *,
    report: int,
) -> int:
    """Start a process in the node that runs commands one after the other until one fails, and ends as that did.

    It writes a byte to `report` before each. One fork of this interpreter for all of them: a fork copies its page
    tables, while `posix_spawn` (vfork) from there does not, and the processors are busy when nodes start.
    """

    def child() -> NoReturn:
        _enter(pidfd)
        for target, stream in enumerate(streams):
            os.dup2(stream, target)
        linux.limit_capabilities(keep)
        resource.setrlimit(resource.RLIMIT_NOFILE, _OPEN_FILES)
        os.environ["PATH"] = environ["PATH"]  # where posix_spawnp looks
        for argv in lines:
            os.write(report, b".")
            try:
                pid = os.posix_spawnp(argv[0], list(argv), environ)
            except OSError as error:
                os.write(2, f"{argv[0]}: {error.strerror}\n".encode())
                os._exit(127)
            status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            if status:
                os._exit(status if status > 0 else 128 - status)
        os._exit(0)

    return fork(lambda: linux.setns(pidfd, linux.CLONE_NEWPID), child)


def connect(pidfd: int, path: str, keep: frozenset[int], report: Callable[[socket.socket | OSError], None]) -> int:
    """Connect to a Unix socket in the node; return the PID of the process that does it.

    It calls `report` with the connection, or with the reason why there is none, and ends. It is a fork without a new
    program: what stands at `path` is looked up, and its permissions are judged, as for any process of the node.
    """

    def child() -> NoReturn:
        _enter(pidfd)
        linux.limit_capabilities(keep)
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(path)
        except OSError as error:
            report(error)
        else:
            report(connection)
        os._exit(0)

    return fork(lambda: linux.setns(pidfd, linux.CLONE_NEWPID), child)


def _enter(pidfd: int) -> None:
    linux.setns(pidfd, _IN_NODE)
    os.chdir("/")
    os.setsid()


def kill_session(pid: int, number: int = signal.SIGKILL) -> None:
    """Signal a process that `spawn` started and its process group."""
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        os.kill(pid, number)  # it has not come to `setsid` yet


def open_terminal(pid: int) -> tuple[int, int]:
    """A new pseudo-terminal of the node whose first process is `pid`, 0 for none: (master, slave).

    Raises ProcessLookupError if the node is dead.
    """
    if not pid:
        raise ProcessLookupError
    master = os.open(f"/proc/{pid}/root/dev/pts/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        fcntl.ioctl(master, _TIOCSPTLCK, b"\0\0\0\0")
        slave = fcntl.ioctl(master, _TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        os.close(master)
        raise
    return master, slave


_TIOCSPTLCK = 0x40045431
_TIOCGPTPEER = 0x5441
