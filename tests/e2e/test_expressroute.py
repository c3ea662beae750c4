"""The ExpressRoute lab in real kernels: branches meet when they may, and whatever dies, what lives goes on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import pytest

from labkit.azure.changes.route_servers import DeleteRouteServer, SetRouteServerSettings
from labkit.azure.changes.virtual_networks import SetAddressSpace
from labkit.azure.model import InstanceId
from labkit.daemons.tables import BgpPath
from labkit.lab.plan.nodes import INSTANCES
from labkit.operate.look.live_state import LiveState
from labkit.operate.look.probes import ping, traceroute
from labkit.pytest import Boot, RunningLab
from tests.e2e.in_lab import (
    configure,
    create_server,
    gateways,
    kernel,
    kill_service,
    off,
    problems,
    put_peer,
    reaches,
    run,
    wait_until_programmed,
    without_bgpd,
)
from tests.e2e.waiting import SOON, eventually

HUB, BRANCH, ONPREM = map(IPv4Network, ("10.1.0.0/16", "10.250.0.0/16", "10.2.0.0/16"))
NVA, BRANCH_HOST, ONPREM_HOST = map(IPv4Address, ("10.1.1.4", "10.250.0.10", "10.2.0.10"))
INSTANCE = IPv4Address("10.1.255.4"), IPv4Address("10.1.255.5")
EDGE = IPv4Address("10.1.255.6"), IPv4Address("10.1.255.7")
NEXT_HOP = IPv4Address("100.65.0.1"), IPv4Address("100.65.0.2")
"""The edge as the gateway's sessions have it, and as NICs do [edge-addresses]."""
SERVER = IPv4Address("10.1.0.4"), IPv4Address("10.1.0.5")
VMS = ("vm1", "vm2")


@pytest.fixture(scope="module")
def lab(labkit_lab: Boot, expressroute_file: Path) -> RunningLab:
    return labkit_lab(expressroute_file)


@pytest.fixture
def _whole_again(lab: RunningLab) -> Iterator[None]:
    """Whoever breaks the lab leaves it as it was, and that is checked."""
    yield
    assert problems(lab, SOON) == []


@contextmanager
def branch_to_branch(lab: RunningLab) -> Iterator[None]:
    """Branch-to-branch is on, and both branches know of it; afterwards it is off, and they have forgotten."""
    switch(lab, on=True)
    try:
        eventually(lambda: has(lab, "sdwan-nva", ONPREM, *SERVER), lambda found: len(found) == 2)
        eventually(lambda: has(lab, "circuit1", BRANCH, *INSTANCE), lambda found: len(found) == 2)
        eventually(lambda: gateways(lab, "onprem2", BRANCH), lambda found: found is not None)
        eventually(lambda: gateways(lab, "onprem1", ONPREM), lambda found: found is not None)
        yield
    finally:
        switch(lab, on=False)
    eventually(lambda: gateways(lab, "onprem2", BRANCH), lambda found: found is None)
    eventually(lambda: gateways(lab, "onprem1", ONPREM), lambda found: found is None)


def switch(lab: RunningLab, *, on: bool) -> None:
    lab.client.change(SetRouteServerSettings("rs1", on))


def has(lab: RunningLab, node: str, prefix: IPv4Network, *neighbours: IPv4Address) -> list[BgpPath]:
    """What an FRR node has for a prefix from these neighbours."""
    return [
        p for p in LiveState(lab.lab, lab.client).bgp(node).paths if p.prefix == prefix and p.neighbour in neighbours
    ]


def vms_leave_by(lab: RunningLab, edge: IPv4Address) -> None:
    """Wait until every machine's kernel has on-premises by this end of the circuit."""
    eventually(lambda: [gateways(lab, vm, ONPREM) for vm in VMS], lambda found: found == [(edge,)] * len(VMS))
    wait_until_programmed(lab)


def circuit_enters_by(lab: RunningLab, *instances: IPv4Address) -> None:
    """Wait until the circuit's kernel has the virtual network by these instances of the gateway."""
    eventually(lambda: set(gateways(lab, "circuit1", HUB) or ()), lambda found: found == set(instances))


