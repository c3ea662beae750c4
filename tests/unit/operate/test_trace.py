"""The predicted way of a packet, from tables that are written down here: no lab runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from labkit.azure.forwarding import Disposition, Packet
from labkit.azure.model import (
    BgpPeer,
    EffectiveRoute,
    HubRoutingPreference,
    InstanceId,
    LearnedRoute,
    NextHopType,
    PathAttributes,
    RouteSource,
    RouteState,
)
from labkit.azure.rules.decision import Decision
from labkit.azure.rules.selection import Loss
from labkit.feed.state import PlatformState
from labkit.feed.status import PlatformStatus
from labkit.lab.load import read
from labkit.lab.model import Lab
from labkit.operate.look.client import LabClient
from labkit.operate.look.kernel import KernelHop
from labkit.operate.look.live_state import LiveState
from labkit.operate.look.probes import MAX_HOPS
from labkit.operate.records.record import Record
from labkit.operate.trace.choice import USER_FIRST, Beaten, Candidate, Choice, nic_choice
from labkit.operate.trace.explain import Explainer, TraceLine
from labkit.operate.trace.run import Seen, Trace
from labkit.operate.trace.tables import BLACKHOLE, NO_ROUTE, KernelRoute, ObservedTables
from labkit.predict.walk.steps import RouterStep
from labkit.predict.walk.walker import Walker
from labkit.resources import topologies
from labkit.runtimes.protocol import Completed
from labkit.runtimes.select import SANDBOX

LAB = read(topologies() / "expressroute-vpn" / "lab.yml").lab
BRANCH, VM1 = IPv4Address("10.200.0.10"), IPv4Address("10.100.1.4")
VPN0, EDGE = IPv4Address("10.100.0.196"), IPv4Address("10.100.0.199")


class WrittenLook(LiveState):
    """A look at a lab that does not run."""

    @property
    def state(self) -> PlatformState:
        return PlatformState(self.lab.azure, (), PlatformStatus(self.lab.name), {}, {}, {}, {}, {})

    @property
    def off(self) -> frozenset[str]:
        return frozenset()


class Written(ObservedTables):
    """Tables by node: what its kernel has, and where its NIC leads."""

    def __init__(
        self, ways: Mapping[str, KernelRoute], nics: Mapping[str, tuple[str, list[str]]], lab: Lab = LAB
    ) -> None:
        super().__init__(WrittenLook(lab, LabClient(Record(lab.name, SANDBOX, "", "", 0.0))))
        self._ways = ways
        self._nics = nics

    def _kernel(
        self, node: str, _destination: IPv4Address, _source: IPv4Address | None, inbound: bool = False
    ) -> KernelRoute:
        return replace(into_network("static"), prefix="0.0.0.0/0") if inbound else self._ways[node]

    def _source(self, _node: str, _destination: IPv4Address) -> IPv4Address | None:
        return None

    def _bgp(self, _node: str, _prefix: str) -> tuple[Candidate, ...]:
        return ()

    def _decision(self, nic: str, _destination: IPv4Address) -> Decision:
        kind, hops = self._nics[nic]
        return document(row("VirtualNetworkGateway", "10.200.0.0/24", kind, *hops))


def row(source: str, prefix: str, kind: str, *hops: str, state: str = "Active") -> EffectiveRoute:
    return EffectiveRoute(
        RouteSource(source),
        RouteState(state),
        IPv4Network(prefix),
        NextHopType(kind),
        tuple(map(IPv4Address, hops)),
    )


def document(
    *rows: EffectiveRoute, paths: tuple[tuple[LearnedRoute, Loss | None], ...] = (), left_out: tuple[str, ...] = ()
) -> Decision:
    return Decision(
        rows, paths, HubRoutingPreference.EXPRESSROUTE, tuple(map(IPv4Network, left_out)), InstanceId("rs1", 1)
    )


def path(peer: str, next_hop: str, as_path: tuple[int, ...]) -> LearnedRoute:
    address = IPv4Address(next_hop)
    return LearnedRoute(IPv4Network("10.2.0.0/16"), PathAttributes(address, as_path), BgpPeer(peer, 65001, address))


def into_network(protocol: str = "bgp") -> KernelRoute:
    return KernelRoute("unicast", "10.200.0.0/24", (KernelHop("eth0", IPv4Address("10.100.0.193")),), protocol)


def by(address: str, device: str = "vxlan1") -> KernelRoute:
    return KernelRoute("unicast", "10.200.0.0/24", (KernelHop(device, IPv4Address(address)),), "static")


HERE = KernelRoute("unicast", "10.200.0.0/24", (KernelHop("eth0"),), "kernel")
GATEWAY = "VirtualNetworkGateway"
TO_VPN0 = (GATEWAY, [str(VPN0)])


def walked(
    source: str,
    ways: Mapping[str, KernelRoute],
    nics: Mapping[str, tuple[str, list[str]]],
    *,
    target: IPv4Address = BRANCH,
    real: Sequence[IPv4Address] = (),
    lab: Lab = LAB,
) -> tuple[Trace, list[TraceLine]]:
    tables = Written(ways, nics, lab)
    (walk,) = Walker(lab, tables, Seen(lab, tables, real), MAX_HOPS).walks(source, target)
    lines = tuple(Explainer(lab, tables).lines(walk))
    return Trace(lines, walk.hops, tuple(real), walk.disposition), list(lines)


def hops(walk: Trace) -> list[str]:
    return [str(hop) for hop in walk.predicted]


def test_from_network_to_tunnel_a_gateway_is_no_hop() -> None:
    ways = {"vm1": into_network("65"), "vpngw-0": by("10.200.0.1"), "branch": HERE}
    walk, steps = walked("vm1", ways, {"vm1": TO_VPN0})
    assert (hops(walk), walk.verdict) == (["10.200.0.1", "10.200.0.10"], "delivered")
    assert [step.why.endswith("does not decrement the TTL") for step in steps if step.place == "vpngw-0"] == [True]


def test_what_comes_by_a_circuit_has_a_hop_in_the_gateway_that_does_not_answer() -> None:
    """The fabric decides by GatewaySubnet's effective routes; the daemon's route in the main table is not asked."""
    ways = {
        "circuit1-0": by("10.100.0.204", "eth1"),
        "ergw-0": by("10.200.0.77", "eth1"),
        "vpngw-0": by("10.200.0.1"),
        "branch": HERE,
    }
    walk, steps = walked("circuit1-0", ways, {"ergw-0": TO_VPN0})
    assert (hops(walk), walk.verdict) == (["None", "10.200.0.1", "10.200.0.10"], "delivered")
    (inside,) = (step for step in steps if step.place == "ergw-0")
    assert inside.decision == "0.0.0.0/0 → 10.100.0.193"
    assert inside.why.endswith("decrements the TTL, but does not answer")


def test_what_comes_by_a_tunnel_has_no_hop_in_the_gateway() -> None:
    ways = {"branch": by(str(VPN0)), "vpngw-0": by("10.200.0.77"), "vpngw-1": by("10.200.0.1")}
    target = IPv4Address("10.100.1.4")
    walk, steps = walked("branch", ways, {"vpngw-0": ("VnetLocal", [])}, target=target)
    assert (hops(walk), walk.verdict) == (["10.100.1.4"], "delivered")
    assert [step.why.endswith("does not decrement the TTL") for step in steps if step.place == "vpngw-0"] == [True]


def test_from_network_to_network_a_gateway_is_a_hop() -> None:
    """It gives the TTL back only between a tunnel or circuit and the network: a loop must end."""
    ways = {"vm1": into_network("65"), "vpngw-0": into_network(), "vpngw-1": by("10.200.0.1"), "branch": HERE}
    walk, steps = walked("vm1", ways, {"vm1": TO_VPN0, "vpngw-0": (GATEWAY, ["10.100.0.197"])})
    assert hops(walk) == [str(VPN0), "10.200.0.1", "10.200.0.10"]
    assert [step.place for step in steps if "does not decrement the TTL" in step.why] == ["vpngw-1"]


def test_from_line_to_line_a_gateway_is_one_hop_that_does_not_answer() -> None:
    """What goes out by the circuit takes no TTL."""
    (link,) = (link for link in LAB.wan_links if link.router == "circuit1-0")
    to_circuit = by(str(link.router_address.ip), "eth1")
    ways = {link.site: to_circuit, "circuit1-0": by("10.100.0.204", "eth1"), "ergw-0": by(str(EDGE), "eth1")}
    walk, _ = walked(link.site, ways, {"ergw-0": (GATEWAY, [str(EDGE)])})
    assert (walk.verdict, walk.disposition) == ("loops until its TTL expires", Disposition.LOOP)
    assert hops(walk)[1:4] == ["None", str(EDGE), "None"]


def test_a_packet_that_comes_back_to_its_sender_is_dropped_there() -> None:
    ways = {"circuit1-0": by("10.100.0.204", "eth1"), "ergw-0": by(str(EDGE), "eth1")}
    walk, steps = walked("circuit1-0", ways, {"ergw-0": (GATEWAY, [str(EDGE)])})
    assert (walk.verdict, walk.disposition, hops(walk)) == ("dropped", Disposition.OWN_SOURCE, ["None"])
    assert steps[-1].why == "the packet comes back to the node whose source address it has"


def test_a_circle_is_shown_once() -> None:
    ways = {"vm1": into_network("65"), "vpngw-0": into_network(), "vpngw-1": into_network()}
    nics = {"vm1": TO_VPN0, "vpngw-0": (GATEWAY, ["10.100.0.197"]), "vpngw-1": TO_VPN0}
    walk, steps = walked("vm1", ways, nics)
    assert hops(walk) == [str(VPN0), "10.100.0.197"] * 6
    assert walk.verdict == "loops until its TTL expires"
    assert [step.place for step in steps] == ["vm1", "hub", "vpngw-0", "hub", "vpngw-1", "hub", "vpngw-0"]
    assert (steps[-1].decision, steps[-1].why) == (
        "loops",
        "from here on the path repeats until the TTL expires",
    )


def test_a_circle_of_equal_ways_is_followed_by_who_answers() -> None:
    """A site's edge answers from its address towards the source, which is not the one that the fabric brings to."""
    ways = {"vm1": into_network("65"), "vpngw-0": into_network(), "vpngw-1": into_network()}
    both = (GATEWAY, [str(VPN0), "10.100.0.197"])
    nics = {"vm1": both, "vpngw-0": both, "vpngw-1": both}
    public = {name: str(address) for name, address in LAB.internet.public.items()} if LAB.internet is not None else {}
    real = [public["vpngw-1"], str(VPN0), public["vpngw-0"], *[public["vpngw-1"]] * 9]
    walk, steps = walked("vm1", ways, nics, real=[IPv4Address(hop) for hop in real])
    took = ["10.100.0.197", str(VPN0), str(VPN0), *["10.100.0.197"] * 9]
    assert hops(walk) == took
    assert [step.decision for step in steps].count("loops") == 1
    assert steps[-1].decision == "loops"
    assert [step.place for step in steps if step.decision != "loops"] == [
        "vm1",
        "hub",
        "vpngw-1",
        "hub",
        "vpngw-0",
        "hub",
    ]


