"""Variants of labs: what route tables, NICs, limits and agents do to packets, and labs beside each other."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from labkit.azure.changes.nics import SetIpForwarding
from labkit.azure.forwarding import Disposition
from labkit.azure.rules.effective import listened_instance
from labkit.lab.plan.model import Plan
from labkit.operate.labs import lifecycle
from labkit.operate.look.client import LabClient
from labkit.operate.look.live_state import LiveState
from labkit.operate.look.probes import MAX_HOPS, ping, traceroute
from labkit.operate.records import record as records
from labkit.operate.whatif import whatif
from labkit.pytest import Boot, RunningLab
from labkit.resources import topologies
from tests.e2e.by_the_rules import astray
from tests.e2e.in_lab import (
    booted,
    configure,
    effective,
    gateways,
    kernel,
    kill_service,
    lab_file,
    off,
    problems,
    put_table,
    python,
    reaches,
    run,
    traced,
    variant,
    wait_until_programmed,
)
from tests.e2e.waiting import SOON, eventually

OVERVIEW = topologies() / "overview" / "lab.yml"
BRANCH, DC, DEFAULT = IPv4Network("10.250.0.0/16"), IPv4Network("10.251.0.0/16"), IPv4Network("0.0.0.0/0")
BRANCH_HOST, DC_HOST = IPv4Address("10.250.0.10"), IPv4Address("10.251.0.10")
INTERNET = IPv4Address("198.51.100.10")
SDWAN, SECURITY = IPv4Address("10.1.1.4"), IPv4Address("10.1.2.4")


def agent_routes(lab: RunningLab, vm: str) -> set[IPv4Network]:
    """What a VM's kernel has from its agent."""
    return {prefix for prefix, row in kernel(lab, vm).items() if row.protocol == "65"}


def drops(lab: RunningLab, nic: str, reason: str) -> int:
    """How many packets of a NIC the fabric has dropped for a reason."""
    counter = ("nft", "-j", "list", "counter", "netdev", "labkit", f"drop-{nic}-{reason}")
    found = json.loads(run(lab, lab.lab.azure.nic[nic].virtual_network, *counter))["nftables"]
    return sum(int(item["counter"]["packets"]) for item in found if "counter" in item)


# The self-loop trap without source translation.


def test_without_snat_packets_circle_until_their_ttl_ends(labkit_lab: Boot, tmp_path: Path) -> None:
    changes = {"name: overview": "name: overview-no-snat", ", snat: true": ""}
    lab = labkit_lab(variant(OVERVIEW, tmp_path, changes))
    assert traceroute(lab.client, "vm1", INTERNET) == [SECURITY, INTERNET]

    put_table(lab, "direct-internet")
    eventually(lambda: ping(lab.client, "vm1", INTERNET), lambda answered: not answered)
    assert traceroute(lab.client, "vm1", INTERNET) == [SECURITY] * MAX_HOPS
    said = lab.client.run("vm1", "ping", "-n", "-c", "1", "-W", "2", str(INTERNET)).stdout
    assert f"From {SECURITY}" in said
    assert "Time to live exceeded" in said
    traced(lab, "vm1", "internet", "loops until its TTL expires")

    put_table(lab, "direct-internet", {"0.0.0.0/0": "Internet"})
    reaches(lab.client, "vm1", INTERNET)
    traced(lab, "vm1", "internet", "delivered")
    assert problems(lab, SOON) == []


# The agents matter.


def without_agent(plan: Plan, vm: str) -> Plan:
    assert any(node.name == vm and node.services == ("agent",) for node in plan.nodes)
    nodes = (replace(n, services=(), healthcheck=None) if n.name == vm else n for n in plan.nodes)
    return replace(plan, nodes=tuple(nodes))


