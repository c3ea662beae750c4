"""The nftables table of a firewall's instance, line by line; test_nftables.py has it in a kernel."""

from __future__ import annotations

import pytest

from labkit.azure.model import FirewallRule, RuleAction, RuleProtocol
from labkit.azure.rules.firewalls import rule_mark
from labkit.firewall.program import table
from tests.unit.azure.builders import net

ALLOW, DENY = RuleAction.ALLOW, RuleAction.DENY


@pytest.mark.parametrize(
    ("rule", "line"),
    [
        (FirewallRule(DENY), "drop"),
        (FirewallRule(ALLOW), "meta mark set 1 accept"),
        (FirewallRule(DENY, protocols=(RuleProtocol.ICMP,)), "meta l4proto { icmp } drop"),
        (
            FirewallRule(DENY, (net("10.1.0.0/16"), net("10.1.1.0/24")), (net("10.2.0.0/16"),)),
            "ip saddr { 10.1.0.0/16 } ip daddr { 10.2.0.0/16 } drop",
        ),
        # Without a protocol, ports are those of TCP and UDP; ranges that overlap are one set all the same.
        (
            FirewallRule(DENY, destination_ports=("80-90", "22", "85-95", "86")),
            "meta l4proto { tcp, udp } th dport { 22, 80-90, 91-95 } drop",
        ),
    ],
)
def test_a_rule_in_nftables(rule: FirewallRule, line: str) -> None:
    lines = [*table([rule])]
    start = lines.index("chain policies {")
    assert lines[start + 1 : start + 3] == [f'{line} comment "{rule_mark(1, rule)}"', "drop"]


def test_a_port_that_is_not_one_is_no_table() -> None:
    with pytest.raises(ValueError, match="ssh"):
        list(table([FirewallRule(ALLOW, destination_ports=("ssh",))]))
