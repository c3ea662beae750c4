"""What VPN gateways connect to, and what they make of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv4Network

import pytest

from labkit.azure.changes.virtual_networks import SetAddressSpace
from labkit.cli.app import run
from labkit.daemons.tables import ESTABLISHED
from labkit.lab.plan.nodes import owners
from labkit.operate.look.probes import ping, traceroute
from labkit.pytest import Boot, RunningLab
from tests.e2e.by_the_rules import astray, unlike
from tests.e2e.in_lab import effective, gateways, lab_file, nothing_differs, problems, reaches, without_bgpd
from tests.e2e.waiting import SOON, eventually
from tests.extent import LONG

CUSTOMER = IPv4Network("10.155.0.0/16")
DEVICES = {name: IPv4Address(address) for name, address in (("dev1", "10.155.0.1"), ("dev2", "10.155.0.2"))}


@pytest.fixture(scope="module")
def lab(labkit_lab: Boot) -> RunningLab:
    return labkit_lab(lab_file("connections"))


def test_everything_is_as_the_rules_have_it(lab: RunningLab) -> None:
    assert problems(lab, SOON) == []
    assert unlike(lab.lab, lab.lab.azure, lab.client) == []
    assert astray(lab.lab, lab.client) == []
    nothing_differs(lab)


def test_the_only_instance_of_a_gateway_is_a_public_next_hop(lab: RunningLab) -> None:
    """Azure's tables of NICs have the public address, and packets get to the gateway all the same."""
    assert lab.lab.internet is not None
    public = lab.lab.internet.public["fargw-0"]
    assert gateways(lab, "farvm", CUSTOMER) == (public,)
    assert [hops for _, _, _, hops in effective(lab, "farvm", CUSTOMER)] == [[str(public)]]
    reaches(lab.client, "farvm", lab.lab.site["dev1"].host.address.ip)


def test_a_prepended_path_is_used_without_the_shorter_one(lab: RunningLab) -> None:
    """Microsoft's question 96515: a customer's second device is a standby by the length of its path alone."""

    def ways() -> set[tuple[IPv4Address, ...] | None]:
        return {gateways(lab, instance, CUSTOMER) for instance in ("vpngw-0", "vpngw-1")}

    assert ways() == {(DEVICES["dev1"],)}
    with without_bgpd(lab, "dev1"):
        eventually(ways, lambda found: found == {(DEVICES["dev2"],)})
    eventually(ways, lambda found: found == {(DEVICES["dev1"],)})
    assert problems(lab, SOON) == []


def test_next_hop_names_all_equal_ones(lab: RunningLab, capsys: pytest.CaptureFixture[str]) -> None:
    """Below the table, which has one as Network Watcher does; nothing is below the only one."""
    one, other = lab.lab.azure.gateway["vpngw"].instances
    for address, below in (("10.155.0.1", f" one of 2 equal next hops: {one}, {other}\n"), ("10.47.1.9", "")):
        assert run(["next-hop", "vm", address, "--lab", lab.client.record.lab]) == 0
        assert capsys.readouterr().err == below


def test_gateways_without_bgp_route_the_address_spaces_of_their_networks(lab: RunningLab) -> None:
    """As they are now [vnet-to-vnet-without-bgp]; a local network gateway has the prefixes that it was given."""
    more, both = IPv4Network("10.99.0.0/16"), lab.lab.azure.gateway["vpngw"].instances
    spaces = {name: lab.lab.azure.virtual_network[name].address_space for name in ("plain", "prem")}
    lab.client.change(SetAddressSpace("plain", (*spaces["plain"], more)))
    eventually(lambda: gateways(lab, "vm", more), lambda hops: hops == both)
    eventually(lambda: gateways(lab, "dev1", more), bool)
    nothing_differs(lab)
    lab.client.change(SetAddressSpace("plain", spaces["plain"]), SetAddressSpace("prem", (*spaces["prem"], more)))
    eventually(lambda: gateways(lab, "vm", more), lambda hops: hops is None)
    eventually(lambda: gateways(lab, "dev1", more), lambda hops: hops is None)
    nothing_differs(lab)
    lab.client.change(SetAddressSpace("prem", spaces["prem"]))
    assert problems(lab, SOON) == []


@pytest.fixture(scope="module")
def bow_tie(labkit_lab: Boot) -> RunningLab:
    return labkit_lab(lab_file("bow-tie"))