@pytest.mark.parametrize(
    ("way", "seen", "why"),
    [
        (KernelRoute(NO_ROUTE), [str(VPN0)], "its kernel has no route"),
        (KernelRoute(BLACKHOLE, "10.200.0.0/24", protocol="static"), [], "a black hole in its kernel, by "),
        (
            KernelRoute("prohibit", "10.200.0.0/24", protocol="bgp"),
            [str(VPN0)],
            "a route that rejects it in its kernel, by ",
        ),
    ],
)
def test_a_gateway_without_a_route_answers_so_and_a_black_hole_answers_nothing(
    way: KernelRoute, seen: list[str], why: str
) -> None:
    walk, steps = walked("vm1", {"vm1": into_network("65"), "vpngw-0": way}, {"vm1": TO_VPN0})
    assert (hops(walk), walk.verdict) == (seen, "dropped")
    assert steps[-1].why.startswith(why)


def test_a_black_hole_of_a_nic() -> None:
    walk, steps = walked("vm1", {"vm1": into_network("65")}, {"vm1": ("None", [])})
    assert (hops(walk), walk.verdict) == ([], "dropped")
    assert steps[-1].why.startswith("a black hole: ")
    assert steps[-1].choice is not None
    assert [*steps[-1].choice.lines()][-1].startswith("next hop type None, a black hole")


