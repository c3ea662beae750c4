"""An ExpressRoute gateway and a VPN gateway, joined by a route server: both branches reach each other through Azure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from labkit.azure.changes.route_servers import SetRouteServerSettings
from labkit.azure.changes.virtual_networks import SetAddressSpace
from labkit.lab.plan.nodes import owners
from labkit.operate.look.live_state import LiveState
from labkit.operate.look.probes import ping, traceroute
from labkit.pytest import Boot, RunningLab
from labkit.resources import topologies
from tests.e2e.in_lab import configure, gateways, kernel, nothing_differs, problems, reaches, run, variant, without_bgpd
from tests.e2e.waiting import SOON, eventually

BRANCH, ONPREM, HUB = IPv4Network("10.200.0.0/24"), IPv4Network("10.1.34.0/25"), IPv4Network("10.100.0.0/23")
DEFAULT, HALVES = IPv4Network("0.0.0.0/0"), (IPv4Network("0.0.0.0/1"), IPv4Network("128.0.0.0/1"))
VM1, BRANCH_HOST, ONPREM_HOST = (IPv4Address(a) for a in ("10.100.1.4", "10.200.0.10", "10.1.34.10"))
BRANCH_ROUTER, ONPREM_ROUTER, FIREWALL = (IPv4Address(a) for a in ("10.200.0.1", "10.1.34.1", "10.100.0.4"))
ONE, OTHER = IPv4Address("10.100.0.196"), IPv4Address("10.100.0.197")
INTERNET, BEYOND = IPv4Address("198.51.100.10"), IPv4Address("203.0.113.1")
INSTANCES = ("10.100.0.68", "10.100.0.69")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    timers = "timers: {keepalive: 1, hold: 3}"
    changes = {"name: expressroute-vpn": "name: er-vpn-e2e", "type: Vpn": f"type: Vpn\n    {timers}"}
    return variant(topologies() / "expressroute-vpn" / "lab.yml", tmp_path_factory.mktemp("lab"), changes)


@pytest.fixture
def static(labkit_lab: Boot, file: Path) -> Iterator[RunningLab]:
    """Without BGP in the tunnels."""
    yield from _left_as_found(labkit_lab(file))


@pytest.fixture
def bgp(labkit_lab: Boot, file: Path) -> Iterator[RunningLab]:
    """Its tests come last: it takes the base down."""
    yield from _left_as_found(labkit_lab(file, variant="bgp"))


def _left_as_found(lab: RunningLab) -> Iterator[RunningLab]:
    """A lab all of whose proofs hold, after the test too. No packet ever crossed its route server."""
    yield lab
    assert problems(lab, SOON) == []
    assert [LiveState(lab.lab, lab.client).foreign_packets(instance) for instance in ("rs1-0", "rs1-1")] == [0, 0]


def vm_reaches_branch_by(lab: RunningLab, *instances: IPv4Address) -> None:
    eventually(lambda: gateways(lab, "vm1", BRANCH), lambda found: found == instances)


def answered_within(lab: RunningLab, node: str, target: IPv4Address) -> None:
    eventually(lambda: ping(lab.client, node, target), lambda answered: answered, what=f"{node} reaches {target}")


def branches_meet(lab: RunningLab) -> None:
    answered_within(lab, "branch-host", ONPREM_HOST)
    answered_within(lab, "onprem-host", BRANCH_HOST)
    answered_within(lab, "vm1", BRANCH_HOST)


@contextmanager
def powered_off(lab: RunningLab) -> Iterator[None]:
    """An instance of the VPN gateway, silently: only hold times end the sessions.

    Those of its sessions with the route server are Azure's 180 s in any lab, and until one is over the route server
    refuses the instance that came back. Here they are cut to three, too.
    """
    brisk = (f"neighbor {address} timers 1 3" for address in INSTANCES)
    configure(lab, "vpngw-0", "router bgp 65515", *brisk)
    for address in INSTANCES:
        run(lab, "vpngw-0", "vtysh", "-c", f"clear bgp {address}")
    eventually(lambda: problems(lab), lambda found: not found)
    lab.client.runtime.stop(lab.lab.name, "vpngw-0")
    yield
    lab.client.runtime.start(lab.lab.name, "vpngw-0")


@contextmanager
def impatient_arp(lab: RunningLab) -> Iterator[None]:
    """The branch asks within a second whether an instance is still there, instead of within a minute."""

    def timing(reachable: int, probe: int, retrans: int) -> None:
        change = ("ip", "ntable", "change", "name", "arp_cache", "dev", "vxlan1")
        times = ("base_reachable", str(reachable), "delay_probe", str(probe), "retrans", str(retrans))
        run(lab, "branch", *change, *times)

    timing(500, 100, 100)
    run(lab, "branch", "ip", "neigh", "flush", "dev", "vxlan1")
    yield
    timing(30000, 5000, 1000)


def branch_tunnel(lab: RunningLab, source: IPv4Address, target: IPv4Address) -> str:
    """The tunnel that the ECMP of the branch's router chooses for these packets of its host: by both addresses."""
    way = run(lab, "branch", "ip", "route", "get", str(target), "from", str(source), "iif", "eth0")
    return next(word for word in way.split() if word.startswith("vxlan"))


