"""An internal load balancer in front of two appliances: who gets which flow, and what a dead bgpd does to it."""

from __future__ import annotations

import json
from ipaddress import IPv4Address

import pytest

from labkit.operate.diff.run import differences
from labkit.operate.look.probes import ping
from labkit.pytest import Boot, RunningLab
from tests.e2e.in_lab import (
    effective,
    gateways,
    kill_service,
    lab_file,
    nothing_differs,
    problems,
    python,
    run,
    traced,
    without_bgpd,
)
from tests.e2e.test_nva_options import CONNECTIONS, connections
from tests.e2e.test_variants import BRANCH, flows_sent
from tests.e2e.waiting import SOON, eventually

FRONTEND = IPv4Address("10.1.1.100")
BOTH = {"nva1": "Up", "nva2": "Up"}


@pytest.fixture(scope="module")
def lab(labkit_lab: Boot) -> RunningLab:
    return labkit_lab(lab_file("load-balancer"))


def backends(lab: RunningLab) -> dict[str, str]:
    """The state of every backend."""
    return {row["backend"]: row["state"] for row in lab.client.get("status")["backends"]}


def until_backends(lab: RunningLab, states: dict[str, str]) -> None:
    eventually(lambda: backends(lab), lambda found: found == states)


def events(lab: RunningLab) -> list[tuple[str, str]]:
    """What the event log has of the load balancer: each text with its cause."""
    lines = lab.client.runtime.exec(
        lab.client.record.lab, "controller", ("cat", "/var/lib/labkit/events.jsonl"), timeout=SOON
    ).stdout.splitlines()
    found = [json.loads(line) for line in lines]
    return [(event["text"], event["cause"]) for event in found if event["node"] == "lb1"]


def test_kernels_have_the_frontend_and_flows_both_appliances(lab: RunningLab) -> None:
    until_backends(lab, BOTH)
    for vm in ("vm1", "vm2"):
        assert effective(lab, vm, BRANCH)[0][3] == [str(FRONTEND)]
        assert gateways(lab, vm, BRANCH) == (FRONTEND,)
        assert set(flows_sent(lab, "nva1", "nva2", source=vm).values()) == {"nva1", "nva2"}
    found = traced(lab, "vm2", "branch", "delivered")
    assert found.steps[1].decision == "10.250.0.0/16 → lb1 → nva1 | nva2"
    assert problems(lab, SOON) == []
    nothing_differs(lab)


def test_every_connection_through_two_stateful_appliances_succeeds_in_both_directions(lab: RunningLab) -> None:
    until_backends(lab, BOTH)
    for client, server in (("vm1", "vm2"), ("vm2", "vm1")):
        for nva in ("nva1", "nva2"):
            run(lab, nva, "nft", "-f", "-", stdin=COUNT_CONNECTIONS)
        address = lab.lab.azure.nic[server].address
        assert connections(lab, server, address, client) == CONNECTIONS
        begun = [connections_through(lab, nva) for nva in ("nva1", "nva2")]
        assert sum(begun) == CONNECTIONS
        assert min(begun) > 0, "both have their share"


def test_a_dead_bgpd_takes_its_appliance_out_and_moves_nothing_else(lab: RunningLab) -> None:
    until_backends(lab, BOTH)
    before = flows_sent(lab, "nva1", "nva2")
    with without_bgpd(lab, "nva1"):
        until_backends(lab, {"nva1": "Down", "nva2": "Up"})
        for vm in ("vm1", "vm2"):
            assert gateways(lab, vm, BRANCH) == (FRONTEND,), "the frontend stays the next hop"
            assert set(flows_sent(lab, "nva1", "nva2", source=vm).values()) == {"nva2"}
        last = ("nva1 is down", "its probe on TCP 179 failed twice: connection refused")
        eventually(lambda: events(lab)[-1], lambda event: event == last)
        found = traced(lab, "vm1", "branch", "delivered")
        assert found.steps[1].decision == "10.250.0.0/16 → lb1 → nva2"
        nothing_differs(lab)
    assert problems(lab, SOON) == []
    until_backends(lab, BOTH)
    eventually(lambda: events(lab)[-1], ("nva1 is up", "its probe on TCP 179 succeeded").__eq__)
    assert flows_sent(lab, "nva1", "nva2") == before


def test_the_frontend_itself_is_answered_by_both_appliances(lab: RunningLab) -> None:
    until_backends(lab, BOTH)
    for nva in ("nva1", "nva2"):
        run(lab, nva, "nft", "-f", "-", stdin=COUNT_CONNECTIONS.replace("hook forward", "hook input"))
    # bgpd accepts, and closes what comes from no neighbour.
    taken = int(python(lab, "vm2", CONNECT, FRONTEND, 179, CONNECTIONS))
    begun = [connections_through(lab, nva) for nva in ("nva1", "nva2")]
    assert taken == CONNECTIONS
    assert min(begun) > 0
    for vm in ("vm1", "vm2"):
        assert not ping(lab.client, vm, FRONTEND), "an internal load balancer answers no ping"
        found = traced(lab, vm, "lb1", "delivered")
        assert len(found.silent) == 1, found
        assert found.steps[-1].place in BOTH


CONNECT = """
    import socket, sys
    taken = 0
    for _ in range(int(sys.argv[3])):
        with socket.create_connection((sys.argv[1], int(sys.argv[2])), 3):
            taken += 1
    print(taken)
"""

COUNT_CONNECTIONS = """
    table ip connections {}
    delete table ip connections
    table ip connections {
        counter begun {}
        chain forward {
            type filter hook forward priority 0; policy accept;
            tcp flags & (syn | ack) == syn counter name begun
        }
    }
"""


def connections_through(lab: RunningLab, nva: str) -> int:
    """How many TCP connections have begun through an appliance since `COUNT_CONNECTIONS` was loaded."""
    found = json.loads(run(lab, nva, "nft", "-j", "list", "counter", "ip", "connections", "begun"))
    (begun,) = (item["counter"]["packets"] for item in found["nftables"] if "counter" in item)
    return int(begun)


def test_a_program_that_is_not_as_probes_say_is_a_difference(lab: RunningLab) -> None:
    until_backends(lab, BOTH)
    run(lab, "spoke", "nft", "flush", "chain", "netdev", "labkit", "lb-lb1")
    assert any("fabric spoke delivers what vm2 sends" in problem for problem in problems(lab))
    (found,) = {f for f in differences(lab.lab, lab.client) if f.prefix == str(BRANCH)}
    assert (found.model, found.there) == ("to nva1 or nva2", "to nobody")
    kill_service(lab, "spoke", "fabric")
    assert problems(lab, SOON) == []


def test_fabric_and_controller_find_their_way_back(lab: RunningLab) -> None:
    until_backends(lab, BOTH)
    before = flows_sent(lab, "nva1", "nva2", source="vm2")
    for node, service in (("vnet1", "fabric"), ("spoke", "fabric"), ("controller", "controller")):
        kill_service(lab, node, service)
        assert problems(lab, SOON) == []
        until_backends(lab, BOTH)
        assert flows_sent(lab, "nva1", "nva2", source="vm2") == before
        nothing_differs(lab)