@pytest.mark.parametrize("kind", ["VnetLocal", "VNetPeering", "VNetGlobalPeering"])
def test_a_sites_address_is_not_in_the_network_whose_range_holds_it(kind: str) -> None:
    walk, steps = walked("vm1", {"vm1": into_network("65")}, {"vm1": (kind, [])})
    assert (hops(walk), walk.verdict) == ([], "dropped")
    assert "no node in a virtual network has 10.200.0.10" in steps[-1].why


def test_an_address_that_nobody_has_on_a_sites_lan() -> None:
    walk, steps = walked("branch", {"branch": HERE}, {}, target=IPv4Address("10.200.0.77"))
    assert (hops(walk), walk.verdict, len(steps)) == ([], "dropped", 1)
    assert "no node there has 10.200.0.77" in steps[0].why


def test_a_machine_reaches_itself_in_one_hop() -> None:
    walk, steps = walked("vm1", {}, {}, target=VM1, real=(VM1,))
    assert [(step.place, step.decision) for step in steps] == [("vm1", "delivered")]
    assert walk.agrees


@pytest.mark.parametrize(("kind", "verdict"), [("VNetGlobalPeering", "delivered"), ("None", "dropped")])
def test_an_overlay_is_carried_by_what_the_nic_has_for_its_far_end(kind: str, verdict: str) -> None:
    lab = read(topologies() / "dual-homed-expressroute" / "lab.yml", variant="overlay").lab
    far = by("100.64.0.2")
    address = IPv4Address("100.64.0.2")
    walk, steps = walked("csr1", {"csr1": far}, {"csr1": (kind, [])}, target=address, lab=lab)
    assert walk.verdict == verdict
    assert steps[0].why.endswith("; in the overlay")
    assert steps[1].why.startswith("in the underlay: effective route of csr1's NIC")


