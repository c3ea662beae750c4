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


def test_merge_of_a_mapping_with_a_key_that_is_a_list() -> None:
    source = parse("a: &a {[x]: 1, b: 2}\nc: {<<: *a}\n")
    assert source.data == {"a": {"b": "2"}, "c": {"b": "2"}}
    assert {p.text for p in source.problems} == {"a key must be a word, not a list or a mapping."}


def test_merge_of_something_else() -> None:
    source = parse("a: {<<: [1]}\n")
    assert [p.text for p in source.problems] == ['"<<" merges mappings only.']


@pytest.mark.parametrize(
    "bomb",
    [
        "a: &a [*a]",
        "a: &a {<<: *a}",
        "a0: &a0 {x: 1}\n" + "".join(f"a{i}: &a{i} {{<<: [{','.join([f'*a{i - 1}'] * 10)}]}}\n" for i in range(1, 11)),
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


@pytest.mark.parametrize(
    ("text", "line", "column", "words"),
    [
        ('name: "abc\nx: 1\n', 1, 7, "the quote that begins here is not closed"),
        ("name: abc\nx: 'it\ny: 1\n", 2, 4, "the quote that begins here is not closed"),
        # Another text's quote closes it.
        ('name: "abc\nx: "b"\ny: 1\n', 1, 7, "the quote that begins here is closed on line 2 only"),
        ("a: ['x, y]\nb: 1\nc: 'z'\n", 1, 5, "the quote that begins here is closed on line 3 only"),
        ('a: "b" c\n', 1, 8, "did not find expected key"),
        ("a: [1, 2\nb: 3\n", 2, 2, "did not find expected ',' or ']' for the bracket on line 1, column 4"),
        ("a: {x: [1, 2}\n", 1, 13, "did not find expected ',' or ']'"),
        ("a: b: c\n", 1, 5, "mapping values are not allowed"),
        ("a: *b\n", 1, 4, "undefined alias"),
        ("ä: ☃\0", 1, 5, "control characters"),
        ("a: 1\na: 2\n", 2, 1, "given twice"),
    ],
)
def test_mistakes_have_their_columns(text: str, line: int, column: int, words: str) -> None:
    (problem,) = parse(text).problems
    assert (problem.line, problem.column) == (line, column)
    assert words in problem.text
    assert problem.show("x.yml").startswith(f"x.yml:{line}:{column}: ")


@given(st.text())
def test_any_text_parses_or_is_a_problem(text: str) -> None:
    source = parse(text)
    assert source.problems or source.data is None or isinstance(source.data, (str, list, dict))


@given(st.text(alphabet="ab:-[]{}&*!<>'\"#,? \n\t|%@`"))
def test_any_yaml_like_text(text: str) -> None:
    source = parse(text)
    assert all(p.line >= 0 and p.text and p.remedy for p in source.problems)