def branch_source(lab: RunningLab, tunnel: str, target: IPv4Address) -> IPv4Address:
    """An address of the branch whose packets to the target go by this tunnel."""
    return next(a for a in list(BRANCH.hosts())[100:] if branch_tunnel(lab, a, target) == tunnel)


@contextmanager
def speaking_as(lab: RunningLab, address: IPv4Address) -> Iterator[None]:
    """The branch's host has one more address."""
    run(lab, "branch-host", "ip", "address", "add", f"{address}/32", "dev", "eth0")
    yield
    run(lab, "branch-host", "ip", "address", "delete", f"{address}/32", "dev", "eth0")


def answered(lab: RunningLab, source: IPv4Address, target: IPv4Address) -> bool:
    argv = ("ping", "-n", "-c", "1", "-W", "1", "-I", str(source), str(target))
    return lab.client.run("branch-host", *argv).rc == 0


def ttl(lab: RunningLab, node: str, target: IPv4Address) -> int:
    """The TTL of an echo reply; it starts at 64."""
    found = re.search(r"ttl=(\d+)", run(lab, node, "ping", "-n", "-c", "1", "-W", "2", str(target)))
    assert found is not None
    return int(found[1])


def heard_by(lab: RunningLab) -> set[str]:
    """Who has learned the branch's prefix: nodes, and the route server from these peers."""
    look = LiveState(lab.lab, lab.client)
    nodes = ("vpngw-0", "vpngw-1", "ergw-0", "ergw-1", "circuit1-0", "circuit1-1", "onprem")
    heard = {node for node in nodes if any(path.prefix == BRANCH for path in look.bgp(node).paths)}
    for peer, rows in look.state.learned["rs1"].items():
        heard |= {f"rs1 from {peer}" for instance in rows.values() for r in instance if r["network"] == str(BRANCH)}
    return heard


def test_what_of_the_ttl_gateways_take(static: RunningLab) -> None:
    """A VPN gateway takes nothing, an ExpressRoute gateway one of what comes by a circuit, and it does not answer. The
    rest is what routers take: those of the branch and of on-premises, and the circuit's."""
    assert ttl(static, "branch-host", VM1) == 64 - 1
    assert ttl(static, "vm1", ONPREM_HOST) == 64 - 3
    assert ttl(static, "branch-host", ONPREM_HOST) == 64 - 4
    router, circuit, *beyond = traceroute(static.client, "onprem-host", VM1)
    assert circuit is not None
    assert owners(static.lab)[circuit] in static.lab.azure.edge_router
    assert (router, beyond) == (ONPREM_ROUTER, [None, VM1])
    assert traceroute(static.client, "branch-host", VM1) == [BRANCH_ROUTER, VM1]
    assert traceroute(static.client, "vm1", BRANCH_HOST) == [BRANCH_ROUTER, BRANCH_HOST]
    _, circuit, *beyond = traceroute(static.client, "branch-host", ONPREM_HOST)
    assert circuit in {line.edge for gateway in static.lab.gateways for line in gateway.lines}
    assert beyond == [ONPREM_ROUTER, ONPREM_HOST]


def test_branch_to_branch_is_what_joins_the_branches(static: RunningLab) -> None:
    """Without it machines have both branches, and neither branch the other [static-prefixes]."""
    static.client.change(SetRouteServerSettings("rs1", False))
    eventually(lambda: gateways(static, "onprem", BRANCH), lambda found: found is None)
    assert not ping(static.client, "branch-host", ONPREM_HOST)
    assert not ping(static.client, "onprem-host", BRANCH_HOST)
    for target in (ONPREM_HOST, BRANCH_HOST):
        reaches(static.client, "vm1", target)
    assert gateways(static, "vm1", BRANCH) == (ONE, OTHER)
    static.client.change(SetRouteServerSettings("rs1", True))
    branches_meet(static)


