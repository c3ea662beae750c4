"""Rules of Azure Firewalls by the command lines that change them, and what follows for packets."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from labkit.azure.changes.firewalls import SetFirewallRules
from labkit.azure.model import FirewallRule, RuleAction, RuleProtocol
from labkit.errors import InvalidInput
from labkit.lab.load import load
from labkit.predict.whatif.model import Side
from labkit.predict.whatif.reach import predicted, reach_changes
from tests.unit.azure.builders import net
from tests.unit.operate.command_lines import trial
from tests.unit.operate.test_whatif import settled

LAB = load(Path(__file__).parents[2] / "e2e" / "labs" / "firewall.lab.yml")
RULES = LAB.azure.firewall["fw"].rules


def made(words: str) -> tuple[FirewallRule, ...]:
    """The rules that a command line makes of the lab's."""
    (change,) = trial(words, LAB).changes
    assert isinstance(change, SetFirewallRules)
    return change.rules


def test_command_lines_change_rules() -> None:
    many = "--source 10.1.0.0/16 --source 10.2.0.0/16 --destination 10.9.0.0/16 --protocol TCP --port 22 --port 80-90"
    sources, destinations = (net("10.1.0.0/16"), net("10.2.0.0/16")), (net("10.9.0.0/16"),)
    rule = FirewallRule(RuleAction.ALLOW, sources, destinations, (RuleProtocol.TCP,), ("22", "80-90"))
    assert made(f"firewall allow FW {many}") == (*RULES, rule)
    assert made("firewall deny fw --at 2") == (RULES[0], FirewallRule(RuleAction.DENY), *RULES[1:])
    assert made("firewall remove fw --rule 1") == RULES[1:]
    assert len(trial("firewall remove fw --rule 1, firewall remove fw --rule 1", LAB).changes) == 2
    for wrong in ("firewall remove fw --rule 6", "firewall remove fw9 --rule 1", "firewall allow fw --source vm1"):
        with pytest.raises(InvalidInput):
            trial(wrong, LAB)


def test_packets_follow_rules() -> None:
    end = settled(LAB)
    before = Side(LAB.azure, end.speakers.adj_ribs_in, end.routers)
    reach = predicted(LAB, before)
    (way,) = reach.ways("vm1", LAB.azure.nic["vm2"].address)
    assert str(way) == "delivered through fw (no TCP 7001; TCP/UDP 7000-7010,33434-33500; ICMP)"
    (back,) = reach.ways("vm2", LAB.azure.nic["vm1"].address)
    assert str(back) == "dropped at fw: its rules let nothing through between these two"
    open_ = SetFirewallRules("fw", (FirewallRule(RuleAction.ALLOW),)).apply(LAB.azure)
    after = replace(before, azure=open_)
    changed = {(c.source, c.target): [str(way) for way in c.after] for c in reach_changes(LAB, before, after)}
    assert changed == {pair: ["delivered through fw"] for pair in (("vm1", "vm2"), ("vm2", "vm1"))}
