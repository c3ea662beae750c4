"""Virtual network peering: who uses whose route server, how far packets get, and networks that overlap."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from labkit.operate.look.live_state import LiveState
from labkit.operate.look.probes import ping, traceroute
from labkit.operate.trace.run import trace
from labkit.pytest import Boot, RunningLab
from tests.e2e.in_lab import (
    dialogue,
    effective,
    gateways,
    lab_file,
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

HUB, SPOKE1, SPOKE2 = IPv4Network("10.0.0.0/16"), IPv4Network("10.1.0.0/16"), IPv4Network("10.2.0.0/16")
BRANCH, DC = IPv4Network("10.250.0.0/16"), IPv4Network("10.251.0.0/16")
NVA1, NVA2 = IPv4Address("10.0.1.4"), IPv4Address("10.2.1.4")
VM1, VM2 = IPv4Address("10.1.10.4"), IPv4Address("10.2.10.4")
DC_ROUTER, DC_HOST = IPv4Address("10.251.0.1"), IPv4Address("10.251.0.10")


@pytest.fixture(scope="module")
def spokes(labkit_lab: Boot) -> RunningLab:
    return labkit_lab(lab_file("spokes"))


@pytest.fixture
def whole_again(spokes: RunningLab) -> Iterator[None]:
    """The test leaves the lab as it found it, and that is checked."""
    yield
    assert problems(spokes, SOON) == []


def drops(lab: RunningLab, port: str) -> int:
    """Packets that a fabric refused from a NIC of this lab."""
    fabric = lab.lab.azure.nic[port].virtual_network
    found = json.loads(run(lab, fabric, "nft", "-j", "list", "counters", "netdev"))["nftables"]
    counters = [item["counter"] for item in found if "counter" in item]
    return sum(c["packets"] for c in counters if c["name"].startswith(f"drop-{port}-"))


def test_every_proof_holds(spokes: RunningLab) -> None:
    assert len(spokes.lab.proofs) > 20
    assert problems(spokes, SOON) == []


def test_routes_go_where_the_route_server_is_used(spokes: RunningLab) -> None:
    assert gateways(spokes, "vm1", BRANCH) == (NVA1,)
    rows = spokes.client.get("effective-routes", "vm2")["value"]
    assert {row["source"] for row in rows} == {"Default"}, "the spoke without the route server has only Azure's own"
    heard = {path.prefix for path in LiveState(spokes.lab, spokes.client).bgp("nva1").paths}
    assert {HUB, SPOKE1, BRANCH} <= heard
    assert SPOKE2 not in heard


def test_a_next_hop_two_peerings_away_is_none(spokes: RunningLab) -> None:
    source = "VirtualNetworkGateway"
    assert effective(spokes, "hub-vm", DC) == [(source, "Active", "VirtualNetworkGateway", [str(NVA2)])]
    assert effective(spokes, "vm1", DC) == [(source, "Active", "None", [])]
    assert gateways(spokes, "vm1", DC) == (IPv4Address("10.1.10.1"),), "the fabric drops it, not the machine"


@pytest.mark.usefixtures("whole_again")
def test_peering_is_one_network_deep_whatever_a_machine_tries(spokes: RunningLab) -> None:
    """The kernels have no route, so the machines are given some: it is the fabric that does not carry on."""
    mac = spokes.lab.azure.nic["vm2"].mac
    for via in (("dev", "eth0"), ("via", "10.1.10.1"), ("via", str(NVA1), "dev", "eth0", "onlink")):
        run(spokes, "vm1", "ip", "route", "replace", str(SPOKE2), *via, "proto", "static")
        before = drops(spokes, "vm1")
        assert not ping(spokes.client, "vm1", VM2)
        assert drops(spokes, "vm1") == before + 1
    run(spokes, "vm1", "ip", "route", "replace", str(SPOKE2), "dev", "eth0", "proto", "static")
    run(spokes, "vm1", "ip", "neigh", "replace", str(VM2), "lladdr", mac, "dev", "eth0", "nud", "permanent")
    before = drops(spokes, "vm1")
    assert not ping(spokes.client, "vm1", VM2), "knowing the MAC address does not help"
    assert drops(spokes, "vm1") == before + 1
    run(spokes, "vm1", "ip", "neigh", "delete", str(VM2), "dev", "eth0")
    run(spokes, "vm1", "ip", "route", "delete", str(SPOKE2))


@pytest.mark.usefixtures("whole_again")
def test_spokes_meet_through_an_appliance(spokes: RunningLab) -> None:
    put_table(spokes, "from-spoke1", {str(SPOKE2): "nva1"})
    eventually(lambda: gateways(spokes, "vm1", SPOKE2), lambda hops: hops == (NVA1,))
    wait_until_programmed(spokes)
    assert not ping(spokes.client, "vm1", VM2), "there is no way back yet"

    put_table(spokes, "from-spoke2", {str(SPOKE1): "nva1"})
    reaches(spokes.client, "vm1", VM2)
    wait_until_programmed(spokes)
    for source, target, address in (("vm1", "vm2", VM2), ("vm2", "vm1", VM1)):
        assert traceroute(spokes.client, source, address) == [NVA1, address]
        traced(spokes, source, target, "delivered")

    for table in ("from-spoke1", "from-spoke2"):
        put_table(spokes, table)
    eventually(lambda: ping(spokes.client, "vm1", VM2), lambda answered: not answered)


INJECT = """
    import socket, sys
    interface, target, frames = sys.argv[1], bytes.fromhex(sys.argv[2].replace(":", "")), int(sys.argv[3])
    header = bytearray.fromhex("45000014000000004011") + bytes(6) + socket.inet_aton(sys.argv[4])
    total = sum(int.from_bytes(header[i : i + 2], "big") for i in range(0, 20, 2))
    header[10:12] = (0xFFFF - (total & 0xFFFF) - (total >> 16)).to_bytes(2, "big")  # br_netfilter checks it
    packet = bytes(header)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
        wire.bind((interface, 0))
        for _ in range(frames):
            wire.send((target + bytes.fromhex("020000000001") + b"\\x08\\x00" + packet).ljust(60, b"\\0"))
