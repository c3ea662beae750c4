"""An Azure Firewall between two spokes and towards the Internet: what passes, what follows, what breaks."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from labkit.azure.changes.firewalls import SetFirewallRules
from labkit.azure.model import FirewallRule, RuleAction, RuleProtocol
from labkit.operate.diff.run import differences
from labkit.operate.look.live_state import LiveState
from labkit.operate.look.probes import ping
from labkit.operate.verify.firewall_check import firewall_difference
from labkit.operate.whatif import whatif
from labkit.pytest import Boot, RunningLab
from tests.e2e.in_lab import dialogue, lab_file, nothing_differs, off, problems, python, reaches, run, traced
from tests.e2e.test_load_balancer import COUNT_CONNECTIONS, backends, connections_through
from tests.e2e.test_nva_options import CLIENT, CONNECTIONS, ECHO_SERVER, INTERNET, connections
from tests.e2e.waiting import SOON, eventually

INSTANCES = ("fw-0", "fw-1")
BOTH = dict.fromkeys(INSTANCES, "Up")


@pytest.fixture(scope="module")
def lab(labkit_lab: Boot) -> RunningLab:
    return labkit_lab(lab_file("firewall"))


def address(lab: RunningLab, machine: str) -> IPv4Address:
    return lab.lab.azure.nic[machine].address


def until_up(lab: RunningLab) -> None:
    eventually(lambda: backends(lab), lambda found: found == BOTH)


@pytest.mark.both_runtimes
def test_connections_pass_as_the_rules_have_it(lab: RunningLab) -> None:
    until_up(lab)
    for node in INSTANCES:
        run(lab, node, "nft", "-f", "-", stdin=COUNT_CONNECTIONS)
    assert connections(lab, "vm2", address(lab, "vm2")) == CONNECTIONS
    assert min(connections_through(lab, node) for node in INSTANCES) > 0, "both instances have their share"
    # From the other side no rule allows it.
    assert connections(lab, "vm1", address(lab, "vm1"), client="vm2") == 0
    # A rule before the one that allows 7000 to 7010 denies 7001.
    with dialogue(lab, "vm2", ECHO_SERVER.replace("7000", "7001")) as listening:
        assert listening.line() == "ready"
        assert python(lab, "vm1", CLIENT.replace("7000", "7001"), address(lab, "vm2"), 4) == "0"
    # Nothing that has not begun with a SYN passes: the instances are stateful.
    assert connections(lab, "internet", INTERNET) == CONNECTIONS
    assert problems(lab, SOON) == []
    nothing_differs(lab)


def test_what_goes_to_public_addresses_is_translated_and_nothing_else(lab: RunningLab) -> None:
    until_up(lab)
    with dialogue(lab, "vm2", SEEN_FROM) as listening:
        assert listening.line() == "ready"
        assert set(python(lab, "vm1", ASK, address(lab, "vm2"), 12).split()) == {str(address(lab, "vm1"))}
    for node in INSTANCES:
        run(lab, node, "nft", "-f", "-", stdin=COUNT_OWN.replace("ADDRESS", str(address(lab, node))))
    assert connections(lab, "internet", INTERNET) == CONNECTIONS
    assert sum(connections_through(lab, node) for node in INSTANCES) == CONNECTIONS, "each from an instance's address"
    found = traced(lab, "vm1", "internet", "delivered")
    assert any("SNAT to 10.0.1." in step.why for step in found.steps)


def test_traces_agree_with_real_packets(lab: RunningLab) -> None:
    until_up(lab)
    for source, target, verdict in (
        ("vm1", "vm2", "delivered"),
        ("vm2", "vm1", "dropped"),
        ("vm2", "internet", "delivered"),
    ):
        traced(lab, source, target, verdict)
    denied = traced(lab, "vm2", "vm1", "dropped").steps[-1]
    assert denied.place in INSTANCES
    assert (denied.decision, denied.why) == ("denied", "as UDP, by the firewall's rules here")


@pytest.mark.both_runtimes
def test_rules_change_while_the_lab_runs_and_end_flows_that_they_deny(lab: RunningLab) -> None:
    until_up(lab)
    before = lab.lab.azure.firewall["fw"].rules
    ssh = FirewallRule(RuleAction.ALLOW, protocols=(RuleProtocol.TCP,), destination_ports=("22",))
    outlook = whatif(lab.lab, lab.client, [SetFirewallRules("fw", (ssh,))])
    (pair,) = (pair for pair in outlook.pairs if (pair.source, pair.target) == ("vm1", "vm2"))
    assert [str(way) for way in pair.before] == [
        "delivered through fw (no TCP 7001; TCP/UDP 7000-7010,33434-33500; ICMP)"
    ]
    assert [str(way) for way in pair.after] == ["delivered through fw (TCP 22)"]
    with dialogue(lab, "vm2", ECHO_SERVER) as server:
        assert server.line() == "ready"
        with dialogue(lab, "vm1", TALK, address(lab, "vm2")) as client:
            assert client.ask() == "answered"
            lab.client.change(SetFirewallRules("fw", (ssh,)))
            eventually(client.ask, lambda line: line == "no answer")
            assert not ping(lab.client, "vm1", address(lab, "vm2"))
            assert [firewall_difference(node, LiveState(lab.lab, lab.client)) for node in INSTANCES] == [None, None]
            # What was changed by hand is seen.
            run(lab, "fw-0", "nft", "flush", "chain", "inet", "network_rules", "policies")
            found = firewall_difference("fw-0", LiveState(lab.lab, lab.client))
            assert found is not None
            assert found.startswith("firewall fw-0: -; expected: rule 1, Allow any → any: TCP 22.")
            assert {each.where for each in differences(lab.lab, lab.client)} == {"firewall fw-0"}
            lab.client.change(SetFirewallRules("fw", before))
            eventually(client.ask, lambda line: line == "answered")
    assert problems(lab, SOON) == []


def test_an_instance_that_is_stopped_leaves_new_flows_to_the_other(lab: RunningLab) -> None:
    until_up(lab)
    with off(lab, "fw-0"):
        eventually(lambda: backends(lab), lambda found: found == {**BOTH, "fw-0": "Down"})
        assert connections(lab, "vm2", address(lab, "vm2")) == CONNECTIONS
        reaches(lab.client, "vm1", INTERNET)
    until_up(lab)
    assert problems(lab, SOON) == []
    assert connections(lab, "vm2", address(lab, "vm2")) == CONNECTIONS


SEEN_FROM = """
    import socket
    listener = socket.create_server(("", 7005), backlog=100)
    print("ready")
    while True:
        one, client = listener.accept()
        one.sendall(client[0].encode())
        one.close()
"""

ASK = """
    import socket, sys
    for _ in range(int(sys.argv[2])):
        with socket.create_connection((sys.argv[1], 7005), 3) as one:
            print(one.recv(100).decode())
"""

# One connection, and a question on it for every line.
TALK = """
    import socket, sys
    with socket.create_connection((sys.argv[1], 7000), 3) as one:
        one.settimeout(0.5)
        for _ in sys.stdin:
            one.sendall(b"hello")
            try:
                print("answered" if one.recv(1000) else "closed")
            except TimeoutError:
                print("no answer")
"""

COUNT_OWN = COUNT_CONNECTIONS.replace("hook forward priority 0", "hook postrouting priority 200").replace(
    "tcp flags", "ip saddr ADDRESS tcp flags"
)
"""The same after translation, of connections that leave from an address."""
