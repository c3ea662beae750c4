"""From one export policy to another in a bgpd that runs, and at its start."""

from __future__ import annotations

from dataclasses import replace

from labkit.daemons.frr.config import policy
from labkit.daemons.frr.policy_change import policy_commands
from labkit.daemons.speaker import CustomerSpeaker
from tests.unit.azure.builders import addr, net
from tests.unit.daemons.test_export_policy import POLICY, RS1, RS2, SITE

SPEAKER = CustomerSpeaker("fw", 65001, addr("10.1.1.4"), (RS1, RS2, SITE), (net("10.9.0.0/16"),), exports=POLICY)


def test_what_is_there_needs_no_command() -> None:
    text = policy(SPEAKER)
    assert policy_commands(text, text) == ()
    # FRR shows the statements of an entry in an order of its own, and what somebody else has made beside them.
    shown = text.replace(" set metric 50\n set origin incomplete\n", " set origin incomplete\n set metric 50\n")
    assert shown != text
    by_hand = "route-map mine permit 10\n set metric 7\nexit\n!\nip prefix-list mine seq 5 permit 10.0.0.0/8\n"
    assert policy_commands(by_hand + shown, text) == ()


def test_the_commands_change_what_differs_alone() -> None:
    longer = replace(SPEAKER, networks=(net("10.8.0.0/16"),), exports=POLICY[1:2])
    commands = policy_commands(policy(SPEAKER), policy(longer))
    assert commands == (
        "router bgp 65001",
        "address-family ipv4 unicast",
        "no neighbor 100.64.0.2 route-map to-branch out",
        "exit-address-family",
        "exit",
        "no ip prefix-list to-rs1-10",
        "no route-map to-rs1",
        "no bgp community-list standard to-rs1-10",
        "no bgp as-path access-list to-rs1-10",
        "no ip prefix-list to-rs1-20",
        "no ip prefix-list to-branch-10",
        "no bgp community-list standard to-branch-10",
        "no bgp as-path access-list to-branch-10",
        "no route-map to-branch",
        "no bgp as-path access-list to-branch-20",
        "ip prefix-list to-rs1-10 seq 5 permit 0.0.0.0/0",
        "route-map to-rs1 permit 10",
        "match ip address prefix-list to-rs1-10",
        "set ip next-hop 10.1.1.9",
        "set metric 50",
        "set origin incomplete",
        "set community 1:1 2:2 additive",
        "set as-path prepend 65001 65001",
        "exit",
        "route-map to-rs1 permit 20",
        "exit",
        "router bgp 65001",
        "address-family ipv4 unicast",
        "network 10.8.0.0/16",
        "no network 10.9.0.0/16",
        "exit-address-family",
        "exit",
    )


def test_from_and_to_no_policy() -> None:
    plain = replace(SPEAKER, exports=())
    commands = policy_commands(policy(plain), policy(replace(SPEAKER, exports=POLICY[2:3])))
    assert [c for c in commands if "neighbor" in c or c.startswith("no ")] == [
        "neighbor 10.1.0.4 route-map to-rs1 out",
    ]
    back = policy_commands(policy(replace(SPEAKER, exports=POLICY[2:3])), policy(plain))
    assert back[2] == "no neighbor 10.1.0.4 route-map to-rs1 out"
    assert back[-1] == "no route-map to-rs1", "once no neighbour has it"


def test_without_policy_nothing_gets_one() -> None:
    silent = replace(SPEAKER, requires_policy=True)
    assert "to-" not in policy(silent)
    assert "  network 10.9.0.0/16\n" in policy(silent)