# Flows that are lost on other ways.


@pytest.mark.parametrize(
    ("ends", "predicted", "real", "from_hop", "agrees"),
    [
        (Disposition.DELIVERED, "ab", "ab", 0, True),
        (Disposition.DELIVERED, "ab", "-b", 0, True),
        (Disposition.DELIVERED, "ab", "-b", 1, False),
        (Disposition.DELIVERED, "ab", "-b", None, False),
        (Disposition.DELIVERED, "ab", "a--b", 1, True),  # the first packet that gets there is a later one
        (Disposition.DELIVERED, "ab", "a", 1, True),
        (Disposition.DELIVERED, "ab", "cb", 0, False),
        (Disposition.LOOP, "aaaa", "-a-", 0, True),
        (Disposition.LOOP, "aaaa", "-a-", 2, False),
        (Disposition.NOT_FORWARDED, "a", "ab", 0, False),
        (Disposition.NOT_FORWARDED, "", "a", 0, False),
    ],
)
def test_each_packet_is_a_flow_of_its_own(
    ends: Disposition, predicted: str, real: str, from_hop: int | None, agrees: bool
) -> None:
    address = {each: IPv4Address(f"10.1.1.{ord(each)}") for each in "abc"}
    lost = () if from_hop is None else ((from_hop, "hub: dropped"),)
    seen = tuple(address.get(each) for each in real)
    found = Trace((), tuple(address[each] for each in predicted), seen, ends, lost=lost)
    assert found.agrees is agrees


@pytest.mark.parametrize(("real", "agrees"), [("abc", True), ("ab", True), ("a", False), ("", False), ("cb", False)])
def test_who_answers_that_there_is_nobody_is_one_of_the_last_two(real: str, agrees: bool) -> None:
    address = {each: IPv4Address(f"10.1.1.{ord(each)}") for each in "abc"}
    seen = tuple(address[each] for each in real)
    nobody = IPv4Address("10.9.9.9")
    found = Trace((), tuple(address.values()), seen, Disposition.UNKNOWN_DESTINATION, nobodys=nobody)
    assert found.agrees is agrees


# Why a route won.


