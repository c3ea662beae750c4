"""What operators change of what NVAs advertise."""

from __future__ import annotations

from dataclasses import replace

import pytest

from labkit.azure.changes.appliances import SetAdvertisedPrefixes, SetExportPolicy
from labkit.azure.changes.base import UNCHANGED
from labkit.azure.changes.difference import difference
from labkit.azure.changes.outcome import carry_out
from labkit.azure.model import Appliance, AsPathMatch, Azure, ExportRule, Origin, PathChanges, PrefixMatch
from labkit.errors import InvalidInput
from tests.unit.azure.builders import addr, net

RULE = ExportRule(
    ("rs1", "rs2"),
    (PrefixMatch(net("10.0.0.0/8"), or_longer=True),),
    ((65001, 7),),
    (AsPathMatch((65010,), to_end=True),),
    changes=PathChanges(2, ((1, 1),), addr("10.1.1.9"), False, True, (), 0, Origin.INCOMPLETE),
)
MODEL = Azure((), appliances=(Appliance("fw", (net("10.8.0.0/16"), net("10.9.0.0/16"))), Appliance("far")))


def test_what_a_rule_is_in_a_lab_file() -> None:
    assert str(RULE) == (
        "{to: [rs1, rs2], prefix: 10.0.0.0/8 or longer, community: 65001:7, as_path: _65010$, "
        "set: {prepend: 2, communities: 1:1, next_hop: 10.1.1.9, as_override: true, med: 0, origin: incomplete}}"
    )
    assert str(ExportRule(deny=True)) == "{deny: true}"
    assert str(ExportRule((), deny=True)) == "{to: [], deny: true}", "it is for nobody, and not for all"
    relaying = ExportRule(changes=PathChanges(next_hop_unchanged=True, strip=(65515, 7)))
    assert str(relaying) == "{set: {next_hop: unchanged, strip: [65515, 7]}}"


def test_prefixes() -> None:
    change = SetAdvertisedPrefixes("fw", (net("10.9.0.0/16"), net("10.7.0.0/16"), net("10.7.0.0/16")))
    outcome = carry_out(MODEL, [change, change])
    assert outcome.azure.appliance["fw"].advertises == (net("10.9.0.0/16"), net("10.7.0.0/16"))
    assert outcome.done[0].title == "fw: advertises 10.7.0.0/16; withdraws 10.8.0.0/16"
    assert outcome.done[1].what == UNCHANGED
    assert difference(MODEL, outcome.azure) == (replace(change, prefixes=change.prefixes[:2]),)


def test_policies() -> None:
    change = SetExportPolicy("fw", (RULE, ExportRule(deny=True)))
    outcome = carry_out(MODEL, [change, change])
    assert outcome.azure.appliance["fw"].exports == change.exports
    assert [each.what for each in outcome.done] == [f"export policy: {RULE} {{deny: true}}", UNCHANGED]
    assert difference(MODEL, outcome.azure) == (change,)
    back = carry_out(outcome.azure, difference(outcome.azure, MODEL))
    assert back.azure == MODEL
    assert back.done[0].what == "export policy: no rule"


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (ExportRule(()), "to is empty, so that it is for nobody"),
        (ExportRule(changes=PathChanges(11)), "prepend 11 is not between 0 and 10"),
        (ExportRule(changes=PathChanges(strip=(0,))), "an ASN lies between 1 and 4294967295"),
        (ExportRule(as_paths=(AsPathMatch((1 << 32,)),)), "an ASN lies between 1 and 4294967295"),
        (ExportRule(as_paths=(AsPathMatch((), from_start=True),)), "as_paths has a match without ASNs"),
        (ExportRule(changes=PathChanges(med=1 << 32)), "a MED lies between 0 and 4294967295"),
        (ExportRule(communities=((65536, 1),)), "a community has two numbers up to 65535"),
        (ExportRule(deny=True, changes=PathChanges(2)), "what it denies it can't change"),
        (
            ExportRule(changes=PathChanges(as_override=True, strip=(7,))),
            "as_override replaces an ASN, strip removes it",
        ),
    ],
)
def test_what_no_daemon_could_be_configured_with(rule: ExportRule, text: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        carry_out(MODEL, [SetExportPolicy("fw", (ExportRule(), rule))])
    assert refused.value.message == f"export policy of fw: rule 2: {text}."


def test_an_nva_that_is_not_there() -> None:
    for change in (SetExportPolicy("gw", ()), SetAdvertisedPrefixes("gw", ())):
        with pytest.raises(InvalidInput, match="there is no NVA with BGP gw") as refused:
            carry_out(MODEL, [change])
        assert refused.value.remedy == "The lab's NVAs with BGP: fw, far."
