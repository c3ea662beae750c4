"""The logs of a sandbox's nodes: what is written to the pipe, kept in files of bounded size, and read."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from labkit.runtimes.sandbox import logs, state
from labkit.runtimes.sandbox.logs import LogWriter, former, read_lines
from labkit.runtimes.sandbox.loop import Loop


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / state.LOGS).mkdir()
    return tmp_path


def written(folder: Path, *pieces: bytes) -> LogWriter:
    writer = LogWriter(Loop(), folder / state.LOGS / "a.log")
    for piece in pieces:
        os.write(writer.write_end, piece)
        writer.drain()
    return writer


def test_lines_and_what_is_no_line_yet(folder: Path) -> None:
    written(folder, b"one\ntw", b"o\n\xff\nrest")
    assert list(read_lines(folder, "a", follow=False)) == ["one", "two", "\N{REPLACEMENT CHARACTER}", "rest"]


def test_of_what_is_too_much_the_latest_is_kept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "MOST", 100)
    written(folder, *(b"line %03d\n" % number for number in range(95)))
    path = folder / state.LOGS / "a.log"
    assert max(path.stat().st_size, former(path).stat().st_size) <= 100
    lines = list(read_lines(folder, "a", follow=False))
    assert lines == [f"line {number:03}" for number in range(95 - len(lines), 95)]
    assert len(lines) > 11


def test_who_follows_reads_on_in_the_new_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "MOST", 100)
    alive = threading.Event()
    alive.set()
    monkeypatch.setattr(state, "locked", lambda _: alive.is_set())
    writer = written(folder, b"first\n")
    lines = read_lines(folder, "a", follow=True)
    assert next(lines) == "first"
    for number in range(40):
        os.write(writer.write_end, b"line %03d\n" % number)
        writer.drain()
        assert next(lines) == f"line {number:03}"
    alive.clear()
    assert list(lines) == []


def test_what_can_not_be_kept_is_lost_and_nothing_else(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "MOST", 20)
    writer = written(folder, b"this one is kept\n")
    in_the_way = former(folder / state.LOGS / "a.log")
    in_the_way.mkdir()
    os.write(writer.write_end, b"this one is lost\n")
    writer.drain()
    in_the_way.rmdir()
    os.write(writer.write_end, b"after\n")
    writer.drain()
    assert list(read_lines(folder, "a", follow=False)) == ["this one is kept", "after"]


def test_the_end_of_all_writers_is_the_end(folder: Path) -> None:
    writer = written(folder, b"last words\n")
    os.close(writer.write_end)
    end = writer._read_end
    writer.drain()
    writer.drain()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(end)
    assert list(read_lines(folder, "a", follow=False)) == ["last words"]