def test_the_reasons_of_a_nic() -> None:
    paths = (
        (path("nva1", "10.1.1.4", (65001,)), None),
        (path("nva2", "10.1.1.5", (65001,)), None),
        (path("nva3", "10.1.1.6", (65003, 65003)), Loss.AS_PATH),
        (path("vpn-0", "10.1.9.4", ()), Loss.PREFERENCE),
    )
    rows = (
        row(GATEWAY, "10.2.0.0/16", GATEWAY, "10.1.1.4", "10.1.1.5"),
        row("Default", "10.0.0.0/8", "None"),
        row(GATEWAY, "0.0.0.0/0", GATEWAY, "10.1.2.4"),
    )
    found = nic_choice("vm1", document(*rows, paths=paths, left_out=("10.2.1.0/24",)))
    assert found is not None
    assert (found.table, found.prefix, found.by) == (
        "effective routes of vm1's NIC, with BGP from rs1-1",
        "10.2.0.0/16",
        "BGP",
    )
    assert [*found.lines()] == [
        "BGP from nva1 (next hop 10.1.1.4), nva2 (next hop 10.1.1.5), path 65001 (1 ASN)",
        "not from nva3 (next hop 10.1.1.6), path 65003-65003 (2 ASNs): its AS path is longer",
        "not from vpn-0 (next hop 10.1.9.4), empty path: the hub routing preference prefers others (ExpressRoute)",
        "ECMP: flows share 2 next hops",
        "over 10.0.0.0/8 (system, None), 0.0.0.0/0 (BGP, 10.1.2.4): the longest prefix wins",
        "over 10.2.1.0/24 (BGP): BGP inside a virtual network's own range is not programmed",
    ]
    assert found.json()["ecmp"] is True
    assert [path["because"] for path in found.json()["paths"]][:2] == ["", ""]


def test_of_equal_length_a_user_defined_route_wins() -> None:
    rows = (
        row("User", "0.0.0.0/0", "Internet"),
        row(GATEWAY, "0.0.0.0/0", GATEWAY, "10.1.2.4", state="Invalid"),
    )
    found = nic_choice("vm1", document(*rows))
    assert found is not None
    assert found.by == "user-defined"
    assert [*found.lines()] == [f"over 0.0.0.0/0 (BGP, 10.1.2.4): {USER_FIRST}"]


def test_no_route_is_no_choice() -> None:
    assert nic_choice("vm1", document()) is None


def test_a_choice_without_anything_to_print() -> None:
    assert [*Choice("kernel of vm1", "10.1.0.0/16", "agent", 0).lines()] == []
    lines = Choice("kernel of n", "10.1.0.0/16", "proto bgp", 1, (), (Beaten("0.0.0.0/0", "", "so"),)).lines()
    assert [*lines] == ["over 0.0.0.0/0: so"]


class Printing(LabClient):
    """A lab in which every command prints the same."""

    def __init__(self, lab: Lab, printed: str, rc: int) -> None:
        super().__init__(Record(lab.name, SANDBOX, "", "", 0.0))
        self._done = Completed(rc, printed, "")

    def run(self, node: str, *argv: str, timeout: float = 30.0) -> Completed:  # noqa: ARG002
        return self._done


VENDOR = read(Path(__file__).parents[2] / "e2e" / "labs" / "vendor.lab.yml").lab


@pytest.mark.parametrize(
    ("printed", "rc", "way"),
    [
        ("", 127, "not known"),
        ("ip: invalid option -- 'j'", 1, "not known"),
        ("default via 10.1.1.1 dev eth0", 0, "not known"),
        ('[{"dst": "default", "gateway": "10.1.1.1", "dev": "eth0"}]', 0, "0.0.0.0/0 → 10.1.1.1"),
    ],
)
def test_an_image_whose_ip_has_no_json(printed: str, rc: int, way: str) -> None:
    """A trace ends there in clear words, and what a traceroute shows from there on is no difference."""
    tables = ObservedTables(WrittenLook(VENDOR, Printing(VENDOR, printed, rc)))
    target, known = IPv4Address("10.250.0.10"), (VENDOR.azure.nic["fw"].address,)
    packet = Packet(VENDOR.azure.nic["vm1"].address, target)
    route = tables.route("fw", packet)
    assert (route.drops is Disposition.UNREAD) is (way == "not known")
    line = Explainer(VENDOR, tables).line(RouterStep("fw", known[0], packet, route, Disposition.UNREAD))
    assert line.decision.startswith(way)
    assert tables.source("fw", target) is None
    ended = Trace((line,), known, (*known, target), Disposition.UNREAD)
    assert (ended.agrees, ended.verdict) == (True, "not known from there on")
    assert not Trace((line,), known, (target,), Disposition.UNREAD).agrees
