"""How the command line prints."""

from __future__ import annotations

import io
import os
import pty
import sys
from types import SimpleNamespace

import pytest

from labkit.cli.output import Colour, note, paint, put, put_table, span
from labkit.cli.progress import QUIET, ProgressLines


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-0.01, "0.0 s"), (0.04, "0.0 s"), (9.94, "9.9 s"), (10.0, "10 s"), (59.9, "59 s"), (60.0, "1 min 0 s"),
        (185.0, "3 min 5 s"), (3600.0, "1 h 0 min"), (7805.0, "2 h 10 min"), (86400.0, "1 d 0 h"),
        (97200.0 + 86400, "2 d 3 h"),
    ],
)  # fmt: skip
def test_time_spans(seconds: float, words: str) -> None:
    assert span(seconds) == words


def test_columns_are_as_wide_as_their_widest_cell(capsys: pytest.CaptureFixture[str]) -> None:
    put_table(("A", "Long title"), [("wide cell", "x"), ("", 7)], lambda cell: Colour.RED if cell == "x" else None)
    assert capsys.readouterr().out == "A          Long title\n---------  ----------\nwide cell  x\n           7\n"


def test_a_table_without_rows_is_its_titles(capsys: pytest.CaptureFixture[str]) -> None:
    put_table(("One", "Two"), [])
    assert capsys.readouterr().out == "One  Two\n---  ---\n"


@pytest.mark.parametrize(
    ("environment", "coloured"), [({}, True), ({"NO_COLOR": ""}, False), ({"TERM": "dumb"}, False)]
)
def test_colour_is_for_terminals_that_show_it(
    environment: dict[str, str], coloured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    master, slave = pty.openpty()
    with os.fdopen(master), os.fdopen(slave, "w") as terminal:
        assert paint("x", Colour.GREEN, terminal) == ("\x1b[32mx\x1b[0m" if coloured else "x")
        assert paint("x", None, terminal) == "x"
    assert paint("x", Colour.GREEN, io.StringIO()) == "x"


def test_output_that_nobody_reads_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w", buffering=1, closefd=False) as deaf:
        monkeypatch.setattr(sys, "stderr", deaf)
        note("hello")
        monkeypatch.undo()
        os.dup2(os.open(os.devnull, os.O_WRONLY), write)  # so that closing it can flush
    os.close(write)


def test_data_that_can_t_be_written_is_not_lost_silently(monkeypatch: pytest.MonkeyPatch) -> None:
    with open("/dev/full", "w") as full:  # noqa: PTH123
        monkeypatch.setattr(sys, "stdout", full)
        with pytest.raises(OSError, match="No space left"):
            put("data", now=True)
        monkeypatch.undo()
        os.dup2(os.open(os.devnull, os.O_WRONLY), full.fileno())


def test_a_phase_that_takes_long_shows_how_far_it_is_without_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 100.0
    monkeypatch.setattr("labkit.cli.progress.time", SimpleNamespace(monotonic=lambda: now))
    shown = ProgressLines(None)
    shown.begin("converge")
    for text in ("0/5", "1/5", "2/5", "3/5"):
        shown.update(text)
        now += QUIET - 1
    shown.end("5/5")
    assert capsys.readouterr().err.splitlines() == [" converge  2/5", " converge  5/5   16 s"]