def test_without_its_agent_a_machine_has_its_own_subnet_and_no_more(labkit_runtime: str, tmp_path: Path) -> None:
    file = variant(OVERVIEW, tmp_path, {"name: overview": "name: overview-no-agent"})
    with booted(file, labkit_runtime, lambda plan: without_agent(plan, "vm2")) as lab:
        eventually(lambda: gateways(lab, "vm1", BRANCH), lambda hops: hops == (SDWAN,))
        reaches(lab.client, "vm1", BRANCH_HOST)

        # The platform concludes what vm2 should have, and its fabric would carry it.
        wanted = [("VirtualNetworkGateway", "Active", "VirtualNetworkGateway", [str(SDWAN)])]
        eventually(lambda: effective(lab, "vm2", BRANCH), lambda found: found == wanted)
        assert set(kernel(lab, "vm2")) == {IPv4Network("10.1.10.0/24")}
        reaches(lab.client, "vm2", lab.lab.azure.nic["vm1"].address, what="a neighbour needs no route")
        for target in (SDWAN, BRANCH_HOST, INTERNET):
            assert not ping(lab.client, "vm2", target)
        assert not ping(lab.client, "branch-host", lab.lab.azure.nic["vm2"].address), "there is no way back"
        assert any("kernel of vm2" in problem for problem in problems(lab))

        agent = lab.client.runtime.stream(lab.client.record.lab, "vm2", ("python3", "-m", "labkit.agent"))
        try:
            assert problems(lab, SOON) == []
        finally:
            agent.kill()
            agent.wait()


# Equal-cost paths.

FLOWS, PACKETS, FIRST_PORT = 48, 3, 40000

SEND = """
    import socket, sys
    target, first, flows, packets = sys.argv[1], *map(int, sys.argv[2:])
    for port in range(first, first + flows):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as flow:
            flow.bind(("", port))
            for _ in range(packets):
                flow.sendto(b"x", (target, 9))
"""

COUNT_FLOWS = """
    table ip flows {}
    delete table ip flows
    table ip flows {
        set seen { type inet_service; flags dynamic; counter; }
        chain forward {
            type filter hook forward priority 0; policy accept;
            udp dport 9 add @seen { udp sport }
        }
    }
"""


def flows_through(lab: RunningLab, nva: str) -> dict[int, int]:
    """Packets by source port that an appliance forwarded since `COUNT_FLOWS` was loaded."""
    found = json.loads(run(lab, nva, "nft", "-j", "list", "set", "ip", "flows", "seen"))
    (seen,) = (item["set"] for item in found["nftables"] if "set" in item)
    return {e["elem"]["val"]: e["elem"]["counter"]["packets"] for e in seen.get("elem", [])}


def flows_sent(lab: RunningLab, *nvas: str, source: str = "vm1") -> dict[int, str]:
    """Send every flow's packets; by which appliance each flow went, after all packets have passed one."""
    for nva in nvas:
        run(lab, nva, "nft", "-f", "-", stdin=COUNT_FLOWS)
    python(lab, source, SEND, BRANCH_HOST, FIRST_PORT, FLOWS, PACKETS)
    counts = eventually(
        lambda: {nva: flows_through(lab, nva) for nva in nvas},
        lambda seen: sum(sum(ports.values()) for ports in seen.values()) >= FLOWS * PACKETS,
    )
    assert {count for ports in counts.values() for count in ports.values()} == {PACKETS}, f"a flow was split: {counts}"
    return {port: nva for nva, ports in counts.items() for port in ports}


def test_equal_paths_are_shared_by_flow(labkit_lab: Boot) -> None:
    lab = labkit_lab(lab_file("ecmp"))
    one, two = (lab.lab.azure.nic[nva].address for nva in ("nva1", "nva2"))
    assert gateways(lab, "vm1", BRANCH) == (one, two)
    assert effective(lab, "vm1", BRANCH) == [
        ("VirtualNetworkGateway", "Active", "VirtualNetworkGateway", [str(one), str(two)])
    ], "one row with both next hops, as in Azure"

    flows = flows_sent(lab, "nva1", "nva2")
    assert len(flows) == FLOWS
    assert set(flows.values()) == {"nva1", "nva2"}
    assert flows_sent(lab, "nva1", "nva2") == flows

    with off(lab, "nva2"):
        eventually(lambda: gateways(lab, "vm1", BRANCH), lambda hops: hops == (one,))
        wait_until_programmed(lab)
        reaches(lab.client, "vm1", BRANCH_HOST)
        assert set(flows_sent(lab, "nva1").values()) == {"nva1"}

    assert problems(lab, SOON) == []
    assert flows_sent(lab, "nva1", "nva2") == flows, "the same flows as before, the seed is the plan's"

    kill_service(lab, "vnet1", "fabric")
    assert problems(lab, SOON) == []
    assert flows_sent(lab, "nva1", "nva2") == flows, "nor does a fabric that restarts move one"

    for switch in (False, True):
        lab.client.change(SetIpForwarding("nva1", switch))
        wait_until_programmed(lab)
        # Each packet of a traceroute is a flow, and goes by one of the appliances.
        found = traced(lab, "vm1", "branch")
        assert all("IP forwarding is off on nva1's NIC" in why for _, why in found.lost)
        assert not switch or (found.lost, found.real) == ((), found.predicted)


