"""Export rules: which decides for a path, what it makes of it, and the same rules as FRR's configuration."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from labkit.azure.model import AsPath, AsPathMatch, ExportRule, Origin, PathAttributes, PathChanges, PrefixMatch
from labkit.daemons.export_policy import deciding_rule, exported_attributes, exported_path, matches, rules_towards
from labkit.daemons.frr.policy import policy_lines, route_map
from labkit.daemons.speaker import CustomerSpeaker, Neighbour
from tests.unit.azure.builders import addr, net

ORIGINATED = PathAttributes(IPv4Address(0), med=0)
PATH = PathAttributes(addr("10.0.0.9"), (65010, 65020), communities=((65001, 7),))
RS1, RS2, SITE = (
    Neighbour(node, addr(address), addr("10.1.1.4"), asn, addr(address), peer=peer, route_server=asn == 65515)
    for node, address, asn, peer in (
        ("rs1-0", "10.1.0.4", 65515, "rs1"),
        ("rs2-0", "10.2.0.4", 65515, "rs2"),
        ("branch", "100.64.0.2", 65010, "branch"),
    )
)


def exact(prefix: str) -> PrefixMatch:
    return PrefixMatch(net(prefix))


def longer(prefix: str) -> PrefixMatch:
    return PrefixMatch(net(prefix), or_longer=True)


@pytest.mark.parametrize(
    ("match", "prefix", "wanted"),
    [
        (exact("10.0.0.0/8"), "10.0.0.0/8", True),
        (exact("10.0.0.0/8"), "10.1.0.0/16", False),
        (longer("10.0.0.0/8"), "10.0.0.0/8", True),
        (longer("10.0.0.0/8"), "10.1.2.3/32", True),
        (longer("10.0.0.0/8"), "0.0.0.0/0", False),
        (exact("0.0.0.0/0"), "0.0.0.0/0", True),
    ],
)
def test_prefixes(match: PrefixMatch, prefix: str, wanted: bool) -> None:
    assert matches(ExportRule(prefixes=(exact("192.0.2.0/24"), match)), net(prefix), PATH) is wanted


@pytest.mark.parametrize(
    ("match", "text", "as_path", "wanted"),
    [
        (AsPathMatch((65515,)), "_65515_", (65001, 65515, 65002), True),
        (AsPathMatch((65515,)), "_65515_", (65001, frozenset({65515, 7})), True),
        (AsPathMatch((5515,)), "_5515_", (65515,), False),
        (AsPathMatch((1, 2)), "_1_2_", (7, 1, 2, 8), True),
        (AsPathMatch((1, 2)), "_1_2_", (1, 7, 2), False),
        (AsPathMatch((1,), from_start=True), "^1_", (1, 2), True),
        (AsPathMatch((2,), from_start=True), "^2_", (1, 2), False),
        (AsPathMatch((2,), to_end=True), "_2$", (1, 2), True),
        (AsPathMatch((1,), to_end=True), "_1$", (1, 2), False),
        (AsPathMatch((1, 2), from_start=True, to_end=True), "^1_2$", (1, 2), True),
        (AsPathMatch((), from_start=True, to_end=True), "^$", (), True),
        (AsPathMatch((), from_start=True, to_end=True), "^$", (1,), False),
    ],
)
def test_as_paths(match: AsPathMatch, text: str, as_path: AsPath, wanted: bool) -> None:
    assert str(match) == text
    assert matches(ExportRule(as_paths=(match,)), net("10.0.0.0/8"), replace(PATH, as_path=as_path)) is wanted


def test_every_condition_must_be_met_and_of_each_any_value() -> None:
    rule = ExportRule(
        prefixes=(exact("10.0.0.0/8"),), communities=((1, 1), (65001, 7)), as_paths=(AsPathMatch((65020,)),)
    )
    assert matches(rule, net("10.0.0.0/8"), PATH)
    assert not matches(rule, net("10.0.0.0/8"), replace(PATH, communities=()))
    assert not matches(rule, net("10.0.0.0/8"), replace(PATH, as_path=(65010,)))
    assert not matches(rule, net("11.0.0.0/8"), PATH)
    assert matches(ExportRule(), net("11.0.0.0/8"), ORIGINATED)


def test_the_first_rule_that_matches_decides() -> None:
    default = ExportRule(("rs1",), (exact("0.0.0.0/0"),), deny=True)
    to_rs2 = ExportRule(("rs2",), changes=PathChanges(1))
    to_all, never = ExportRule(changes=PathChanges(2)), ExportRule(deny=True)
    policy = (default, to_rs2, to_all, never)
    found = [deciding_rule(policy, to, net("0.0.0.0/0"), ORIGINATED) for to in (RS1, RS2, SITE)]
    assert found == [default, to_rs2, to_all]
    assert deciding_rule(policy, RS1, net("10.0.0.0/8"), ORIGINATED) == to_all
    assert deciding_rule((default,), RS1, net("10.0.0.0/8"), ORIGINATED) is None
    assert rules_towards(policy, RS2) == (to_rs2,), "none after one that decides for every path"


def test_what_becomes_of_a_path() -> None:
    changes = PathChanges(
        1, ((1, 1),), addr("10.1.1.9"), as_override=True, strip=(65020,), med=50, origin=Origin.INCOMPLETE
    )
    rule, path = ExportRule(changes=changes), replace(PATH, as_path=(65010, 65020, frozenset({65010, 65020})))
    assert exported_path(rule, 65001, SITE, path.as_path) == (65001, 65001, 65001, frozenset({65001}))
    sent = replace(path, next_hop=SITE.own, med=None)
    assert exported_attributes(rule, sent, path) == replace(
        path,
        next_hop=addr("10.1.1.9"),
        communities=((1, 1), (65001, 7)),
        med=50,
        origin=Origin.INCOMPLETE,
    )
    assert exported_attributes(ExportRule(), sent, path) == sent
    same = ExportRule(changes=PathChanges(next_hop_unchanged=True))
    assert exported_attributes(same, sent, path).next_hop == path.next_hop
    own = replace(ORIGINATED, next_hop=SITE.own)
    assert exported_attributes(same, own, ORIGINATED) == own, "what it originates has its own address"


POLICY = (
    ExportRule(
        ("rs1", "branch"),
        (exact("10.1.0.0/16"), longer("10.2.0.0/16"), longer("10.3.0.1/32")),
        ((65001, 7), (65535, 65281)),
        (AsPathMatch((65010,)), AsPathMatch((), from_start=True, to_end=True)),
        deny=True,
    ),
    ExportRule(
        ("rs1",),
        (exact("0.0.0.0/0"),),
        changes=PathChanges(2, ((1, 1), (2, 2)), addr("10.1.1.9"), med=50, origin=Origin.INCOMPLETE),
    ),
    ExportRule(("rs1",), changes=PathChanges(as_override=True, next_hop_unchanged=True)),
    ExportRule(("branch",), as_paths=(AsPathMatch((65515,)),), changes=PathChanges(strip=(65515, 7))),
)


def test_frr() -> None:
    speaker = CustomerSpeaker("fw", 65001, addr("10.1.1.4"), (RS1, replace(RS1, name="rs1-1"), RS2, SITE), ())
    assert [route_map(replace(speaker, exports=POLICY), n) for n in (RS1, RS2, SITE)] == ["to-rs1", None, "to-branch"]
    assert (
        "\n".join(policy_lines(replace(speaker, exports=POLICY)))
        == """\
