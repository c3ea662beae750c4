"""A spoke, two hubs and a circuit behind each: Azure's published tables by real FRR, and what fails in them."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest

from labkit.daemons.tables import ESTABLISHED
from labkit.operate.look.live_state import LiveState
from labkit.operate.look.probes import MAX_HOPS, ping, traceroute
from labkit.pytest import Boot, RunningLab
from tests.e2e.by_the_rules import tables as speakers_tables
from tests.e2e.chaos.rules import expected
from tests.e2e.in_lab import (
    configure,
    gateways,
    kernel,
    nothing_differs,
    problems,
    reaches,
    traced,
    wait_until_programmed,
    without_bgpd,
)
from tests.e2e.test_whatif import do, exports, foretold
from tests.e2e.waiting import SOON, eventually
from tests.unit.azure.test_captures import TestDualExpressRoute as FabE
from tests.unit.azure.test_captures import listing, sent
from tests.unit.azure.test_gateway_captures import TestDualExpressRoute as FabEWithGateways
from tests.unit.azure.test_gateway_captures import shown

ONPREM1, ONPREM2 = IPv4Network("10.2.13.0/25"), IPv4Network("10.2.20.0/25")
ONPREM1_HOST, ONPREM2_HOST = IPv4Address("10.2.13.10"), IPv4Address("10.2.20.10")
CSR1, CSR2, CSR2_OVERLAY = IPv4Address("10.101.3.10"), IPv4Address("10.102.3.10"), IPv4Address("100.64.0.2")
VM14, VM24 = IPv4Address("10.101.4.10"), IPv4Address("10.102.4.10")
Table = dict[str, str]


NAME = "dual-homed-expressroute"


@pytest.fixture
def lab(labkit_lab: Boot) -> RunningLab:
    """All proofs of the lab hold, or it would not be here; so it is with its variants."""
    return labkit_lab(NAME)


@pytest.fixture
def without_override(labkit_lab: Boot) -> RunningLab:
    return labkit_lab(NAME, variant="no-as-override")


@pytest.fixture
def overlay(labkit_lab: Boot) -> RunningLab:
    return labkit_lab(NAME, variant="overlay")


def tables(lab: RunningLab, listing_name: str, server: str, peer: str) -> list[Table]:
    """The AS paths by prefix that the instances of a route server have from a peer, or advertise to it."""
    found = lab.client.get("state")[listing_name][server][peer]
    return [{row["network"]: row["asPath"] for row in found[f"RouteServiceRole_IN_{i}"]} for i in (0, 1)]


def heard(lab: RunningLab, site: str) -> Table:
    """What a site's router has from its circuit."""
    return {str(p.prefix): "-".join(map(str, p.as_path)) for p in LiveState(lab.lab, lab.client).bgp(site).paths}


@pytest.mark.parametrize(("csr", "published"), [("csr1", FabE.CSR1_SENDS), ("csr2", FabE.CSR2_SENDS)])
def test_what_the_spoke_receives_is_what_was_published(lab: RunningLab, csr: str, published: str) -> None:
    """Every 65515 that an appliance got comes back as its own ASN, and a hub's route server receives the same."""
    hub = {"csr1": "rs1", "csr2": "rs2"}[csr]
    for server in ("rs0", hub):
        assert tables(lab, "learned", server, csr) == [listing(published)] * 2


def test_what_the_spoke_advertises_is_what_was_published(lab: RunningLab) -> None:
    for csr in (FabE.CSR1, FabE.CSR2):
        assert tables(lab, "advertised", "rs0", csr.name) == [sent(FabE().lab(), FabE.RS0, csr, FabE.AT_RS0)] * 2


def test_an_only_instance_gets_its_own_routes_back(lab: RunningLab) -> None:
    """FRR advertises a path to its sender even where no other neighbour gets it; seen first with an instance off."""
    first, second = (f"neighbor {address}" for address in lab.lab.azure.route_server["rs0"].instances)
    configure(lab, "csr1", "router bgp 65001", f"{first} shutdown", f"{second} shutdown")
    try:
        eventually(lambda: tables(lab, "learned", "rs0", "csr1"), lambda rows: rows == [{}, {}])
        configure(lab, "csr1", "router bgp 65001", f"no {first} shutdown")
        wanted = listing(FabE.CSR1_SENDS)
        eventually(lambda: tables(lab, "learned", "rs0", "csr1"), lambda rows: rows == [wanted, {}])
        # What the model makes of it, given the same sessions.
        one = expected(lab.lab, lab.lab.azure, (), {}, frozenset({frozenset({"csr1", "rs0-1"})}))
        rows = speakers_tables(one.speakers)["learned"]["rs0"]["csr1"]["RouteServiceRole_IN_0"]
        assert {row["network"]: row["asPath"] for row in rows} == wanted
    finally:
        configure(lab, "csr1", "router bgp 65001", f"no {first} shutdown", f"no {second} shutdown")
    eventually(lambda: tables(lab, "learned", "rs0", "csr1"), lambda rows: rows == [wanted] * 2)


def test_both_edges_have_the_same_eight_prefixes(lab: RunningLab) -> None:
    azure = shown(FabEWithGateways().speakers().advertised_to_customer("circuit1"))
    assert len(azure) == 8
    assert set(azure.values()) == {"12076"}
    assert heard(lab, "onprem1") == heard(lab, "onprem2") == azure


