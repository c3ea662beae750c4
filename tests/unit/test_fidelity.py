"""docs/fidelity.md says what is so, of rules, tests and defaults, and no rule that cites the reference is missing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from tools.fidelity import COMMAND, FACTS, PAGE, Fact, load, page, problems, unnamed, without_fact

THEMES = load(FACTS.read_text(encoding="utf-8"))
FACT = Fact(
    azure="A fact",
    row="4.1 step 2; 3.2 Multipath",
    source=("documented",),
    rules=("azure.rules.selection.best", "templates/frr.conf.j2"),
    tests=("tests/unit/test_fidelity.py::test_facts_and_code_agree", "tests/golden/errors/asn.txt"),
)

ROWS = {
    "1": """
        Object model, Subnet, virtualRouterIps, virtualRouterAsn, allowBranchToBranchTraffic, hubRoutingPreference,
        virtualRouterAutoScaleConfiguration, Public IP, Count, Peer, UDR / NSG, IPv6, below the table,
        Peered-VNet peers, Limits by date, Counting rule, Control-plane durations
        """,
    "2": """
        Session type, ASN permitted, ASN width, Capabilities, Router-ID, Timers, Lower hold from NVA, MD5, BFD,
        Route refresh, Reachability, AS 0 in path, Multihop, FRR eBGP policy, Static routes to the instances
        """,
    "3.1": """
        ARS VNet prefixes, URG-peered spoke prefixes, Peered spokes without URG, Another NVA's routes, ER-learned,
        VPN-learned, Default 0/0, NO_ADVERTISE, below the table
        """,
    "3.2": """
        NEXT_HOP, AS_PATH, ORIGIN, MED / LOCAL_PREF, Communities, Multipath, below the table, no-export
        """,
    "3.3": "CLI output shapes, Gateway views, Portal, Metrics",
    "4.1": "step 1, step 1 Own ranges, step 2, step 3, step 4, below the steps",
    "4.2": """
        head, step 1, step 2, step 3, step 4, step 5, step 6, step 7, Display, ECMP, One-instance peering
        """,
    "4.3": "Non-transitive, useRemoteGateways, allowForwardedTraffic, VNet address changes",
    "5": "VPN gateway, ER gateway and MSEE, b2b switch, Dual-homed loops, Self-next-hop loop",
    "6": """
        ARS never forwards data, Two-stage forwarding, The .1 gateway, Reserved addresses, IP forwarding,
        One-arm routers, Statefulness, VM to gateway
        """,
    "7": """
        NVA closes TCP, Single UPDATE, A further change, Injection, BIRD stop, Silent death, PSK mismatch, Maintenance,
        ARS create/delete, below the table
        """,
}
"""The rows of the reference's sections of rules: of its tables, and by its first words what stands beside them."""


def wrong(fact: Fact) -> list[str]:
    facts = [f for theme in THEMES for f in theme.facts]
    return problems([replace(THEMES[0], facts=(*facts, fact))])


def test_facts_and_code_agree() -> None:
    assert problems(THEMES) == []


def test_every_row_of_the_reference_has_a_fact() -> None:
    """And no fact is of a row that is not there."""
    there = {(section, row.strip()) for section, rows in ROWS.items() for row in rows.split(",")}
    facts = [fact for theme in THEMES for fact in theme.facts]
    named = {row for fact in facts for row in rows_named(fact) if row[0] in ROWS}
    assert sorted(there - named) == []
    assert sorted(named - there) == []


def rows_named(fact: Fact) -> Iterator[tuple[str, str]]:
    """The rows that a fact is of, each with its section."""
    for place in fact.row.split("; "):
        section, _, rows = place.partition(" ")
        yield from ((section, row) for row in rows.split(", "))


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
    ],
)
def test_a_fact_that_is_wrong_about_the_code(fact: Fact, problem: str) -> None:
    assert wrong(fact) == [f"A fact: {problem}"]


def test_a_rule_is_named_by_facts_of_every_section_that_it_cites() -> None:
    assert ("azure.rules.selection.best", "4.1") in unnamed([])
    assert ("azure.rules.selection.best", "4.1") not in unnamed([FACT])
    assert ("azure.rules.selection.best", "4.1") in unnamed([replace(FACT, row="3.2 Multipath")])
    assert ("azure.rules.limits.MAX_PEERS", "1") in unnamed([FACT]), "constants have docstrings too"
    assert ("azure.rules.acceptance.attributes_rejection", "6") not in unnamed([]), "an RFC's §6.3"
    switch = replace(FACT, switch="Assumptions.preference_needs_branch_to_branch")
    assert unnamed([FACT])[-1:] == unnamed([switch])[-1:]
    assert len(unnamed([FACT])) == len(unnamed([switch])) + 1, "a switch names its field"


def test_functions_that_no_fact_names_are_shown() -> None:
    assert "best" in without_fact([])["azure.rules.selection"]
    assert "best" not in without_fact([FACT])["azure.rules.selection"]
    assert "programming_server" in without_fact([FACT])["azure.rules.adjacency"]
