"""When a tracked service counts as dead, and when as alive again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.tracker.judge import Judge


@pytest.mark.parametrize(
    ("answers", "judgements"),
    [
        ("++++", "++++"),
        ("---+", "++--"),
        ("--+---", "+++++-"),
        ("---++-+++", "++------+"),
        ("---+++---", "++---+++-"),
    ],
)
def test_judgements(answers: str, judgements: str) -> None:
    judge = Judge(failures_to_die=3, answers_to_live=3)
    found = []
    for answer in answers:
        before = judge.up
        assert judge.take(answer == "+") == (judge.up != before)
        found.append("+" if judge.up else "-")
    assert "".join(found) == judgements


def test_three_in_a_row_decide_unless_something_else_is_set() -> None:
    judge = Judge()
    assert [judge.take(False) for _ in range(3)] == [False, False, True]
    assert [judge.take(True) for _ in range(3)] == [False, False, True]


@given(st.lists(st.booleans()), st.integers(1, 5), st.integers(1, 5))
def test_a_judgement_changes_only_after_enough_in_a_row(answers: list[bool], die: int, live: int) -> None:
    judge = Judge(die, live)
    for i, answer in enumerate(answers):
        if judge.take(answer):
            needed = live if answer else die
            assert answers[i + 1 - needed : i + 1] == [answer] * needed
