"""Machines with two NICs in two subnets: each NIC's routes in a table of its own, each packet by its NIC's way.

And an appliance with two: its sessions have the address of the one, what it translates gets that of the other.
"""

from __future__ import annotations

import subprocess
import sys
from ipaddress import IPv4Address

import pytest

from labkit.azure.changes.nics import SetIpForwarding
from labkit.azure.forwarding import Disposition
from labkit.azure.rules.effective import RESERVED_BLOCKS
from labkit.lab.plan.nic_tables import nic_table
from labkit.operate.diff.run import differences
from labkit.operate.look.live_state import LiveState
from labkit.operate.look.probes import ping, traceroute
from labkit.operate.trace.run import trace
from labkit.operate.verify.difference import NOTHING
from labkit.pytest import Boot, RunningLab
from tests.e2e.by_the_rules import astray
from tests.e2e.in_lab import lab_file, nothing_differs, problems, put_table, reaches, traced, wait_until_programmed
from tests.e2e.waiting import SOON, eventually

OUTSIDE, INSIDE = IPv4Address("10.1.10.4"), IPv4Address("10.1.20.9")
VM, NVA, BRANCH = IPv4Address("10.2.1.4"), IPv4Address("10.1.1.4"), IPv4Address("10.250.0.10")
FW_OUTSIDE, FW_INSIDE = IPv4Address("10.1.3.4"), IPv4Address("10.1.1.5")
GUEST = IPv4Address("10.1.20.21")
FW_SESSION = IPv4Address("10.1.1.50")
INTERNET = IPv4Address("198.51.100.10")
TABLE = nic_table(1)
THROUGH = {"10.2.0.0/16": "nva", "10.250.0.0/16": "None"}


@pytest.fixture(scope="module")
def lab(labkit_lab: Boot) -> RunningLab:
    return labkit_lab(lab_file("two-nics"))


def table(lab: RunningLab, number: int) -> dict[str, tuple[str, ...]]:
    """What the agent has in a routing table of the client: next hops, or the kind of route, by prefix."""
    paths = LiveState(lab.lab, lab.client).kernel("client", number)
    return {
        str(path.prefix): tuple(map(str, path.gateways)) or (path.type,) for path in paths if path.protocol != "kernel"
    }


def test_each_nic_has_its_effective_routes_in_a_table_of_its_own(lab: RunningLab) -> None:
    rows = {nic: lab.client.get("effective-routes", nic) for nic in ("client", "client/outside", "client/inside")}
    assert rows["client"] == rows["client/outside"] != rows["client/inside"], "the machine's name means its first NIC"
    reserved = set(map(str, RESERVED_BLOCKS))
    main, further = table(lab, 254), table(lab, TABLE)
    on_link, dropped, fw = ("unicast",), ("10.1.20.1",), str(FW_SESSION)
    assert {p: hops for p, hops in main.items() if p not in reserved} == {
        "10.1.0.0/16": on_link, "10.2.0.0/16": on_link, "10.250.0.0/16": (str(NVA),), "198.51.100.0/24": (fw,),
        "0.0.0.0/0": ("10.1.10.1",),
    }  # fmt: skip
    assert {p: hops for p, hops in further.items() if p not in reserved} == {
        "10.1.0.0/16": on_link, "10.2.0.0/16": (str(NVA),), "10.250.0.0/16": dropped, "0.0.0.0/0": ("10.1.20.1",),
    }  # fmt: skip
    assert problems(lab, SOON) == []
    nothing_differs(lab)


def test_packets_out_of_each_nic_take_its_way(lab: RunningLab) -> None:
    client = lab.client
    assert traceroute(client, "client", VM) == traceroute(client, "client", VM, OUTSIDE) == [VM]
    assert traceroute(client, "client", VM, INSIDE) == [NVA, VM]
    reaches(client, "client", BRANCH, OUTSIDE)
    assert not ping(client, "client", BRANCH, INSIDE)
    reaches(client, "client", INTERNET, INSIDE, what="each NIC has a way into the Internet")
    neighbour = lab.lab.azure.nic["neighbour"].address
    reaches(client, "client", neighbour, what="the kernel chooses the NIC that is in the subnet, and its address")
    reaches(client, "client", neighbour, OUTSIDE, what="a NIC's own packets leave by it, whatever is connected")


def test_answers_leave_by_the_nic_to_which_the_question_came(lab: RunningLab) -> None:
    reaches(lab.client, "vm", OUTSIDE)
    reaches(lab.client, "vm", INSIDE)
    assert traceroute(lab.client, "neighbour", OUTSIDE) == [OUTSIDE]