"""


def sent(lab: RunningLab, network: str, port: str) -> int:
    """Packets that a port of a fabric has sent to what hangs on it."""
    (link,) = json.loads(run(lab, network, "ip", "-j", "-s", "link", "show", "dev", port))
    return int(link["stats64"]["tx"]["packets"])


def test_what_came_over_a_peering_leaves_over_no_other(spokes: RunningLab) -> None:
    """Not even what no machine can send: a frame in the spoke's own fabric that knows the far machine's MAC."""
    frames = 20
    hub_vm, vm2 = spokes.lab.azure.nic["hub-vm"], spokes.lab.azure.nic["vm2"]
    near, far = sent(spokes, "hub", "hub-vm"), sent(spokes, "hub", "spoke2")
    python(spokes, "spoke1", INJECT, "hub", vm2.mac, frames, vm2.address)
    # Later on the same wire: when these are there, the others would be.
    python(spokes, "spoke1", INJECT, "hub", hub_vm.mac, frames, hub_vm.address)
    eventually(lambda: sent(spokes, "hub", "hub-vm"), lambda count: count >= near + frames)
    assert sent(spokes, "hub", "spoke2") < far + frames


# Every network peered with every other.

SHOUT = """
    import socket, sys
    frames, unknown = int(sys.argv[1]), bytes.fromhex(sys.argv[2].replace(":", ""))
    mine = bytes.fromhex(open("/sys/class/net/eth0/address").read().strip().replace(":", ""))
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
        wire.bind(("eth0", 0))
        for target in (b"\\xff" * 6, b"\\x01\\x00\\x5e\\x00\\x00\\x05", unknown):
            for _ in range(frames):
                wire.send((target + mine + b"\\x08\\x00").ljust(60, b"\\0"))
                wire.send((target + mine + b"\\x08\\x06").ljust(60, b"\\0"))
                wire.send((target + mine + b"\\x86\\xdd").ljust(60, b"\\0"))
