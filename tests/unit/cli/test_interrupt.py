"""What ends labkit comes once, and not in the middle of what must stay whole."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from labkit.operate.labs.interrupt import ENDING, Interrupted, held, interruptible, settled


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    """As a fresh process of a terminal has them, whatever the tests were started by (`nohup` has SIGHUP ignored)."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in ENDING}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", ENDING)
def test_the_first_signal_ends_and_the_next_does_not(number: signal.Signals) -> None:
    interruptible()
    with pytest.raises(Interrupted):
        signal.raise_signal(number)
    for again in ENDING:  # the cleaning up goes on
        signal.raise_signal(again)


def test_an_interruption_is_no_error_that_somebody_handles() -> None:
    assert not issubclass(Interrupted, Exception | KeyboardInterrupt)


def test_what_is_ignored_stays_ignored() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    interruptible()
    signal.raise_signal(signal.SIGHUP)
    with held():
        signal.raise_signal(signal.SIGHUP)
    settled()
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_held_back_it_comes_when_the_work_is_whole() -> None:
    interruptible()
    done = []
    with pytest.raises(Interrupted), held():  # noqa: PT012 - what happens inside is the point
        signal.raise_signal(signal.SIGTERM)
        done.append("whole")
    assert done == ["whole"]


def test_a_handler_of_the_caller_s_is_put_back() -> None:
    came = []
    signal.signal(signal.SIGTERM, lambda number, _frame: came.append(number))
    with held():
        signal.raise_signal(signal.SIGTERM)
        assert came == []
    assert came == [signal.SIGTERM]
    signal.raise_signal(signal.SIGTERM)
    assert came == [signal.SIGTERM] * 2


def test_other_threads_may_hold_too() -> None:
    """They get no signals, and may not set handlers."""
    ran = []

    def work() -> None:
        with held():
            ran.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(10)
    assert ran == [True]


def test_programs_started_while_cleaning_up_can_be_ended() -> None:
    """An ignored signal would be inherited; a child that ignores SIGTERM outlives whatever asks it to end."""
    interruptible()
    settled()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        os.kill(child.pid, signal.SIGTERM)
        assert child.wait(60) == -signal.SIGTERM
