"""The event log: what is kept of it, and what it does on a full disk."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from labkit.controller import events
from labkit.controller.events import EventLog


def texts(log: EventLog) -> list[str]:
    return [json.loads(line)["text"] for line in log.past()]


def test_events_outlive_the_controller(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events.jsonl")
    assert not log.has_past
    assert texts(log) == []
    log.add("vm1", "power", "off", "the operator")
    again = EventLog(tmp_path / "events.jsonl")
    assert again.has_past
    assert texts(again) == ["off"]


def test_the_log_has_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "MOST", 1000)
    log = EventLog(tmp_path / "events.jsonl")
    for number in range(100):
        log.add("vm1", "power", str(number))
    kept = [int(text) for text in texts(log)]
    assert kept == list(range(kept[0], 100)), "the latest, in order"
    assert len(kept) >= 1000 // len(next(log.past()))
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 2 * 1100


def test_an_event_that_can_not_be_kept_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = EventLog(tmp_path / "events.jsonl")
    log.add("vm1", "power", "off")
    write = os.write
    with monkeypatch.context() as full:
        full.setattr("os.write", lambda descriptor, data: write(descriptor, data[:10]))
        log.add("vm1", "power", "half")
    log.add("vm1", "power", "on")
    assert texts(log) == ["off", "on"]