"""


def between_networks(lab: RunningLab) -> int:
    """Packets that all peering ports of all fabrics have sent so far."""
    count = 0
    names = set(lab.lab.azure.virtual_network)
    for network in names:
        links = json.loads(run(lab, network, "ip", "-j", "-s", "link"))
        count += sum(link["stats64"]["tx"]["packets"] for link in links if link["ifname"] in names - {network})
    return count


def test_a_full_mesh_has_short_ways_and_no_loop(labkit_lab: Boot, tmp_path: Path) -> None:
    text = lab_file("spokes").read_text()
    peered = "  - {between: [hub, spoke2]}\n"
    changes = {
        "name: spokes": "name: mesh",
        peered: f"{peered}  - {{between: [spoke1, spoke2]}}\n",
        text[text.index("proofs:") :]: "",  # they claim that the spokes do not meet
    }
    lab = labkit_lab(variant(lab_file("spokes"), tmp_path, changes))
    eventually(lambda: gateways(lab, "vm1", DC), lambda hops: hops == (NVA2,))
    assert problems(lab, SOON) == []
    assert effective(lab, "vm1", SPOKE2) == [("Default", "Active", "VNetPeering", [])]
    assert traceroute(lab.client, "vm1", VM2) == [VM2]
    assert traceroute(lab.client, "vm1", DC_HOST) == [NVA2, DC_ROUTER, DC_HOST]
    assert gateways(lab, "vm2", DC) is None, "peered with both, but a user of no route server"

    before = between_networks(lab)
    frames = 20
    for vm in ("vm1", "vm2", "hub-vm"):
        python(lab, vm, SHOUT, frames, "02:00:00:00:00:99")
    shouted = between_networks(lab)
    pings = 5
    for _ in range(pings):
        reaches(lab.client, "vm1", VM2)
    assert between_networks(lab) - shouted < 50, "packets go round between the networks"
    assert shouted - before < 50, "noise of one network is heard in another"


# Networks that know nothing of each other.

ANSWER = """
    import socket
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as service:
        service.bind(("", 7000))
        print("ready")
        while True:
            question, source = service.recvfrom(2048)
            service.sendto(f"{question.decode()} {source[0]}".encode(), source)
"""

ASK = """
    import socket, sys
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as flow:
        flow.bind((sys.argv[1], 5000))
        flow.connect((sys.argv[2], 7000))
        flow.settimeout(5)
        print("ready")
        for question in sys.stdin:
            flow.send(question.strip().encode())
            try:
                print(flow.recv(2048).decode())
            except OSError as error:
                print(error)
"""


def test_the_same_private_address_in_two_networks_reaches_the_internet_at_once(labkit_lab: Boot) -> None:
    lab = labkit_lab(lab_file("twins"))
    internet = lab.lab.internet
    assert internet is not None
    public = {leg.virtual_network: str(leg.public) for leg in internet.legs}
    assert len(set(public.values())) == 2
    blue, red = lab.lab.azure.nic["blue-vm"], lab.lab.azure.nic["red-vm"]
    assert not ping(lab.client, "blue-vm", red.address), "though it lies in blue's own range"
    assert not ping(lab.client, "red-vm", blue.address)

    # Addresses in a lab file are unique, so red takes blue's by hand: in its machine and in its fabric.
    run(lab, "red-vm", "ip", "address", "add", f"{blue.address}/32", "dev", "eth0")
    run(lab, "red", "nft", "add", "element", "netdev", "labkit", "nics", f"{{ {blue.address} : {red.mac} }}")
    with ExitStack() as stack:
        service = stack.enter_context(dialogue(lab, "internet", ANSWER))
        assert service.line() == "ready"
        talks = {
            vm: stack.enter_context(dialogue(lab, vm, ASK, blue.address, internet.host)) for vm in ("blue-vm", "red-vm")
        }
        for talk in talks.values():
            assert talk.line() == "ready"
        for turn in range(3):
            assert talks["blue-vm"].ask(f"blue{turn}") == f"blue{turn} {public['blue']}"
            assert talks["red-vm"].ask(f"red{turn}") == f"red{turn} {public['red']}"
    run(lab, "red", "nft", "delete", "element", "netdev", "labkit", "nics", f"{{ {blue.address} }}")
    run(lab, "red-vm", "ip", "address", "delete", f"{blue.address}/32", "dev", "eth0")
    assert problems(lab, SOON) == []


@pytest.fixture(scope="module")
def nothing_forwarded(labkit_lab: Boot) -> RunningLab:
    return labkit_lab(lab_file("spokes"), variant="no-forwarded")


def test_a_network_that_takes_nothing_forwarded(nothing_forwarded: RunningLab) -> None:
    """The way there is open, since the hub's own address is no forwarded one; the answer comes from too far away."""
    lab = nothing_forwarded
    assert problems(lab, SOON) == []
    there, back = trace(lab.lab, lab.client, "hub-vm", "dc"), traced(lab, "dc-host", "hub-vm", "dropped")
    assert there.verdict == "delivered"
    assert "accepts nothing from spoke2 that is only forwarded" in back.steps[-1].why
    found = json.loads(run(lab, "hub", "nft", "-j", "list", "counter", "netdev", "labkit", "drop-spoke2-forwarded"))
    assert next(item["counter"]["packets"] for item in found["nftables"] if "counter" in item) > 0
