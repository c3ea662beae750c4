"""docs/fidelity.md agrees with rules, tests and defaults, and every citation in the code leads somewhere."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tools.fidelity import (
    COMMAND,
    FACTS,
    PAGE,
    Fact,
    dangling,
    load,
    load_sources,
    page,
    problems,
    unnamed,
    without_fact,
)

THEMES = load(FACTS.read_text(encoding="utf-8"))
ALL = [fact for theme in THEMES for fact in theme.facts]
SOURCES = load_sources()
FACT = Fact(
    id="a-fact",
    azure="A fact",
    cites=("FAQ25",),
    source=("documented",),
    rules=("azure.rules.selection.best", "templates/frr.conf.j2"),
    tests=("tests/unit/test_fidelity.py::test_facts_and_code_agree", "tests/golden/errors/asn.txt"),
)


def wrong(fact: Fact) -> list[str]:
    return problems([replace(THEMES[0], facts=(*ALL, fact))], SOURCES)


def test_facts_and_code_agree() -> None:
    assert problems(THEMES, SOURCES) == []


def test_the_page_is_made_from_them() -> None:
    made = page(THEMES, SOURCES)
    committed = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
    assert committed == made, f"docs/fidelity.md is not what the facts and the code say. Run: {COMMAND}"


def test_a_sound_fact() -> None:
    assert wrong(FACT) == []
    assert FACT.proofs == ("unit",)
    assert replace(FACT, tests=("tests/e2e/a.py::b", "tests/unit/azure/test_captures.py::c")).proofs == (
        "example",
        "e2e",
    )


@pytest.mark.parametrize(
    ("fact", "problem"),
    [
        (replace(FACT, rules=("azure.rules.selection.worst",)), "there is no rule azure.rules.selection.worst"),
        (replace(FACT, rules=("azure.choice.best",)), "there is no rule azure.choice.best"),
        (replace(FACT, rules=("templates/frr.conf",)), "there is no rule templates/frr.conf"),
        (replace(FACT, tests=("tests/unit/test_fidelity.py::a",)), "there is no test tests/unit/test_fidelity.py::a"),
        (replace(FACT, tests=("tests/unit/a.py::b",)), "there is no test tests/unit/a.py::b"),
        (replace(FACT, tests=("tests/golden/a.txt",)), "there is no test tests/golden/a.txt"),
        (replace(FACT, tests=()), "it needs a rule and a test, or left_out with a reason"),
        (replace(FACT, rules=()), "it needs a rule and a test, or left_out with a reason"),
        (replace(FACT, switch="RouteServer.era"), "labkit.azure.model has no RouteServer.era with a default"),
        (replace(FACT, switch="RouteServer.name"), "labkit.azure.model has no RouteServer.name with a default"),
        (replace(FACT, switch="Router.era"), "labkit.azure.model has no Router.era with a default"),
        (replace(FACT, differs="a", left_out="b"), "it can't be more than one of switch, differs and left_out"),
        (replace(FACT, source=("guessed",)), '"guessed" is no source'),
        (replace(FACT, cites=("XYZ",)), "docs/sources.yml has no XYZ"),
    ],
)
def test_a_fact_that_is_wrong_about_the_code(fact: Fact, problem: str) -> None:
    assert wrong(fact) == [f"a-fact: {problem}"]


def test_ids_are_unique_and_look_like_ids() -> None:
    assert "max-peers: the id of more than one fact" in wrong(replace(FACT, id="max-peers"))
    assert wrong(replace(FACT, id="fact")) == [
        "fact: an id is words of small letters and digits, at least two, with hyphens between"
    ]


def test_a_source_that_no_fact_cites() -> None:
    assert problems(THEMES, {**SOURCES, "XYZ": "A page"}) == ["docs/sources.yml: no fact cites XYZ"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("One best path [one-best-path], RFC 4271 §9.1, docs/fidelity.md, [a, b], [x]", []),
        ("Facts: [one-best-path, no-such-fact].", ["a.py cites [no-such-fact], which is not a fact"]),
        ("As in section §4.2.", ["a.py cites §4.2., of no RFC"]),
        ("See docs/nothing.md.", ["a.py cites docs/nothing.md, which does not exist"]),
        ("See `notes.md`.", ["a.py cites `notes.md`, which does not exist"]),
    ],
)
def test_citations_lead_somewhere(text: str, problem: list[str]) -> None:
    assert list(dangling(text, Path("a.py"), ALL)) == problem


def test_a_rule_is_named_by_the_facts_that_it_cites() -> None:
    fact = next(fact for fact in ALL if fact.id == "nva-ecmp")
    assert unnamed(ALL) == []
    assert ("azure.rules.selection.best", "nva-ecmp") in unnamed([replace(fact, rules=())])
    limit = next(fact for fact in ALL if fact.id == "max-peers")
    assert ("azure.rules.limits.MAX_PEERS", "max-peers") in unnamed([replace(limit, rules=())]), "constants too"


def test_functions_that_no_fact_names_are_shown() -> None:
    assert "best" in without_fact([])["azure.rules.selection"]
    assert "best" not in without_fact([FACT])["azure.rules.selection"]
    assert "programming_server" in without_fact([FACT])["azure.rules.adjacency"]
