"""docs/fidelity.md says what is so, of rules, tests and defaults, and no rule that cites the reference is missing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tools.fidelity import COMMAND, FACTS, PAGE, Fact, load, page, problems, unnamed, without_fact

THEMES = load(FACTS.read_text(encoding="utf-8"))
FACT = Fact(
    azure="A fact",
    row="4.1 step 2; 3.2 Multipath",
    source=("documented",),
    rules=("azure.selection.best", "templates/frr.conf.j2"),
    tests=("tests/unit/test_fidelity.py::test_facts_and_code_agree", "tests/golden/errors/asn.txt"),
)


def wrong(fact: Fact) -> list[str]:
    facts = [f for theme in THEMES for f in theme.facts]
    return problems([replace(THEMES[0], facts=(*facts, fact))])


def test_facts_and_code_agree() -> None:
    assert problems(THEMES) == []


def test_the_page_is_made_from_them() -> None:
    made = page(THEMES)
    committed = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
    assert committed == made, f"docs/fidelity.md is not what the facts and the code say. Run: {COMMAND}"


def test_a_sound_fact() -> None:
    assert wrong(FACT) == []
    assert FACT.sections == {"4.1", "3.2"}
    assert FACT.proofs == ("unit",)
    assert replace(FACT, tests=("tests/e2e/a.py::b", "tests/unit/azure/test_captures.py::c")).proofs == (
        "example",
        "e2e",
    )


@pytest.mark.parametrize(
    ("fact", "problem"),
    [
        (replace(FACT, rules=("azure.selection.worst",)), "there is no rule azure.selection.worst"),
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
    ],
)
def test_a_fact_that_is_wrong_about_the_code(fact: Fact, problem: str) -> None:
    assert wrong(fact) == [f"A fact: {problem}"]


def test_a_rule_is_named_by_facts_of_every_section_that_it_cites() -> None:
    assert ("azure.selection.best", "4.1") in unnamed([])
    assert ("azure.selection.best", "4.1") not in unnamed([FACT])
    assert ("azure.selection.best", "4.1") in unnamed([replace(FACT, row="3.2 Multipath")])
    assert ("azure.limits.MAX_PEERS", "1") in unnamed([FACT]), "constants have docstrings too"
    assert ("azure.acceptance.attributes_rejection", "6") not in unnamed([]), "an RFC's §6.3 is not the reference's"
    switch = replace(FACT, switch="Assumptions.preference_needs_branch_to_branch")
    assert unnamed([FACT])[-1:] == unnamed([switch])[-1:]
    assert len(unnamed([FACT])) == len(unnamed([switch])) + 1, "a switch names its field"


def test_functions_that_no_fact_names_are_shown() -> None:
    assert "best" in without_fact([])["azure.selection"]
    assert "best" not in without_fact([FACT])["azure.selection"]
    assert "programming_server" in without_fact([FACT])["azure.adjacency"]