def test_from_hub_to_hub_packets_circle_until_their_ttl_ends(lab: RunningLab) -> None:
    """The fabric brings what the appliance sends back to it: its NIC has the route that it advertised itself."""
    for target in (VM24, ONPREM2_HOST):
        assert traceroute(lab.client, "vm14", target) == [CSR1] * MAX_HOPS
    assert "Time to live exceeded" in lab.client.run("vm14", "ping", "-n", "-c", "1", "-W", "2", str(VM24)).stdout


def test_a_circuit_fails(lab: RunningLab) -> None:
    """The spoke loses what is behind it and nothing else, and no appliance keeps it alive as its own echo."""

    def ways() -> list[tuple[IPv4Address, ...] | None]:
        return [gateways(lab, "vm02", prefix) for prefix in (ONPREM1, ONPREM2)]

    def echoes() -> list[str]:
        both = tables(lab, "learned", "rs0", "csr1") + tables(lab, "learned", "rs0", "csr2")
        return [table[str(ONPREM1)] for table in both if str(ONPREM1) in table]

    with without_bgpd(lab, "circuit1"):
        eventually(ways, lambda found: found == [None, (CSR2,)])
        eventually(echoes, lambda found: found == [])
        wait_until_programmed(lab)
        reaches(lab.client, "vm02", ONPREM2_HOST)
        assert not ping(lab.client, "vm02", ONPREM1_HOST)
    eventually(ways, lambda found: found == [(CSR1,), (CSR2,)])
    assert problems(lab, SOON) == []


def test_what_nvas_pass_on_is_foretold(lab: RunningLab) -> None:
    """Three route servers receive routes through two NVAs alone, and on-premises through circuits: all follow."""
    try:
        for server in ("rs1", "rs0"):
            lost = foretold(lab, f"route-server update {server} --branch-to-branch off")
            back = foretold(lab, f"route-server update {server} --branch-to-branch on")
            assert lost.nics
            assert [(t.to, t.by, t.prefix, t.after, t.before) for t in lost.advertised] == [
                (t.to, t.by, t.prefix, t.before, t.after) for t in back.advertised
            ], "what was foretold of routers outside is what the way back starts from"
        rule = "{to: [rs0, rs1], set: {prepend: 3, as_override: true}}"
        longer = foretold(lab, "nva prepend csr1 3", lambda: exports(lab, "csr1", rule))
        assert ("csr2", "rs0", "10.2.13.0/25") in {(t.to, t.by, str(t.prefix)) for t in longer.advertised}
        # It goes along with what is foretold next.
        foretold(lab, "route-server update rs1 --branch-to-branch off")
        foretold(lab, "route-server update rs1 --branch-to-branch on")
    finally:
        do(lab, "reset")
    nothing_differs(lab)
    assert problems(lab, SOON) == []


def test_sessions_are_up_and_nothing_gets_there(without_override: RunningLab) -> None:
    """The appliances have it all and can't pass it on: no route server takes what has its own ASN in the path."""
    lab = without_override
    status = lab.client.get("status")
    assert {s["state"] for s in (*status["sessions"], *status["gateways"])} == {ESTABLISHED}
    for node in ("csr1", "csr2", "circuit1", "circuit2", "onprem1", "onprem2"):
        assert set(LiveState(lab.lab, lab.client).bgp(node).states.values()) == {ESTABLISHED}
    assert ONPREM1 in kernel(lab, "csr1")
    assert ONPREM2 in kernel(lab, "csr2")
    assert not {ONPREM1, ONPREM2} & kernel(lab, "vm02").keys()
    for csr, published in ((FabE.CSR1, FabE.CSR1_SENDS), (FabE.CSR2, FabE.CSR2_SENDS)):
        its_own = {prefix: path for prefix, path in listing(published).items() if path == str(csr.asn)}
        assert tables(lab, "learned", "rs0", csr.name) == [its_own] * 2
    assert heard(lab, "onprem1") == {"10.101.0.0/16": "12076", "10.101.3.0/24": "12076", "10.101.4.0/24": "12076"}


def test_the_overlay_ends_the_loop(overlay: RunningLab) -> None:
    """VXLAN's packets are between the appliances' own addresses, and nobody but Azure's peering decides on these."""
    assert traceroute(overlay.client, "vm14", VM24) == [CSR1, CSR2_OVERLAY, VM24]
    way = traceroute(overlay.client, "vm14", ONPREM2_HOST)
    assert way[:2] == [CSR1, CSR2_OVERLAY]
    assert way[-1] == ONPREM2_HOST
    assert len(way) == 5, "the circuit and the site are routers; what leaves by a circuit takes no TTL in the gateway"


def test_a_trace_shows_what_carries_the_overlay(overlay: RunningLab) -> None:
    """The packet between the appliances goes by what csr1's NIC has for csr2's address: the peering."""
    found = traced(overlay, "vm14", "vm24")
    assert [step.place for step in found.steps] == ["vm14", "vnet1", "csr1", "vnet1", "csr2", "vnet2", "vm24"]
    in_tunnel, carried = found.steps[2:4]
    assert in_tunnel.why == "kernel: proto bgp; in the overlay"
    assert (carried.decision, carried.why) == (
        "10.102.0.0/16 → csr2",
        "in the underlay: effective route of csr1's NIC, source Default",
    )