def test_a_guest_that_nobody_has_set_up_beyond_dhcp(lab: RunningLab) -> None:
    """Its primary NIC alone has more than its subnet; what has another address leaves by it, and Azure drops that."""
    client, live = lab.client, LiveState(lab.lab, lab.client)
    outside, inside = lab.lab.azure.nics_of("guest")
    main = {str(path.prefix): path.gateways for path in live.kernel("guest") if path.protocol != "kernel"}
    of_client = {str(path.prefix): path.gateways for path in live.kernel("client") if path.protocol != "kernel"}
    assert main == of_client
    assert live.table_from("guest", inside.address) is None
    assert inside.addresses == (IPv4Address("10.1.20.20"), IPv4Address("10.1.20.21"))
    for address in inside.addresses:
        reaches(client, "neighbour", address, what="its neighbour there is connected")
        reaches(client, "guest", lab.lab.azure.nic["neighbour"].address, address)
        assert not ping(client, "vm", address)
        assert not ping(client, "guest", VM, address)
    reaches(client, "vm", outside.address)
    for source, target, way in (
        ("guest/inside", "vm", Disposition.FOREIGN_SOURCE),
        ("guest/inside", "neighbour", Disposition.DELIVERED),
        ("vm", "guest/inside", Disposition.DELIVERED),
        ("vm", "10.1.20.21", Disposition.DELIVERED),
    ):
        found = traced(lab, source, target)
        assert found.disposition is way
    assert [address for address, _ in trace(lab.lab, client, "vm", "guest/inside").silent] == [inside.address]


@pytest.mark.parametrize(
    ("source", "target", "way"),
    [
        ("client", "vm", Disposition.DELIVERED),
        ("client/inside", "vm", Disposition.DELIVERED),
        ("client", "branch", Disposition.DELIVERED),
        ("client/inside", "branch", Disposition.NONE),
        ("client", "neighbour", Disposition.DELIVERED),
        ("client/inside", "neighbour", Disposition.DELIVERED),
        ("client/outside", "neighbour", Disposition.DELIVERED),
        ("vm", "client/inside", Disposition.DELIVERED),
        ("branch", "client/inside", Disposition.DELIVERED),
    ],
)
def test_a_trace_from_a_nic_is_what_packets_do(lab: RunningLab, source: str, target: str, way: Disposition) -> None:
    found = traced(lab, source, target)
    assert found.disposition is way


def test_an_appliance_with_two_nics(lab: RunningLab) -> None:
    client = lab.client
    peers = {peer["name"]: peer["peerIp"] for peer in client.get("route-servers", "rs1", "peers")}
    assert peers == {"nva": str(NVA), "fw": str(FW_SESSION)}, "a secondary address"
    rows = {nic: client.get("effective-routes", nic) for nic in ("fw", "fw/outside", "fw/inside")}
    assert rows["fw"] == rows["fw/outside"] != rows["fw/inside"]
    kernel = {str(path.prefix): path.gateways for path in LiveState(lab.lab, client).kernel("fw")}
    assert kernel["0.0.0.0/0"] == (IPv4Address("10.1.3.1"),), "the default is the primary NIC's"
    assert kernel["10.1.0.0/26"] == kernel["10.1.0.0/16"] == (IPv4Address("10.1.1.1"),), "routes by BGP lead inside"
    assert kernel["10.2.0.0/16"] == (IPv4Address("10.1.1.1"),), "a static route by a NIC"
    assert kernel["203.0.113.0/24"] == (IPv4Address("10.1.3.9"),)
    of_nva = {str(path.prefix): path.gateways for path in LiveState(lab.lab, client).kernel("nva")}
    assert of_nva["172.16.0.0/16"] == (lab.lab.wan_links[0].site_address.ip,), "a static route over a link"
    assert traceroute(client, "client", INTERNET, OUTSIDE) == [FW_INSIDE, INTERNET], (
        "it answers by the NIC that leads back"
    )
    found = traced(lab, "client", "internet")
    assert found.disposition is Disposition.DELIVERED
    assert f"SNAT to {FW_OUTSIDE}" in " ".join(line.why for line in found.steps)
    traced(lab, "fw", "client/outside")
    tunnelled = traced(lab, "fw/inside", "branch")
    assert tunnelled.disposition is Disposition.DELIVERED
    assert "effective route of fw/inside's NIC" in " ".join(line.why for line in tunnelled.steps), (
        "of the overlay's NIC"
    )
    inside = traced(lab, "fw", "vm")
    assert inside.disposition is Disposition.DELIVERED
    assert "10.2.0.0/16 → 10.1.1.1" in " ".join(line.decision for line in inside.steps)