# What route tables and NICs do.


@pytest.fixture(scope="module")
def tables(labkit_lab: Boot) -> RunningLab:
    return labkit_lab(lab_file("tables"))


@pytest.fixture
def whole_again(tables: RunningLab) -> Iterator[None]:
    """The test leaves the lab as it found it, and that is checked."""
    yield
    assert problems(tables, SOON) == []


@pytest.mark.usefixtures("whole_again")
def test_propagation_off_no_route_by_bgp(tables: RunningLab) -> None:
    nva1 = tables.lab.azure.nic["nva1"].address
    learned = agent_routes(tables, "vm1") - agent_routes(tables, "quiet-vm")
    assert {BRANCH, DC} <= learned
    rows = tables.client.get("effective-routes", "quiet-vm")["value"]
    assert {row["source"] for row in rows} == {"Default"}

    put_table(tables, "no-propagation", propagation=True)
    eventually(lambda: gateways(tables, "quiet-vm", BRANCH), lambda hops: hops == (nva1,))
    wait_until_programmed(tables)
    reaches(tables.client, "quiet-vm", BRANCH_HOST)
    put_table(tables, "no-propagation", propagation=False)
    eventually(lambda: gateways(tables, "quiet-vm", BRANCH), lambda hops: hops is None)
    wait_until_programmed(tables)
    assert not ping(tables.client, "quiet-vm", BRANCH_HOST)


@pytest.mark.usefixtures("whole_again")
def test_a_user_route_to_none_is_silent_loss(tables: RunningLab) -> None:
    """The machine's kernel sends, and gets no error; the fabric drops."""
    nva1, gateway = tables.lab.azure.nic["nva1"].address, IPv4Address("10.1.12.1")
    assert gateways(tables, "walled-vm", BRANCH) == (gateway,)
    reserved = IPv4Address("10.9.9.9")
    for target, prefix in ((BRANCH_HOST, str(BRANCH)), (reserved, "10.0.0.0/8")):
        before = drops(tables, "walled-vm", "none")
        done = tables.client.run("walled-vm", "ping", "-n", "-c", "2", "-i", "0.2", "-W", "1", str(target))
        assert (done.rc, done.stderr) == (1, "")
        assert "2 packets transmitted, 0 received, 100% packet loss" in done.stdout
        assert drops(tables, "walled-vm", "none") == before + 2
        found = traced(tables, "walled-vm", str(target))
        assert (found.disposition, found.real) == (Disposition.NONE, ())
        assert [(step.place, step.decision) for step in found.steps] == [
            ("walled-vm", f"{prefix} → {gateway}"),
            ("vnet1", f"{prefix} → dropped"),
        ]
    learned = ("VirtualNetworkGateway", "VirtualNetworkGateway", [str(nva1)])
    assert sorted(effective(tables, "walled-vm", BRANCH)) == [
        ("User", "Active", "None", []),
        (learned[0], "Invalid", *learned[1:]),
    ]
    # Whatever the machine itself thinks, its fabric drops what goes there.
    run(tables, "walled-vm", "ip", "route", "add", "10.250.0.0/17", "via", str(nva1), "dev", "eth0", "onlink")
    assert not ping(tables.client, "walled-vm", BRANCH_HOST)
    run(tables, "walled-vm", "ip", "route", "delete", "10.250.0.0/17")

    put_table(tables, "wall")
    eventually(lambda: gateways(tables, "walled-vm", BRANCH), lambda hops: hops == (nva1,))
    wait_until_programmed(tables)
    reaches(tables.client, "walled-vm", BRANCH_HOST)
    put_table(tables, "wall", {"10.250.0.0/24": "None"})
    eventually(lambda: gateways(tables, "walled-vm", IPv4Network("10.250.0.0/24")), lambda hops: hops == (gateway,))
    wait_until_programmed(tables)
    assert gateways(tables, "walled-vm", BRANCH) == (nva1,)
    assert not ping(tables.client, "walled-vm", BRANCH_HOST), "a part of what leads elsewhere"
    put_table(tables, "wall", {str(BRANCH): "None"})
    eventually(lambda: gateways(tables, "walled-vm", BRANCH), lambda hops: hops == (gateway,))
    wait_until_programmed(tables)
    assert not ping(tables.client, "walled-vm", BRANCH_HOST)