def test_gateways_and_circuits_in_every_combination(bow_tie: RunningLab) -> None:
    """The connection with the highest weight is used, however long its path; without it the others are."""
    dc = IPv4Network("10.164.0.0/16")
    edges = {e for c in bow_tie.lab.azure.connections if (c.gateway, c.remote) == ("ereast", "c2") for e in c.edges}
    assert problems(bow_tie, SOON) == []
    assert unlike(bow_tie.lab, bow_tie.lab.azure, bow_tie.client) == []
    assert astray(bow_tie.lab, bow_tie.client) == []
    before = gateways(bow_tie, "vmeast", dc)
    with without_bgpd(bow_tie, "dc1"):
        eventually(lambda: {*(gateways(bow_tie, "vmeast", dc) or ())}, lambda hops: hops == {e.next_hop for e in edges})
        peers = bow_tie.client.get("gateways", "ereast", "bgp-peers")["value"]
        assert {row["state"] for row in peers} == {"Connected"}, "with the edge, whose customer is gone"
        # The machine may be ahead of its fabric, and of the gateway's own kernel.
        eventually(lambda: ping(bow_tie.client, "vmeast", bow_tie.lab.site["dc2"].host.address.ip), bool)
    eventually(lambda: gateways(bow_tie, "vmeast", dc), lambda hops: hops == before)
    assert problems(bow_tie, SOON) == []


