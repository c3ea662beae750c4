"""What a node's command writes: kept in files of bounded size by the init, and read from outside."""

from __future__ import annotations

import os
import select
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TextIO

from labkit import names
from labkit.errors import InvalidInput
from labkit.inotify import CREATE, MODIFY, MOVED_TO, Inotify
from labkit.runtimes.sandbox import state
from labkit.runtimes.sandbox.loop import Loop

MOST = 4 << 20
"""Bytes of a log file. When it has so many, it becomes the former one, of which there is one."""

_PIECE = 1 << 16
_BREAK = 0.01
"""Seconds between two pieces of a log: the init has other work than a command that never stops writing."""
_UNSEEN = 1.0
"""Seconds between two looks whether a lab is gone whose first process nobody knows."""


def former(path: Path) -> Path:
    """The file that has what came before a log's own file."""
    return path.with_name(f"{path.name}.1")


class LogWriter:
    """Writes to a file what comes through a pipe, until all who may write to the pipe have closed it."""

    def __init__(self, loop: Loop, path: Path) -> None:
        """Make the pipe and, if there is none, the file. `write_end` is to be closed once the command has it.

        Raises:
            OSError: the file can't be made.
        """
        self._loop = loop
        self._path = path
        os.close(self._open())
        self._read_end, self.write_end = os.pipe()
        os.set_blocking(self._read_end, False)
        self._watch()

    def drain(self) -> None:
        """Write what is in the pipe."""
        while self._copy():
            pass

    def _open(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def _watch(self) -> None:
        if self._read_end >= 0:
            self._loop.on_readable(self._read_end, self._readable)

    def _readable(self) -> None:
        if self._copy():
            self._loop.forget(self._read_end)
            self._loop.after(_BREAK, self._watch)

    def _copy(self) -> bool:
        """Copy a piece; whether there may be another one."""
        if self._read_end < 0:
            return False
        try:
            piece = os.read(self._read_end, _PIECE)
        except BlockingIOError:
            return False
        if not piece:
            self._loop.forget(self._read_end)
            os.close(self._read_end)
            self._read_end = -1
            return False
        with suppress(OSError):  # the disk is full: nodes run on without this part of their logs
            self._write(piece)
        return len(piece) == _PIECE

    def _write(self, piece: bytes) -> None:
        if self._path.exists() and self._path.stat().st_size + len(piece) > MOST:
            self._path.rename(former(self._path))
        descriptor = self._open()
        try:
            os.write(descriptor, piece)
        finally:
            os.close(descriptor)


def read_lines(directory: Path, node: str, *, follow: bool) -> Iterator[str]:
    """The log's lines without their ends. `follow` waits for more until the lab is gone."""
    logs = directory / state.LOGS
    handles = sorted({each.name.partition(".log")[0] for each in logs.glob("*.log*")})
    handle = names.node(node, handles)
    if handle is None:
        raise InvalidInput(f"there is no log of a node {node!r}.", f"Nodes with logs: {', '.join(handles) or 'none'}.")
    return _lines(directory, logs / f"{handle}.log", follow=follow)


def _lines(directory: Path, path: Path, *, follow: bool) -> Iterator[str]:
    partial = ""
    with _changes(directory) as change:
        for piece in _pieces(directory, path, change, follow=follow):
            partial += piece
            if partial.endswith("\n"):
                yield partial[:-1]
                partial = ""
    if partial:
        yield partial


@contextmanager
def _changes(directory: Path) -> Iterator[Callable[[], None]]:
    """A function that waits until one of the lab's logs has changed, or the lab is gone."""
    with closing(Inotify()) as inotify, state.ending(directory) as end:
        inotify.watch(str(directory / state.LOGS), CREATE | MODIFY | MOVED_TO)
        poll = select.poll()
        for descriptor in (inotify.descriptor, *([end] if end is not None else ())):
            poll.register(descriptor, select.POLLIN)

        def wait() -> None:
            ready = [descriptor for descriptor, _ in poll.poll(None if end is not None else _UNSEEN * 1000)]
            if inotify.descriptor in ready:
                list(inotify.read())
            if end in ready:
                state.wait_unlocked(directory)

        yield wait


def _pieces(directory: Path, path: Path, change: Callable[[], None], *, follow: bool) -> Iterator[str]:
    """Lines with their ends, or what is there of them yet."""
    with suppress(FileNotFoundError), _opened(former(path)) as file:
        yield from file
    while True:
        try:
            file = _opened(path)
        except FileNotFoundError:
            # The former one has just been put aside, and perhaps the disk has no room for another.
            if not (follow and state.locked(directory)):
                return
            change()
            continue
        with file:
            while True:
                living = follow and state.locked(directory)  # asked before reading, so that the last words are read
                replaced = _is_another(path, file)  # likewise
                yield from file
                if not living or replaced:
                    break
                change()
        if not replaced:
            return


def _opened(path: Path) -> TextIO:
    return path.open(encoding="utf-8", errors="replace", newline="\n")


def _is_another(path: Path, file: TextIO) -> bool:
    """Whether there is a new log in place of the one that is open."""
    try:
        return not os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False
