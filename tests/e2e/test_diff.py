"""`labkit diff` on a healthy lab, and on one that somebody has tampered with: exactly the rows that are wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from labkit.cli.app import run as labkit
from labkit.operate.diff.run import differences
from labkit.pytest import Boot, RunningLab
from tests.e2e.in_lab import SCAN, configure, nothing_differs, run, traced
from tests.e2e.test_expressroute import branch_to_branch
from tests.e2e.waiting import eventually

Rows = set[tuple[str, str, str, str]]


@pytest.fixture(scope="module")
def lab(labkit_lab: Boot, expressroute_file: Path) -> Iterator[RunningLab]:
    """The ExpressRoute lab with branch-to-branch on, so that every router in it has something to advertise."""
    lab = labkit_lab(expressroute_file)
    with branch_to_branch(lab):
        nothing_differs(lab)
        yield lab


@pytest.fixture(autouse=True)
def _whole_again(lab: RunningLab) -> Iterator[None]:
    """Every test leaves the lab as it found it, and that is checked."""
    yield
    nothing_differs(lab)


def rows(lab: RunningLab, holds: Callable[[Rows], bool] = lambda _: True) -> Rows:
    """What differs, when that is as it should be."""
    return eventually(lambda: {(d.where, d.prefix, d.model, d.there) for d in differences(lab.lab, lab.client)}, holds)


def restart(lab: RunningLab, node: str, service: str) -> None:
    run(lab, node, "s6-svc", "-r", f"{SCAN}/{service}")


def test_nothing_differs(lab: RunningLab, capsys: pytest.CaptureFixture[str]) -> None:
    assert labkit(["diff", "--lab", lab.lab.name]) == 0
    assert capsys.readouterr().out == "expressroute-e2e: no differences from the model.\n"
    assert labkit(["diff", "--lab", lab.lab.name, "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_what_is_off_is_not_looked_into(lab: RunningLab, capsys: pytest.CaptureFixture[str]) -> None:
    """It is when something is off that one looks around."""
    runtime, name = lab.client.runtime, lab.client.record.lab
    runtime.stop(name, "vm1")
    try:
        assert labkit(["diff", "--lab", name]) == 0
        assert capsys.readouterr().err == "Not compared, because powered off: vm1\n"
        found = traced(lab, "onprem1", "vm1", "dropped")
        assert (found.steps[-1].place, found.steps[-1].why) == ("vm1", "the node is powered off")
    finally:
        runtime.start(name, "vm1")


def test_routes_in_a_kernel(lab: RunningLab, capsys: pytest.CaptureFixture[str]) -> None:
    run(lab, "vm1", "ip", "route", "replace", "10.250.0.0/16", "via", "10.1.10.1", "dev", "eth0", "proto", "65")
    run(lab, "vm1", "ip", "route", "add", "192.0.2.0/24", "via", "10.1.10.1", "dev", "eth0")
    where = "kernel of vm1"
    wrong = {
        (where, "10.250.0.0/16", "via 10.1.1.4", "via 10.1.10.1"),
        (where, "192.0.2.0/24", "-", "via 10.1.10.1"),
    }
    assert rows(lab) == wrong
    assert labkit(["diff", "--lab", lab.lab.name]) == 1
    out, err = capsys.readouterr()
    assert [line.split()[:4] for line in out.splitlines()[2:]] == [
        ["kernel", "of", "vm1", prefix] for _, prefix, _, _ in sorted(wrong)
    ]
    assert "See: labkit routes vm1" in err
    assert labkit(["diff", "--lab", lab.lab.name, "-o", "json"]) == 1
    assert [row["prefix"] for row in json.loads(capsys.readouterr().out)] == ["10.250.0.0/16", "192.0.2.0/24"]
    run(lab, "vm1", "ip", "route", "delete", "192.0.2.0/24")
    restart(lab, "vm1", "agent")


def nft(lab: RunningLab, fabric: str, *words: str) -> None:
    verb, kind, *rest = words
    run(lab, fabric, "nft", verb, kind, "netdev", "labkit", *rest)


def table_of(lab: RunningLab, fabric: str, port: str) -> str:
    """The forwarding map of a port."""
    text = run(lab, fabric, "nft", "list", "chain", "netdev", "labkit", f"in-{port}")
    found = re.search(r"vmap @(\S+)", text)
    assert found, text
    return found[1]


def test_a_flushed_chain(lab: RunningLab) -> None:
    nft(lab, "hub", "flush", "chain", "in-vm1")
    assert rows(lab) == {("fabric hub, from vm1", "", "a program", "-")}
    nft(lab, "hub", "flush", "chain", "out-vm2")
    unguarded = ("fabric hub, port vm2", "", "drops what is for another address than the NIC's", "lets it through")
    assert rows(lab) == {("fabric hub, from vm1", "", "a program", "-"), unguarded}
    restart(lab, "hub", "fabric")


def test_an_altered_element(lab: RunningLab) -> None:
    table = table_of(lab, "hub", "vm1")
    sharing = [port for port in ("sdwan-nva", "vm1", "vm2") if table_of(lab, "hub", port) == table]
    nft(lab, "hub", "delete", "element", table, "{ 10.250.0.0/16 }")
    ((where, prefix, model, there),) = rows(lab)
    assert set(sharing) <= set(where.removeprefix("fabric hub, from ").split(", "))
    assert (prefix, model, there) == ("10.250.0.0/16", "to sdwan-nva", "to nobody")
    restart(lab, "hub", "fabric")


def by_hand(router: str, asn: int, first: str, second: str, neighbour: str) -> set[tuple[str, str, str, str]]:
    """The rows of a prefix list that was put before what a router accepts from a neighbour."""
    family = f"router bgp {asn} > address-family ipv4 unicast"
    added = (first, second, f"{family} > neighbor {neighbour} prefix-list far in")
    return {(f"configuration of {router}, changed by hand", "", "-", each) for each in added}


def test_a_route_that_an_appliance_does_not_take(lab: RunningLab) -> None:
    refuse = ("ip prefix-list far seq 5 deny 10.2.0.0/16", "ip prefix-list far seq 10 permit 0.0.0.0/0 le 32")
    bgp = ("router bgp 65001", "address-family ipv4 unicast")
    configure(lab, "sdwan-nva", *refuse, *bgp, "neighbor 10.1.0.4 prefix-list far in")
    run(lab, "sdwan-nva", "vtysh", "-c", "clear bgp ipv4 unicast 10.1.0.4 soft in")
    path = "via 10.1.0.4 path 65515-12076-65020 igp 65517:65517"
    wrong = {("sdwan-nva, from rs1-0", "10.2.0.0/16", path, "-")} | by_hand("sdwan-nva", 65001, *refuse, "10.1.0.4")
    assert rows(lab, lambda found: found == wrong) == wrong
    configure(
        lab, "sdwan-nva", *bgp, "no neighbor 10.1.0.4 prefix-list far in", "exit", "exit", "no ip prefix-list far"
    )
    run(lab, "sdwan-nva", "vtysh", "-c", "clear bgp ipv4 unicast 10.1.0.4 soft in")


def test_what_a_site_does_not_take_and_what_its_kernel_does_not_know(lab: RunningLab) -> None:
    neighbour = next(link.router_address.ip for link in lab.lab.wan_links if link.site == "onprem2")
    bgp = ("router bgp 65020", "address-family ipv4 unicast")
    refuse = ("ip prefix-list far seq 5 deny 10.1.0.0/16", "ip prefix-list far seq 10 permit 0.0.0.0/0 le 32")
    configure(lab, "onprem2", *refuse, *bgp, f"neighbor {neighbour} prefix-list far in")
    run(lab, "onprem2", "vtysh", "-c", "clear bgp ipv4 unicast * soft in")
    wrong = {("onprem2, from circuit1", "10.1.0.0/16", f"via {neighbour} path 12076 igp", "-")}
    wrong |= by_hand("onprem2", 65020, *refuse, str(neighbour))
    assert rows(lab, lambda found: found == wrong) == wrong
    configure(
        lab, "onprem2", *bgp, f"no neighbor {neighbour} prefix-list far in", "exit", "exit", "no ip prefix-list far"
    )
    run(lab, "onprem2", "vtysh", "-c", "clear bgp ipv4 unicast * soft in")
    nothing_differs(lab)

    run(lab, "onprem2", "ip", "route", "add", "192.0.2.0/24", "via", str(neighbour), "proto", "bgp")
    wrong = {("kernel of onprem2", "192.0.2.0/24", "-", "a route by BGP")}
    assert rows(lab, lambda found: found == wrong) == wrong
    run(lab, "onprem2", "ip", "route", "delete", "192.0.2.0/24")
    # zebra puts back what somebody takes away: nothing is left to be found.
    run(lab, "onprem2", "ip", "route", "delete", "10.250.0.0/16")
    nothing_differs(lab)


def test_a_gateway_that_advertises_what_it_should_not(lab: RunningLab) -> None:
    bgp = ("router bgp 65515", "address-family ipv4 unicast")
    configure(lab, "ergw-0", *bgp, "network 192.0.2.0/24")
    wrong = {
        ("rs1-0, received from ergw-0", "192.0.2.0/24"),
        ("rs1-1, received from ergw-0", "192.0.2.0/24"),
        ("circuit1, from ergw-0", "192.0.2.0/24"),
    }
    found = rows(lab, lambda found: {(where, prefix) for where, prefix, _, _ in found} == wrong)
    assert {model for _, _, model, _ in found} == {"-"}
    configure(lab, "ergw-0", *bgp, "no network 192.0.2.0/24")