@pytest.mark.usefixtures("whole_again")
def test_ip_forwarding_off_bgp_is_perfect_and_transit_dead(tables: RunningLab) -> None:
    shut = tables.lab.azure.nic["shut-nva"].address
    assert gateways(tables, "vm1", DC) == (shut,)
    assert run(tables, "shut-nva", "sysctl", "-n", "net.ipv4.ip_forward") == "1", "the guest itself would forward"
    assert not ping(tables.client, "vm1", DC_HOST)
    vm1 = tables.lab.azure.nic["vm1"].address
    for source, target, reason in (("vm1", DC_HOST, "foreign-destination"), ("dc-host", vm1, "foreign-source")):
        before = drops(tables, "shut-nva", reason)
        assert not ping(tables.client, source, target)
        assert drops(tables, "shut-nva", reason) == before + 1, (
            "the fabric drops what is not to or from the NIC's own address"
        )
        found = traced(tables, source, str(target), "dropped")
        assert "IP forwarding" in found.steps[-1].why
    assert astray(tables.lab, tables.client) == [], "and whatif predicts the same"


def fares(lab: RunningLab, target: IPv4Address, source: str = "vm1") -> Disposition:
    """How packets end by `trace`, which has to agree with a real traceroute, and with a ping."""
    found = traced(lab, source, str(target))
    assert ping(lab.client, source, target) == (found.disposition is Disposition.DELIVERED)
    return found.disposition


@pytest.mark.usefixtures("whole_again")
@pytest.mark.parametrize(("nic", "site", "target"), [("shut-nva", "dc", DC_HOST), ("nva1", "branch", BRANCH_HOST)])
def test_ip_forwarding_is_switched_as_predicted(tables: RunningLab, nic: str, site: str, target: IPv4Address) -> None:
    now = tables.lab.azure.nic[nic].ip_forwarding
    off, on = f"dropped at {nic}: IP forwarding is off on its NIC", f"delivered through {nic}"
    for switch in (not now, now):
        changes = [SetIpForwarding(nic, switch)]
        (pair,) = (
            pair
            for pair in whatif(tables.lab, tables.client, changes).pairs
            if (pair.source, pair.target) == ("vm1", f"{site}-host")
        )
        assert (*map(str, pair.after),) == ((on if switch else off),)
        tables.client.change(*changes)
        wait_until_programmed(tables)
        assert fares(tables, target) is (Disposition.DELIVERED if switch else Disposition.NOT_FORWARDED)
        assert astray(tables.lab, tables.client) == []
    assert tables.client.changes() == ()


@pytest.mark.usefixtures("whole_again")
def test_a_machine_forwards_nothing_whatever_its_nic_may(tables: RunningLab) -> None:
    """It drops what is for others without an answer."""
    put_table(tables, "wall", {str(BRANCH): "vm2"})
    wait_until_programmed(tables)
    assert fares(tables, BRANCH_HOST, "walled-vm") is Disposition.NOT_FORWARDED
    tables.client.change(SetIpForwarding("vm2", True))
    wait_until_programmed(tables)
    assert fares(tables, BRANCH_HOST, "walled-vm") is Disposition.NOT_A_ROUTER
    tables.client.change(SetIpForwarding("vm2", False))
    put_table(tables, "wall", {str(BRANCH): "None"})
    wait_until_programmed(tables)


@pytest.mark.usefixtures("whole_again")
def test_an_appliance_with_one_session_serves_half_of_the_machines(tables: RunningLab) -> None:
    """The two instances share the job of programming machines [one-instance-peering]."""
    vms = {listened_instance(vm): vm for vm in ("vm1", "vm2")}
    server = tables.lab.azure.route_server["rs1"]
    nva1 = tables.lab.azure.nic["nva1"].address
    for instance, address in enumerate(server.instances):
        cut_off, served = vms[instance], vms[1 - instance]
        configure(tables, "nva1", "router bgp 65001", f"neighbor {address} shutdown")
        eventually(lambda vm=cut_off: gateways(tables, vm, BRANCH), lambda hops: hops is None)  # type: ignore[misc]
        wait_until_programmed(tables)
        assert gateways(tables, served, BRANCH) == (nva1,)
        reaches(tables.client, served, BRANCH_HOST)
        assert not ping(tables.client, cut_off, BRANCH_HOST)
        configure(tables, "nva1", "router bgp 65001", f"no neighbor {address} shutdown")
        assert problems(tables, SOON) == []


# The limit, and labs beside each other.