def test_what_another_route_server_relayed_passes_only_without_one(static: RunningLab) -> None:
    """On-premises marks its prefix as route servers mark what they relay. What a gateway has from its circuit already
    is judged again when branch-to-branch changes [circuit-relay-filter]."""

    def vm1_has_onprem(yes: bool) -> None:
        eventually(lambda: gateways(static, "vm1", ONPREM) is not None, lambda found: found == yes)

    neighbours = [f"neighbor {edge} route-map relayed out" for edge in ("192.168.34.18", "192.168.34.22")]
    bgp = ("router bgp 65020", "address-family ipv4 unicast")
    configure(static, "onprem", "route-map relayed permit 10", "set community 65517:65517", "exit", *bgp, *neighbours)
    run(static, "onprem", "vtysh", "-c", "clear bgp * soft out")
    vm1_has_onprem(False)
    static.client.change(SetRouteServerSettings("rs1", False))
    vm1_has_onprem(True)
    static.client.change(SetRouteServerSettings("rs1", True))
    vm1_has_onprem(False)
    configure(static, "onprem", *bgp, *(f"no {each}" for each in neighbours), "exit", "exit", "no route-map relayed")
    run(static, "onprem", "vtysh", "-c", "clear bgp * soft out")
    vm1_has_onprem(True)


def test_a_silent_death_without_bgp_in_the_tunnels(static: RunningLab) -> None:
    """Azure's side turns to the other instance at once. The branch's static route keeps both, and loses what its ECMP
    brings into the dead tunnel, until nobody in there answers its ARP: VXLAN's kind of dead-peer detection."""
    dead, alive = (branch_source(static, tunnel, VM1) for tunnel in ("vxlan1", "vxlan2"))
    with speaking_as(static, dead), speaking_as(static, alive), impatient_arp(static):
        assert answered(static, dead, VM1)
        with powered_off(static):
            assert not answered(static, dead, VM1)
            assert answered(static, alive, VM1)
            vm_reaches_branch_by(static, OTHER)
            assert set(gateways(static, "branch", HUB) or ()) == {ONE, OTHER}, "nobody withdraws a static route"
            eventually(lambda: answered(static, dead, VM1), lambda yes: yes, what="its kernel leaves the dead tunnel")
            branches_meet(static)
        vm_reaches_branch_by(static, ONE, OTHER)
        branches_meet(static)
        reaches(static.client, "vpngw-0", BRANCH_ROUTER, what="the first packet out of the tunnel makes it a way again")
        assert branch_tunnel(static, dead, VM1) == "vxlan1"


def test_the_default_route_stays_in_azure_and_its_halves_do_not(bgp: RunningLab) -> None:
    """Towards the branch, that is: ExpressRoute passes all three."""
    assert DEFAULT not in kernel(bgp, "branch")
    for prefix in HALVES:
        assert set(gateways(bgp, "branch", prefix) or ()) == {ONE, OTHER}
    assert {DEFAULT, *HALVES} <= kernel(bgp, "onprem").keys()
    assert gateways(bgp, "vm1", DEFAULT) == (FIREWALL,)
    reaches(bgp.client, "onprem-host", INTERNET)
    second_hop = ("traceroute", "-n", "-q", "1", "-w", "1", "-f", "2", "-m", "2", str(BEYOND))
    assert str(FIREWALL) in run(bgp, "branch-host", *second_hop)


def test_a_range_around_the_other_branch_comes_and_goes(bgp: RunningLab) -> None:
    """Meanwhile its prefix is the virtual network's own, and no gateway advertises it to a site; then they all do."""
    eventually(lambda: set(gateways(bgp, "branch", ONPREM) or ()), lambda found: found == {ONE, OTHER})
    for ranges, tunnels in (((HUB, IPv4Network("10.1.34.0/24")), set()), ((HUB,), {ONE, OTHER})):
        bgp.client.change(SetAddressSpace("hub", ranges))
        eventually(lambda: set(gateways(bgp, "branch", ONPREM) or ()), tunnels.__eq__)
        nothing_differs(bgp)


def test_a_silent_death_with_bgp_in_the_tunnels(bgp: RunningLab) -> None:
    with powered_off(bgp):
        vm_reaches_branch_by(bgp, OTHER)
        eventually(lambda: [gateways(bgp, "branch", p) for p in (HUB, ONPREM)], lambda found: found == [(OTHER,)] * 2)
        branches_meet(bgp)
    vm_reaches_branch_by(bgp, ONE, OTHER)
    eventually(lambda: set(gateways(bgp, "branch", ONPREM) or ()), lambda found: found == {ONE, OTHER})
    branches_meet(bgp)


def test_a_branch_that_falls_silent_is_withdrawn_everywhere(bgp: RunningLab) -> None:
    before = heard_by(bgp)
    assert before == {
        *("vpngw-0", "vpngw-1", "ergw-0", "ergw-1", "circuit1-0", "circuit1-1", "onprem"),
        *("rs1 from vpngw-0", "rs1 from vpngw-1"),
    }
    with without_bgpd(bgp, "branch"):
        eventually(lambda: [gateways(bgp, n, BRANCH) for n in ("vm1", "onprem")], lambda found: found == [None, None])
        eventually(lambda: heard_by(bgp), lambda found: found == set())
    vm_reaches_branch_by(bgp, ONE, OTHER)
    eventually(lambda: heard_by(bgp), lambda found: found == before)
    branches_meet(bgp)
