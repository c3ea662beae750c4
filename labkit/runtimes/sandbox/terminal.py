"""A command in a node on the caller's own terminal."""

from __future__ import annotations

import contextlib
import fcntl
import os
import selectors
import signal
import sys
import termios
import threading
import tty
from collections.abc import Iterator, Sequence
from pathlib import Path

from labkit.runtimes.sandbox.client import Command


def attach(directory: Path, node: str, argv: Sequence[str]) -> int:
    """Run a command on this process's standard streams, and return its exit status.

    A terminal is not handed over: the command gets one of the node's own, so that its shell has job control and `tty`
    a name, and what is typed goes there. Other streams (a pipe, a file) are handed over as they are.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    if not (os.isatty(0) and os.isatty(1)):
        command = Command(directory, node, argv, (0, 1, 2))
        try:
            command.wait(None)
        finally:
            command.close()
        assert command.returncode is not None
        return command.returncode
    command = Command(directory, node, argv, (), env={"TERM": os.environ.get("TERM", "xterm")})
    try:
        with _raw(), _window(command.master):
            return _pass_on(command)
    finally:
        command.close()
        os.close(command.master)


@contextlib.contextmanager
def _raw() -> Iterator[None]:
    before = termios.tcgetattr(0)
    tty.setraw(0)
    try:
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)


@contextlib.contextmanager
def _window(master: int) -> Iterator[None]:
    """Keep the size of the command's terminal that of ours."""

    def resize(*_: object) -> None:
        with contextlib.suppress(OSError):
            fcntl.ioctl(master, termios.TIOCSWINSZ, fcntl.ioctl(0, termios.TIOCGWINSZ, bytes(8)))

    resize()
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread receives signals
        return
    before = signal.signal(signal.SIGWINCH, resize)
    try:
        yield
    finally:
        signal.signal(signal.SIGWINCH, before)


def _pass_on(command: Command) -> int:
    master = command.master
    with selectors.DefaultSelector() as selector:
        selector.register(command.connection, selectors.EVENT_READ)
        selector.register(master, selectors.EVENT_READ)
        selector.register(0, selectors.EVENT_READ)
        while True:
            ready = [key.fd for key, _ in selector.select()]
            if master in ready and not _copy(master, 1):
                selector.unregister(master)
            if 0 in ready and not _copy(0, master):
                selector.unregister(0)
            if command.connection.fileno() in ready and command.wait(0):
                os.set_blocking(master, False)
                while _copy(master, 1):
                    pass
                assert command.returncode is not None
                return command.returncode


def _copy(source: int, target: int) -> bool:
    """Copy what is there; False at the end of either, or if there is nothing."""
    try:
        data = os.read(source, 1 << 16)
        left = data
        while left:
            left = left[os.write(target, left) :]
    except OSError:  # EIO: the last process with the terminal has closed it
        return False
    return bool(data)