def test_the_owner_of_a_circuit_takes_back_an_authorization(
    bow_tie: RunningLab, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its connection is deleted with it, and created by another one [circuit-authorization]."""
    dc, name = IPv4Network("10.164.0.0/16"), bow_tie.client.record.lab
    before = gateways(bow_tie, "vmeast", dc)

    def labkit(*words: str) -> tuple[int, str]:
        status = run([*words, "--lab", name])
        shown = capsys.readouterr()
        return status, shown.out + shown.err

    status, shown = labkit("whatif", "circuit", "auth", "delete", "c1", "PARTNER")
    assert (status, "c1: authorization partner deleted, and connection ereast-c1 with it" in shown) == (0, True), shown
    assert labkit("circuit", "auth", "delete", "c1", "PARTNER")[0] == 0
    eventually(lambda: gateways(bow_tie, "vmeast", dc), lambda hops: hops not in {None, before})
    eventually(lambda: ping(bow_tie.client, "vmeast", bow_tie.lab.site["dc2"].host.address.ip), bool)
    nothing_differs(bow_tie)
    status, shown = labkit("gateway", "connection", "create", "ereast", "c1")
    assert (status, "labkit circuit auth create c1 partner" in shown) == (2, True), shown

    assert labkit("circuit", "auth", "create", "c1", "again")[0] == 0
    assert bow_tie.client.get("authorizations")[0]["authorizationUseStatus"] == "Available"
    assert labkit("gateway", "connection", "create", "ereast", "c1", "--authorization", "again")[0] == 0
    eventually(lambda: gateways(bow_tie, "vmeast", dc), lambda hops: hops == before)
    status, shown = labkit("circuit", "auth", "list")
    assert [line.split() for line in shown.splitlines()[2:]] == [["again", "c1", "InUse", "ereast-c1"]]
    assert labkit("reset")[0] == 0
    assert bow_tie.client.changes() == ()
    assert [each["name"] for each in bow_tie.client.get("authorizations")] == ["partner"]
    assert problems(bow_tie, SOON) == []


DC, EAST = IPv4Network("10.164.0.0/16"), IPv4Network("10.61.0.0/16")
VMS = "vmeast", "vmapp"


@contextmanager
def off(lab: RunningLab, *nodes: str) -> Iterator[None]:
    """Nodes are powered off, and on again; afterwards everything is as it was."""
    try:
        for node in nodes:
            lab.client.runtime.stop(lab.lab.name, node)
        yield
    finally:
        for node in nodes:
            lab.client.runtime.start(lab.lab.name, node)
    assert problems(lab, SOON) == []
    nothing_differs(lab)


def next_hops(lab: RunningLab, *nodes: str, prefix: IPv4Network) -> list[set[str]]:
    """The nodes that have the next hops of nodes' kernels."""
    return [{owners(lab.lab)[hop] for hop in gateways(lab, node, prefix) or ()} for node in nodes]


def senders(lab: RunningLab, gateway: str, prefix: IPv4Network) -> dict[str, set[str]]:
    """The nodes from which a gateway's instances have a prefix, as Azure's table shows it."""
    found: dict[str, set[str]] = {}
    for row in lab.client.get("gateways", gateway, "learned-routes")["value"]:
        if row["network"] == str(prefix):
            found.setdefault(row["localAddress"], set()).add(owners(lab.lab)[IPv4Address(row["sourcePeer"])])
    return found


def answered(lab: RunningLab) -> list[bool]:
    """Whether the machines of the hub and its spoke reach the data centre's host, and it them."""
    host = lab.lab.site["dc1"].host
    of_machines = [lab.lab.azure.primary_nic(vm).address for vm in VMS]
    ways = [*((vm, host.address.ip) for vm in VMS), *((host.name, address) for address in of_machines)]
    return [ping(lab.client, node, address) for node, address in ways]


def test_an_edge_by_the_gateway_s_address_and_by_the_platform_s(bow_tie: RunningLab) -> None:
    """Azure's question 82788: a gateway's table and a machine's name an edge by different addresses [edge-addresses].

    Packets bypass the gateway, in its network and in a peered one, and go by an edge that the machine has.
    """
    lines = [line for line in bow_tie.lab.gateway["ereast"].lines if line.circuit == "c1"]
    site = bow_tie.lab.site["dc1"]
    rows = bow_tie.client.get("gateways", "ereast", "learned-routes")["value"]
    by_gateway = {row["nextHop"] for row in rows if row["network"] == str(DC)}
    by_machines = {str(line.next_hop) for line in lines}
    assert {str(line.edge) for line in lines} < by_gateway
    assert by_machines.isdisjoint(by_gateway)
    for vm in VMS:
        assert {*map(str, gateways(bow_tie, vm, DC) or ())} == by_machines
        edge, *beyond = traceroute(bow_tie.client, vm, site.host.address.ip)
        assert edge in {line.edge for line in lines}
        assert beyond == [bow_tie.lab.site_router["dc1"].lan[0].ip, site.host.address.ip]


@pytest.mark.parametrize("edge", [0, 1] if LONG else [0])
def test_maintenance_of_an_edge(bow_tie: RunningLab, edge: int) -> None:
    """Sessions, routes and packets go by the other one of the circuit alone, and return with it [circuit-edges]."""
    away, other = f"c1-{edge}", f"c1-{1 - edge}"
    both, learned = {away, other}, senders(bow_tie, "ereast", DC)
    assert [found & both for found in learned.values()] == [both], "an instance has it from both edges"
    assert next_hops(bow_tie, *VMS, prefix=DC) == [both, both]
    assert next_hops(bow_tie, "dc1", prefix=EAST) == [both]
    with off(bow_tie, away):
        # It is powered off without a word: the hold time has to end.
        eventually(lambda: next_hops(bow_tie, *VMS, prefix=DC), [{other}, {other}].__eq__)
        remaining = {address: found - {away} for address, found in learned.items()}
        eventually(lambda: senders(bow_tie, "ereast", DC), remaining.__eq__)
        eventually(lambda: next_hops(bow_tie, "dc1", prefix=EAST), [{other}].__eq__)
        eventually(lambda: answered(bow_tie), all)
        shown = bow_tie.client.get("status")["gateways"]
        up = [s["neighbour"] for s in shown if s["gateway"] == "ereast" and s["state"] == ESTABLISHED]
        assert (up.count(other), up.count(away)) == (2, 0)
        advertised = bow_tie.client.get("gateways", "ereast", "advertised-routes", "c1")["value"]
        assert {row["localAddress"] for row in advertised} == {*learned}, "to the other edge"
        hop, *_ = traceroute(bow_tie.client, "vmeast", bow_tie.lab.site["dc1"].host.address.ip)
        assert hop is not None
        assert owners(bow_tie.lab)[hop] == other
    eventually(lambda: next_hops(bow_tie, *VMS, prefix=DC), [both, both].__eq__)


def test_an_edge_is_reached_by_whichever_instance_has_a_way(bow_tie: RunningLab) -> None:
    """An edge and the instance that sends by the other one are off at once [edge-by-instance]."""
    with off(bow_tie, "c1-0", "ereast-1"):
        eventually(lambda: next_hops(bow_tie, *VMS, prefix=DC), [{"c1-1"}, {"c1-1"}].__eq__)
        eventually(lambda: answered(bow_tie), all)
        assert astray(bow_tie.lab, bow_tie.client) == []
