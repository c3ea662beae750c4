from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.lab.file.yaml_source import parse


def test_scalars_stay_text() -> None:
    source = parse("on: no\nnumber: 010\nquoted: '1'\nmac: 00:0d:3a:00:00:01\nempty:\nnull_: null\ntext: ''\n")
    assert source.problems == ()
    assert source.data == {
        "on": "no",
        "number": "010",
        "quoted": "1",
        "mac": "00:0d:3a:00:00:01",
        "empty": None,
        "null_": None,
        "text": "",
    }


def test_lines_of_keys_items_and_what_is_not_there() -> None:
    source = parse("a:\n  b: {c: 1,\n    d: 2}\n  e:\n    - x\n    - y\n")
    assert source.line(("a",)) == 1
    assert source.line(("a", "b", "c")) == 2
    assert source.line(("a", "b", "d")) == 3
    assert source.line(("a", "e", 1)) == 6
    assert source.line(("a", "b", "missing", 7)) == 2
    assert source.line(("missing",)) == 1


def test_duplicate_key_keeps_the_first_and_has_its_line() -> None:
    source = parse("a: 1\nb: 2\na: 3\n")
    assert source.data == {"a": "1", "b": "2"}
    assert [(p.line, p.text) for p in source.problems] == [(3, '"a" is given twice; the first is on line 1.')]


def test_aliases_and_merge_keys() -> None:
    source = parse("x: &x {a: 1, b: 2}\ny: *x\nz: {<<: *x, b: 3}\nw:\n  <<: [{a: 7}, *x]\n")
    assert source.problems == ()
    assert source.data == {
        "x": {"a": "1", "b": "2"},
        "y": {"a": "1", "b": "2"},
        "z": {"a": "1", "b": "3"},
        "w": {"a": "7", "b": "2"},
    }


def test_merge_of_something_else() -> None:
    source = parse("a: {<<: [1]}\n")
    assert [p.text for p in source.problems] == ['"<<" merges mappings only.']


@pytest.mark.parametrize(
    "bomb",
    [
        "a: &a [*a]",
        "a: &a {<<: *a}",
        "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
        + "".join(f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 10)}]\n" for i in range(9)),
        "[" * 100_000,
        "- " * 10_000 + "x",
        "{a: " * 5000,
    ],
)
def test_bombs_are_one_problem(bomb: str) -> None:
    source = parse(bomb)
    assert source.data is None
    assert len(source.problems) == 1


@given(st.text())
def test_any_text_parses_or_is_a_problem(text: str) -> None:
    source = parse(text)
    assert source.problems or source.data is None or isinstance(source.data, (str, list, dict))


@given(st.text(alphabet="ab:-[]{}&*!<>'\"#,? \n\t|%@`"))
def test_any_yaml_like_text(text: str) -> None:
    source = parse(text)
    assert all(p.line >= 0 and p.text and p.remedy for p in source.problems)