def test_the_prediction_and_the_tables_of_the_lab_lead_every_packet_the_same_way(lab: RunningLab) -> None:
    assert astray(lab.lab, lab.client) == []


def test_a_change_of_one_subnet_s_routes_is_a_change_of_one_nic(lab: RunningLab) -> None:
    before = table(lab, 254)
    put_table(lab, "through", {"10.2.0.0/16": "nva", "10.250.0.0/16": "nva"}, propagation=False)
    eventually(lambda: table(lab, TABLE)["10.250.0.0/16"], lambda hops: hops == (str(NVA),))
    wait_until_programmed(lab)
    reaches(lab.client, "client", BRANCH, INSIDE)
    assert table(lab, 254) == before
    nothing_differs(lab)
    put_table(lab, "through", THROUGH, propagation=False)
    eventually(lambda: table(lab, TABLE)["10.250.0.0/16"], lambda hops: hops == ("10.1.20.1",))


@pytest.mark.parametrize("nic", ["client/outside", "client/inside"])
def test_a_route_to_the_machine_itself(lab: RunningLab, nic: str) -> None:
    """By either NIC: the fabric brings the packet back, if that NIC takes it, and the kernel drops it."""
    other = lab.lab.azure.nic[nic].address
    put_table(lab, "through", {"10.2.0.0/16": str(other), "10.250.0.0/16": "None"}, propagation=False)
    eventually(lambda: table(lab, TABLE)["10.2.0.0/16"], lambda hops: hops == ("10.1.20.1",))
    wait_until_programmed(lab)
    for forwarding, ends in ((False, Disposition.NOT_FORWARDED), (True, Disposition.OWN_SOURCE)):
        lab.client.change(SetIpForwarding(nic, forwarding))
        wait_until_programmed(lab)
        nothing_differs(lab)
        assert astray(lab.lab, lab.client) == []
        found = traced(lab, "client/inside", "vm")
        assert (found.disposition, found.real) == (ends, ())
    lab.client.change(SetIpForwarding(nic, False))
    put_table(lab, "through", THROUGH, propagation=False)
    eventually(lambda: table(lab, TABLE)["10.2.0.0/16"], lambda hops: hops == (str(NVA),))


def test_a_lost_rule_or_route_is_found(lab: RunningLab) -> None:
    rule = ("from", str(INSIDE), "lookup", str(TABLE))
    by_hand = ("from", str(GUEST), "lookup", "main")
    lab.client.run("guest", "ip", "rule", "add", *by_hand)
    (found,) = differences(lab.lab, lab.client)
    assert (found.where, found.model, found.there) == ("kernel of guest", NOTHING, f"from {GUEST} lookup 254")
    lab.client.run("guest", "ip", "rule", "del", *by_hand)
    lab.client.run("client", "ip", "rule", "del", *rule)
    lab.client.run("client", "ip", "route", "del", "10.2.0.0/16", "table", str(TABLE))
    assert not ping(lab.client, "vm", INSIDE), "Azure drops the answer, which leaves by the other NIC"
    where = f"kernel of client, table {TABLE} of NIC client/inside"
    assert {(d.where, d.prefix, d.model, d.there) for d in differences(lab.lab, lab.client)} == {
        (where, "10.2.0.0/16", f"via {NVA}", NOTHING),
        (where, "", " ".join(rule), NOTHING),
    }
    (problem,) = (problem for problem in problems(lab) if problem.startswith("kernel of client agrees"))
    assert f"10.2.0.0/16 is nothing in the {where}; expected: via {NVA}." in problem


def test_a_machine_that_was_off_has_both_tables_again(lab: RunningLab) -> None:
    before = {number: table(lab, number) for number in (254, TABLE)}
    for verb in ("stop", "start"):
        subprocess.run(
            [sys.executable, "-m", "labkit.cli.main", verb, "client", "--lab", lab.client.record.lab],
            check=True,
            capture_output=True,
        )
    wait_until_programmed(lab)
    assert table(lab, 254) == before[254]
    assert table(lab, TABLE) == {**before[TABLE], "10.2.0.0/16": (str(NVA),)}
    reaches(lab.client, "vm", INSIDE)
    assert problems(lab, SOON) == []
    nothing_differs(lab)
