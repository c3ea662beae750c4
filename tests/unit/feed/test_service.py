"""What every service of a node has in common: its settings, its ready mark, its inbox, and the end of its process."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from labkit.feed.service import Inbox, Settings


def test_settings_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABKIT_NODE", "vm1")
    monkeypatch.setenv("LABKIT_FEED", "/somewhere/feed.sock")
    monkeypatch.setenv("LABKIT_READY", str(tmp_path / "marks"))
    assert Settings.from_environment("agent") == Settings(
        "agent", "vm1", Path("/somewhere/feed.sock"), tmp_path / "marks"
    )


def test_the_ready_mark_comes_and_goes(tmp_path: Path) -> None:
    settings = Settings("agent", "vm1", ready=tmp_path / "marks")
    settings.clear_ready()
    settings.mark_ready()
    settings.mark_ready()
    assert [mark.name for mark in settings.ready.iterdir()] == ["agent"]
    settings.clear_ready()
    assert list(settings.ready.iterdir()) == []


def test_an_inbox_gives_everything_that_has_come() -> None:
    inbox: Inbox[int] = Inbox()
    began = time.monotonic()
    assert inbox.collect(0.05) == []
    assert time.monotonic() - began >= 0.05
    for number in range(3):
        inbox.put(number)
    assert inbox.collect() == [0, 1, 2]


SERVICE = """
import threading
from labkit.feed.service import begin, watch

begin("agent")
watch("links", lambda: 1 / 0)
threading.Event().wait()
"""


def test_a_thread_that_fails_ends_the_process(tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    (marks / "agent").touch()
    done = subprocess.run(
        [sys.executable, "-c", SERVICE],
        env={"LABKIT_NODE": "vm1", "LABKIT_READY": str(marks), "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr
    assert not (marks / "agent").exists(), "nor is a new process ready because the one before it was"