ip prefix-list to-rs1-10 seq 5 permit 10.1.0.0/16
ip prefix-list to-rs1-10 seq 10 permit 10.2.0.0/16 le 32
ip prefix-list to-rs1-10 seq 15 permit 10.3.0.1/32
bgp community-list standard to-rs1-10 seq 5 permit 65001:7
bgp community-list standard to-rs1-10 seq 10 permit 65535:65281
bgp as-path access-list to-rs1-10 seq 5 permit _65010_
bgp as-path access-list to-rs1-10 seq 10 permit ^$
!
route-map to-rs1 deny 10
 match ip address prefix-list to-rs1-10
 match community to-rs1-10
 match as-path to-rs1-10
exit
!
ip prefix-list to-rs1-20 seq 5 permit 0.0.0.0/0
!
route-map to-rs1 permit 20
 match ip address prefix-list to-rs1-20
 set ip next-hop 10.1.1.9
 set metric 50
 set origin incomplete
 set community 1:1 2:2 additive
 set as-path prepend 65001 65001
exit
!
route-map to-rs1 permit 30
 set ip next-hop unchanged
 set as-path replace 65515 65001
exit
!
ip prefix-list to-branch-10 seq 5 permit 10.1.0.0/16
ip prefix-list to-branch-10 seq 10 permit 10.2.0.0/16 le 32
ip prefix-list to-branch-10 seq 15 permit 10.3.0.1/32
bgp community-list standard to-branch-10 seq 5 permit 65001:7
bgp community-list standard to-branch-10 seq 10 permit 65535:65281
bgp as-path access-list to-branch-10 seq 5 permit _65010_
bgp as-path access-list to-branch-10 seq 10 permit ^$
!
route-map to-branch deny 10
 match ip address prefix-list to-branch-10
 match community to-branch-10
 match as-path to-branch-10
exit
!
bgp as-path access-list to-branch-20 seq 5 permit _65515_
!
route-map to-branch permit 20
 match as-path to-branch-20
 set as-path exclude 65515 7
exit
!
route-map to-branch permit 30
exit
!"""
    )
    assert [*policy_lines(speaker)] == []
