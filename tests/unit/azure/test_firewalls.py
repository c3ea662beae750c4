"""What an Azure Firewall lets through and translates, and what Azure refuses of one."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.azure.changes.difference import difference
from labkit.azure.changes.firewalls import SetFirewallRules
from labkit.azure.changes.registry import from_json, to_json
from labkit.azure.model import Azure, Firewall, FirewallRule, RuleAction, RuleProtocol, Subnet, VirtualNetwork
from labkit.azure.model.problem import Code
from labkit.azure.rules.firewalls import admitted, decides, firewall_problems, rule_mark, services, translates
from labkit.errors import InvalidInput
from tests.unit.azure.builders import addr, net

ALLOW, DENY = RuleAction.ALLOW, RuleAction.DENY
TCP, UDP, ICMP = 6, 17, 1
ONE, OTHER, PUBLIC = addr("10.1.1.4"), addr("10.2.1.4"), addr("198.51.100.10")

NO_SSH = FirewallRule(DENY, (), (net("10.2.0.0/16"),), (RuleProtocol.TCP,), ("22",))
INSIDE = FirewallRule(ALLOW, (net("10.0.0.0/8"),), (net("10.0.0.0/8"),), (RuleProtocol.TCP,), ("20-30", "443"))
PING = FirewallRule(ALLOW, protocols=(RuleProtocol.ICMP,))
PORT_53 = FirewallRule(ALLOW, destination_ports=("53",))
RULES = (NO_SSH, INSIDE, PING, PORT_53)


@pytest.mark.parametrize(
    ("source", "destination", "protocol", "port", "action"),
    [
        (ONE, OTHER, TCP, 22, DENY),
        (OTHER, ONE, TCP, 22, ALLOW),
        (ONE, OTHER, TCP, 30, ALLOW),
        (ONE, OTHER, TCP, 31, DENY),
        (ONE, OTHER, UDP, 443, DENY),
        (ONE, PUBLIC, TCP, 443, DENY),
        (ONE, PUBLIC, ICMP, None, ALLOW),
        (ONE, PUBLIC, UDP, 53, ALLOW),
        (ONE, PUBLIC, TCP, 53, ALLOW),
        (ONE, PUBLIC, 47, None, DENY),
        (ONE, OTHER, TCP, None, DENY),
    ],
)
def test_the_first_rule_that_matches_decides(
    source: IPv4Address, destination: IPv4Address, protocol: int, port: int | None, action: RuleAction
) -> None:
    assert decides(RULES, source, destination, protocol, port) is action


def test_what_rules_let_through_between_two_addresses_in_a_few_words() -> None:
    def between(source: IPv4Address, destination: IPv4Address, *rules: FirewallRule) -> str | None:
        found = admitted(rules, source, destination)
        return services(found) if found else None

    assert between(ONE, OTHER, *RULES) == "no TCP 22; TCP 20-30,443; ICMP; port 53"
    assert between(ONE, PUBLIC, *RULES) == "ICMP; port 53"
    assert between(ONE, OTHER, INSIDE, FirewallRule(DENY), PING) == "TCP 20-30,443"
    assert between(ONE, OTHER, NO_SSH) is None
    assert between(ONE, OTHER, NO_SSH, FirewallRule(ALLOW), PING) == "no TCP 22; any"
    assert between(ONE, OTHER, FirewallRule(ALLOW), NO_SSH) == ""
    assert str(NO_SSH) == "Deny any → 10.2.0.0/16: TCP 22"


PREFIXES = st.lists(st.sampled_from([net("10.1.0.0/16"), net("10.2.0.0/16"), net("0.0.0.0/1")]), max_size=2).map(tuple)
SOME_RULES = st.builds(
    FirewallRule,
    st.sampled_from(RuleAction),
    PREFIXES,
    PREFIXES,
    st.lists(st.sampled_from(RuleProtocol), max_size=2).map(tuple),
    st.lists(st.sampled_from(("22", "50-60")), max_size=1).map(tuple),
)


@given(
    st.lists(SOME_RULES, max_size=5),
    st.sampled_from([ONE, OTHER, PUBLIC]),
    st.sampled_from([ONE, OTHER, PUBLIC]),
    st.sampled_from([TCP, UDP, ICMP]),
    st.sampled_from([22, 55, 80]),
)
def test_admitted_rules_decide_as_all_of_them(
    rules: list[FirewallRule], source: IPv4Address, destination: IPv4Address, protocol: int, port: int
) -> None:
    here = None if protocol == ICMP else port
    found = admitted(rules, source, destination)
    assert decides(found, source, destination, protocol, here) is decides(rules, source, destination, protocol, here)
    assert not found or found[-1].action is ALLOW


def test_only_what_goes_to_public_addresses_is_translated() -> None:
    inside = ("10.1.2.3", "100.64.0.1", "172.31.0.1", "192.168.1.1")
    assert [address for address in inside if translates(addr(address))] == []
    assert all(translates(addr(address)) for address in ("198.51.100.10", "172.32.0.1", "100.128.0.1"))


def azure(*rules: FirewallRule, subnet: str = "10.0.1.0/26", **others: Firewall) -> Azure:
    hub = VirtualNetwork("hub", (net("10.0.0.0/16"),), (Subnet("AzureFirewallSubnet", net(subnet)),))
    return Azure(
        (hub, VirtualNetwork("bare", (net("10.9.0.0/16"),))), firewalls=(Firewall("fw", "hub", rules), *others.values())
    )


def test_what_azure_refuses() -> None:
    def codes(there: Azure) -> list[Code]:
        return [problem.code for problem in firewall_problems(there)]

    assert codes(azure(*RULES)) == []
    assert codes(azure(subnet="10.0.1.0/27")) == [Code.FIREWALL_SUBNET_SIZE]
    assert codes(azure(other=Firewall("fw2", "hub"))) == [Code.FIREWALL_SECOND]
    assert codes(azure(other=Firewall("fw2", "bare"))) == [Code.FIREWALL_SUBNET]
    assert codes(azure(replace(NO_SSH, protocols=(RuleProtocol.ICMP,)))) == [Code.FIREWALL_RULE]
    for port in ("0", "65536", "9-8", "ssh", "", "-", "1-", "²", "9" * 5000):
        assert codes(azure(replace(NO_SSH, destination_ports=(port,)))) == ([Code.FIREWALL_PORT]), port


def test_rules_change_as_a_whole() -> None:
    before, change = azure(*RULES), SetFirewallRules("fw", (PING, INSIDE))
    after = change.apply(before)
    assert after.firewall["fw"].rules == (PING, INSIDE)
    assert difference(before, after) == (change,)
    assert from_json(to_json([change])) == (change,)
    assert change.describe(before) == f"without rule 1, {NO_SSH}; without rule 4, {PORT_53}"
    assert change.describe(after) == "no change"
    assert SetFirewallRules("fw", (INSIDE, PING)).describe(after) == "rules in another order"
    assert SetFirewallRules("fw", ()).describe(before) == "4 rules → 0 rules"
    with pytest.raises(InvalidInput, match="there is no firewall nothing"):
        SetFirewallRules("nothing", ()).apply(before)


def test_a_rule_in_a_kernel_is_known_by_its_place_and_all_that_it_is() -> None:
    marks = {rule_mark(number, rule) for number in (1, 2) for rule in RULES}
    assert len(marks) == 2 * len(RULES)
    assert IPv4Network("10.0.0.0/8") in INSIDE.source_addresses
    assert rule_mark(1, INSIDE) != rule_mark(1, replace(INSIDE, source_addresses=()))