@pytest.fixture(scope="module")
def limit(labkit_lab: Boot) -> RunningLab:
    return labkit_lab(lab_file("limit"))


def announce(lab: RunningLab, prefix: IPv4Network, *, yes: bool, nva: str = "nva1") -> None:
    command = ("" if yes else "no ") + f"network {prefix}"
    configure(lab, nva, f"router bgp {lab.lab.nva[nva].asn}", "address-family ipv4 unicast", command)


def downs(lab: RunningLab, past: int) -> dict[str, str]:
    """What the event log has of sessions that went down, by instance, without so many events of before."""
    events = list(lab.client.events(follow=False))[past:]
    return {e.node: e.text for e in events if e.kind == "session" and " down" in e.text}


FIFTH, SIXTH = IPv4Network("10.205.0.0/16"), IPv4Network("10.206.0.0/16")


def test_a_peer_beyond_the_limit_loses_its_session(limit: RunningLab) -> None:
    nva1 = limit.lab.azure.nic["nva1"].address
    assert gateways(limit, "vm1", FIFTH) == (nva1,)
    past = len(list(limit.client.events(follow=False)))

    announce(limit, SIXTH, yes=True)
    eventually(lambda: gateways(limit, "vm1", FIFTH), lambda hops: hops is None)
    eventually(lambda: gateways(limit, "vm1", SIXTH), lambda hops: hops is None)

    said = eventually(lambda: downs(limit, past), lambda found: set(found) == {"rs1-0", "rs1-1"})
    for text in said.values():
        assert "6 routes" in text, said
        assert "5 allowed" in text, said

    announce(limit, SIXTH, yes=False)
    assert problems(limit, SOON) == []
    assert gateways(limit, "vm1", SIXTH) is None


def test_who_goes_beyond_the_limit_in_total_loses_the_session(labkit_lab: Boot, tmp_path: Path) -> None:
    """Six prefixes: the virtual network's, and five of nva1's, of which nva2 has one too. It advertises a seventh."""
    exports = "[{as_path: _65515_, deny: true}]"
    second_nva = f"  nva2: {{subnet: vnet1/appliances, asn: 65002, advertises: {FIFTH}, exports: {exports}}}\n"
    changes = {
        "name: limit": "name: limit-total",
        "peers: [nva1], routes_per_peer: 5": "peers: [nva1, nva2], total_prefixes: 6",
        "\nvirtual_machines:": f"{second_nva}\nvirtual_machines:",
        "prefix: 10.205.0.0/16, via: nva1": "prefix: 10.205.0.0/16, via: [nva1, nva2]",
    }
    lab = labkit_lab(variant(lab_file("limit"), tmp_path, changes))
    first, second = (lab.lab.azure.nic[name].address for name in ("nva1", "nva2"))
    past = len(list(lab.client.events(follow=False)))

    announce(lab, SIXTH, yes=True, nva="nva2")
    said = eventually(lambda: downs(lab, past), lambda found: set(found) == {"rs1-0", "rs1-1"})
    for text in said.values():
        assert text == "session nva2 down: 7 prefixes counted in total, 6 allowed"
    eventually(lambda: gateways(lab, "vm1", FIFTH), lambda hops: hops == (first,))
    assert gateways(lab, "vm1", SIXTH) is None

    announce(lab, SIXTH, yes=False, nva="nva2")
    eventually(lambda: gateways(lab, "vm1", FIFTH), lambda hops: hops == (first, second))
    assert problems(lab, SOON) == []


@pytest.mark.both_runtimes
def test_labs_with_the_same_addresses_side_by_side(limit: RunningLab, labkit_lab: Boot, tmp_path: Path) -> None:
    twin = labkit_lab(variant(lab_file("limit"), tmp_path, {"name: limit": "name: limit-twin"}))
    assert twin.lab.azure.nic == limit.lab.azure.nic
    assert problems(limit) == problems(twin) == []

    announce(twin, FIFTH, yes=False)
    eventually(lambda: gateways(twin, "vm1", FIFTH), lambda hops: hops is None)
    assert problems(limit) == [], "what happens in one lab is none of the other's business"

    lifecycle.down(twin.client.record)
    assert twin.client.runtime.inspect("limit-twin") is None
    assert records.read("limit-twin") is None
    assert problems(limit, SOON) == []
    assert LabClient(limit.client.record).get("status")["lab"] == "limit"
    assert LiveState(limit.lab, limit.client).kernel("vm1")
