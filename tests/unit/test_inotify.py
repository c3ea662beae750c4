"""Waiting for files, in the kernel that runs the tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from labkit.inotify import CLOSE_NOWRITE, MODIFY, Inotify


def test_a_file_that_was_read_or_written_is_reported_by_its_watch(tmp_path: Path) -> None:
    read, written = tmp_path / "read", tmp_path / "written"
    read.write_text("x")
    written.touch()
    inotify = Inotify()
    of_read, of_written = inotify.watch(str(read), CLOSE_NOWRITE), inotify.watch(str(written), MODIFY)
    assert of_read != of_written
    read.read_text()
    assert list(inotify.read()) == [(of_read, CLOSE_NOWRITE)]
    with written.open("a") as file:
        file.write("y")
    assert list(inotify.read()) == [(of_written, MODIFY)]


def test_what_is_not_there_cannot_be_watched(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nothing"):
        Inotify().watch(str(tmp_path / "nothing"), MODIFY)