def listed(lab: RunningLab, *path: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = lab.client.get("gateways", "ergw", *path)["value"]
    return rows


def advertised(lab: RunningLab, peer: str) -> set[tuple[str, str, str, str]]:
    """What the gateway reports that it advertises to a neighbour: by whom, prefix, path, next hop."""
    rows = listed(lab, "advertised-routes", peer)
    assert {(r["origin"], r["sourcePeer"], r["weight"]) for r in rows} <= {("Igp", None, 0)}
    return {(r["localAddress"], r["network"], r["asPath"], r["nextHop"]) for r in rows}


def received_by_circuit(lab: RunningLab) -> set[tuple[str, str, str, str]]:
    """What the circuit has from the instance of the gateway that Azure lists, in the same form."""
    paths = [p for p in LiveState(lab.lab, lab.client).bgp("circuit1").paths if p.neighbour == INSTANCE[0]]
    return {(str(p.neighbour), str(p.prefix), "-".join(map(str, p.as_path)), str(p.next_hop)) for p in paths}


def as_it_reports(lab: RunningLab) -> None:
    """Wait until what the gateway reports that it advertises to the circuit is what the circuit has received."""
    eventually(lambda: advertised(lab, "circuit1") ^ received_by_circuit(lab), lambda differing: not differing)


def foreign_packets(lab: RunningLab) -> list[int]:
    look = LiveState(lab.lab, lab.client)
    return [look.foreign_packets(InstanceId("rs1", index).node) for index in INSTANCES]


def test_the_gateways_sessions_in_azures_words(lab: RunningLab) -> None:
    rows = listed(lab, "bgp-peers")
    assert [(r["localAddress"], r["neighbor"], r["asn"], r["state"], r["routesReceived"]) for r in rows] == [
        (str(INSTANCE[0]), str(EDGE[0]), 12076, "Connected", 1)
    ]
    assert all(r["messagesReceived"] > 1 and r["messagesSent"] > 1 for r in rows)
    assert all(r["connectedDuration"].startswith("00:0") for r in rows)
    as_it_reports(lab)


def test_what_comes_after_the_sessions_have_ended_is_received(lab: RunningLab) -> None:
    """FRR goes on telling of routes, though its queue is full of those of sessions that are no more."""
    new = IPv4Network("10.77.0.0/16")
    many = [IPv4Network(f"10.78.{i}.0/24") for i in range(20)]
    announced(lab, "sdwan-nva", 65001, *many)
    try:
        with branch_to_branch(lab):
            eventually(lambda: gateways(lab, "onprem2", many[-1]), lambda found: found is not None)
        assert gateways(lab, "vm1", new) is None
        announced(lab, "onprem2", 65020, new)
        eventually(lambda: gateways(lab, "vm1", new), lambda found: found is not None)
    finally:
        announced(lab, "sdwan-nva", 65001, *many, no="no ")
        announced(lab, "onprem2", 65020, new, no="no ")
    eventually(lambda: gateways(lab, "vm1", new), lambda found: found is None)


def announced(lab: RunningLab, router: str, asn: int, *prefixes: IPv4Network, no: str = "") -> None:
    """Have a router announce more, or no longer."""
    networks = (f"{no}network {prefix}" for prefix in prefixes)
    configure(lab, router, f"router bgp {asn}", "address-family ipv4 unicast", *networks)


@pytest.mark.usefixtures("_whole_again")
def test_branches_meet_while_branch_to_branch_is_on(lab: RunningLab) -> None:
    assert not ping(lab.client, "onprem2-host", BRANCH_HOST)
    with branch_to_branch(lab):
        assert {p.as_path for p in has(lab, "sdwan-nva", ONPREM, *SERVER)} == {(65515, 12076, 65020)}
        (hop,) = gateways(lab, "onprem2", BRANCH) or ()
        assert [p.as_path for p in has(lab, "onprem2", BRANCH, hop)] == [(12076,)]

        def exported() -> list[tuple[str, ...]]:
            shown = json.loads(run(lab, "ergw-0", "vtysh", "-c", f"show bgp ipv4 unicast {BRANCH} json"))
            return [
                (p["peer"]["type"], p["nexthops"][0]["ip"], p["community"]["string"], p["aspath"]["string"])
                for p in shown["paths"]
            ]

        by_both = [("internal", str(NVA), "65517:65517", "65001 65010")] * 2
        eventually(exported, lambda paths: paths == by_both)

        # What it reports that it advertises is what they receive.
        as_it_reports(lab)

        def received() -> set[tuple[str, str, str, str]]:
            return {
                (row["sourcePeer"], row["network"], row["asPath"], row["nextHop"])
                for row in lab.client.get("learned-routes", "rs1", "ergw-0")["RouteServiceRole_IN_0"]
            }

        wanted = {(str(INSTANCE[0]), str(ONPREM), "12076-65020", str(EDGE[0]))}
        eventually(lambda: (advertised(lab, "rs1-0"), received()), lambda both: both == (wanted, wanted))
        eventually(lambda: len(listed(lab, "bgp-peers")), lambda peers: peers == 3)

        # Packets: the gateway does not answer, and the route server is not on the way.
        reaches(lab.client, "onprem1-host", ONPREM_HOST)
        there = traceroute(lab.client, "onprem2-host", BRANCH_HOST)
        owners = LiveState(lab.lab, lab.client).owners
        assert [owners[hop] if hop else None for hop in there] == [
            "onprem2",
            "circuit1",
            None,
            "sdwan-nva",
            "onprem1",
            "onprem1-host",
        ]
        assert foreign_packets(lab) == [0, 0]
    eventually(lambda: has(lab, "sdwan-nva", ONPREM, *SERVER), lambda paths: paths == [])
    wait_until_programmed(lab)
    assert not ping(lab.client, "onprem1-host", ONPREM_HOST)
    ended = [f"session rs1-{index} down: branch-to-branch is off" for index in INSTANCES]
    eventually(lambda: sorted(downs(lab, "ergw-0")[-2:]), lambda texts: texts == ended)


def downs(lab: RunningLab, node: str) -> list[str]:
    """What the event log has of a node's sessions that went down."""
    return [e.text for e in lab.client.events(follow=False) if e.node == node and "down" in e.text]


@pytest.mark.usefixtures("_whole_again")
def test_without_bgp_on_one_instance_the_other_carries_all(lab: RunningLab) -> None:
    vms_leave_by(lab, NEXT_HOP[0])
    with without_bgpd(lab, "ergw-0"):
        vms_leave_by(lab, NEXT_HOP[1])
        circuit_enters_by(lab, INSTANCE[1])
        reaches(lab.client, "vm1", ONPREM_HOST)
        reaches(lab.client, "onprem2-host", lab.lab.azure.nic["vm2"].address)
        eventually(lambda: {r["localAddress"] for r in listed(lab, "bgp-peers")}, {str(INSTANCE[1])}.__eq__)
    vms_leave_by(lab, NEXT_HOP[0])
    circuit_enters_by(lab, *INSTANCE)


@pytest.mark.usefixtures("_whole_again")
def test_an_instance_that_is_off_is_left_at_once_and_noticed_after_the_hold_time(lab: RunningLab) -> None:
    with off(lab, "ergw-0"):
        vms_leave_by(lab, NEXT_HOP[1])
        circuit_enters_by(lab, INSTANCE[1])
        reaches(lab.client, "vm1", ONPREM_HOST)
        assert {row[0] for row in advertised(lab, "circuit1")} == {str(INSTANCE[1])}
        for listing in ("bgp-peers", "learned-routes"):
            assert {row["localAddress"] for row in listed(lab, listing)} == {str(INSTANCE[1])}
        states = [(s["instance"], s["state"]) for s in lab.client.get("status")["gateways"]]
        assert states == [(0, "instance down"), (1, "Established")]
    vms_leave_by(lab, NEXT_HOP[0])
    circuit_enters_by(lab, *INSTANCE)


@pytest.mark.usefixtures("_whole_again")
def test_a_line_that_is_cut_is_left_after_the_hold_time_and_stays_cut(lab: RunningLab) -> None:
    line = run(lab, "ergw-0", "ip", "-o", "route", "get", str(EDGE[0])).split(" dev ")[1].split()[0]

    def configured() -> int:
        """How often the gateway's service has configured the daemon: again, once a lost peer's routes are gone."""
        lines = lab.client.runtime.logs(lab.lab.name, "ergw-0")
        return sum(text == "gateway: sessions with the route server off" for text in lines)

    before = configured()
    run(lab, "ergw-0", "ip", "link", "set", line, "down")
    try:
        vms_leave_by(lab, NEXT_HOP[1])
        eventually(configured, lambda times: times > before)
        assert listed(lab, "bgp-peers"), "the service answers once it has finished"
        reaches(lab.client, "vm1", ONPREM_HOST)
        circuit_enters_by(lab, INSTANCE[1])
        states = [(s["instance"], s["state"] == "Established") for s in lab.client.get("status")["gateways"]]
        assert states == [(0, False), (1, True)]
        assert "UP" not in run(lab, "ergw-0", "ip", "-o", "link", "show", line).split("<")[1].split(">")[0].split(",")
    finally:
        run(lab, "ergw-0", "ip", "link", "set", line, "up")
    vms_leave_by(lab, NEXT_HOP[0])
    circuit_enters_by(lab, *INSTANCE)


def test_a_service_that_was_killed_comes_back_and_loses_nothing(lab: RunningLab) -> None:
    def events() -> list[str]:
        return [e.text for e in lab.client.events(follow=False) if e.kind in {"route", "session"}]

    before, received = events(), lab.client.get("status")["received"]
    kill_service(lab, "ergw-0", "gateway")
    eventually(lambda: lab.client.get("status")["received"], lambda now: now > received)
    assert len(listed(lab, "bgp-peers")) == 1
    assert events() == before, "it told nothing new, and took nothing back"


@pytest.mark.usefixtures("_whole_again")
def test_a_controller_that_was_killed_keeps_the_setting(lab: RunningLab) -> None:
    with branch_to_branch(lab):
        kill_service(lab, "controller", "controller")
        eventually(lambda: lab.client.get("route-servers", "rs1")["allowBranchToBranchTraffic"], lambda on: on is True)
        wait_until_programmed(lab)
        eventually(lambda: len(has(lab, "sdwan-nva", ONPREM, *SERVER)), lambda paths: paths == 2)
        reaches(lab.client, "onprem1-host", ONPREM_HOST)


@pytest.mark.usefixtures("_whole_again")
def test_a_new_range_reaches_on_premises(lab: RunningLab) -> None:
    """The gateway originates it, and does so again when its FRR comes back with its first configuration."""
    added = IPv4Network("10.11.0.0/16")
    lab.client.change(SetAddressSpace("hub", (HUB, added)))
    eventually(lambda: gateways(lab, "onprem2", added), bool, what="on-premises has the new range")
    assert {p.as_path for p in has(lab, "circuit1", added, *INSTANCE)} == {(65515,)}
    eventually(lambda: added in kernel(lab, "sdwan-nva"), bool, what="the NVA has it")
    with branch_to_branch(lab):
        assert has(lab, "circuit1", added, *INSTANCE), "what the gateway originates it hears from nobody"
    kill_service(lab, "ergw-0", "bgpd")
    eventually(lambda: len(has(lab, "circuit1", added, INSTANCE[0])), lambda paths: paths == 1)

    lab.client.change(SetAddressSpace("hub", (HUB,)))
    eventually(lambda: gateways(lab, "onprem2", added), lambda found: found is None)
    eventually(lambda: gateways(lab, "onprem2", HUB), bool)


@pytest.mark.usefixtures("_whole_again")
def test_a_route_server_is_deleted_and_created_beside_a_gateway(lab: RunningLab) -> None:
    """Without it machines use both ends of the circuit; with it one [one-expressroute-connection]."""
    with branch_to_branch(lab):
        lab.client.change(DeleteRouteServer("rs1"))
        eventually(lambda: gateways(lab, "onprem2", BRANCH), lambda found: found is None)
        eventually(lambda: [gateways(lab, vm, ONPREM) for vm in VMS], lambda found: found == [NEXT_HOP] * len(VMS))
        reaches(lab.client, "vm1", ONPREM_HOST)
        rows = [row for row in lab.client.get("status")["gateways"] if row["neighbour"].startswith("rs1")]
        assert rows == [], "nobody to have a session with"
        assert any("rs1" in problem for problem in problems(lab)), "the proofs about it fail in so many words"
        lab.client.change(create_server(lab, "rs1"), put_peer(lab, "rs1", "sdwan-nva"))
        assert lab.client.get("route-servers", "rs1")["allowBranchToBranchTraffic"] is False, "as the file has it"
        switch(lab, on=True)
        eventually(lambda: ping(lab.client, "onprem1-host", ONPREM_HOST), bool, what="the branches meet again")


def test_a_loop_at_a_gateway_ends(lab: RunningLab) -> None:
    """It sends a packet back into the virtual network, which brings it back: such a hop costs what a hop costs."""
    astray = IPv4Address("10.2.99.1")
    route = (f"{astray}/32", "via", "10.1.255.1", "dev", "eth0")
    run(lab, "ergw-0", "ip", "route", "add", *route)
    try:
        assert set(traceroute(lab.client, "vm1", astray)) == {INSTANCE[0]}, "every turn is a hop, and the gateway's"
        said = lab.client.run("vm1", "ping", "-c", "1", "-W", "2", str(astray)).stdout
        assert f"From {INSTANCE[0]} icmp_seq=1 Time to live exceeded" in said
    finally:
        run(lab, "ergw-0", "ip", "route", "del", *route)
