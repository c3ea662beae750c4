"""Whoever waits names whom; what takes long is shown, once."""

from __future__ import annotations

import threading

import pytest

from labkit import patience


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "AFTER", 0.0)
    monkeypatch.setattr(patience, "_listeners", [])
    monkeypatch.setattr(patience, "_shown", set())


def waited(whom: str, seconds: float) -> None:
    """Wait for as long as it takes to show it."""
    before = set(threading.enumerate())
    with patience.waiting(whom, seconds):
        for thread in set(threading.enumerate()) - before:
            thread.join()


def test_what_takes_long_is_shown_once() -> None:
    shown: list[str] = []
    patience.show_waits(shown.append)
    for whom in ("the engine", "the engine", "the lab"):
        waited(whom, 5.0)
    assert shown == ["waiting for the engine, at most 5 s", "waiting for the lab, at most 5 s"]


def test_what_is_quick_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "AFTER", 60.0)
    shown: list[str] = []
    patience.show_waits(shown.append)
    before = threading.active_count()
    with patience.waiting("the engine", 5.0):
        assert threading.active_count() == before + 1
    assert shown == []


def test_without_a_listener_nothing_is_started() -> None:
    before = threading.active_count()
    with patience.waiting("the engine", 5.0):
        assert threading.active_count() == before
