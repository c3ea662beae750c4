"""What the fabric does with a packet: the rule's every disposition, and the table of them in the docs."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.azure.flows import GRE, IP_IN_IP, TCP, UDP, Flow, backend, chosen, jhash
from labkit.azure.forwarding import Backend, Disposition, Packet, Surroundings, Verdict, forward
from labkit.azure.model import Azure, EffectiveRoute, NextHopType, Nic, Peering, RouteSource, RouteState, VirtualNetwork
from tests.unit.azure.builders import addr, net

DOCS = Path(__file__).parents[3] / "docs" / "forwarding.md"

HUB, SPOKE = VirtualNetwork("hub", (net("10.1.0.0/16"),)), VirtualNetwork("spoke", (net("10.2.0.0/16"),))


def azure(*, allowed: bool = True) -> Azure:
    both = (Peering("hub", "spoke", allow_forwarded_traffic=allowed), Peering("spoke", "hub"))
    return Azure((HUB, SPOKE), both)


def nic(name: str, network: str, address: str, *, ip_forwarding: bool = False) -> Nic:
    return Nic(
        name,
        name,
        "eth0",
        network,
        "s",
        addr(address),
        f"02:00:00:00:00:{int(addr(address)) & 0xFF:02x}",
        ip_forwarding,
    )


VM = nic("vm", "hub", "10.1.1.4")
NVA1, NVA2 = (nic(f"nva{i}", "hub", f"10.1.1.{10 + i}", ip_forwarding=True) for i in (1, 2))
PLAIN = nic("plain", "hub", "10.1.1.20")
FAR = nic("far", "spoke", "10.2.1.4")
EDGE = nic("gw-0", "hub", "10.1.2.4", ip_forwarding=True)
FRONTEND = addr("10.1.1.100")
AROUND = Surroundings(
    {n.address: n for n in (VM, NVA1, NVA2, PLAIN, FAR, EDGE)} | {addr("10.9.9.9"): EDGE},
    {FRONTEND: (Backend(NVA1.address), Backend(NVA2.address, up=False))},
    internet=True,
    seed=7,
)
OUTSIDE = addr("192.0.2.1")


def row(kind: NextHopType, *hops: str) -> EffectiveRoute:
    return EffectiveRoute(RouteSource.USER, RouteState.ACTIVE, net("0.0.0.0/0"), kind, tuple(map(addr, hops)))


VIA, LOCAL = NextHopType.VIRTUAL_APPLIANCE, NextHopType.VNET_LOCAL


NOBODY, ABROAD = addr("10.1.1.99"), addr("10.9.9.9")


def at(disposition: Disposition, hop: Nic | IPv4Address | None = None) -> Verdict:
    """What is brought to a NIC at its own address, or led to an address that nobody has."""
    return Verdict(disposition, hop.address, hop) if isinstance(hop, Nic) else Verdict(disposition, hop)


@pytest.mark.parametrize(
    ("route", "destination", "verdict"),
    [
        (row(LOCAL), PLAIN.address, at(Disposition.DELIVERED, PLAIN)),
        (row(LOCAL), NOBODY, at(Disposition.UNKNOWN_DESTINATION, NOBODY)),
        (row(LOCAL), FRONTEND, at(Disposition.DELIVERED, NVA1)),
        (row(VIA, "10.1.1.100"), FRONTEND, at(Disposition.DELIVERED, NVA1)),
        (row(NextHopType.VNET_PEERING), FAR.address, at(Disposition.DELIVERED, FAR)),
        (row(VIA, "10.1.1.11"), OUTSIDE, at(Disposition.FORWARDED, NVA1)),
        (row(VIA, "10.1.1.20"), OUTSIDE, at(Disposition.NOT_FORWARDED, PLAIN)),
        (row(VIA, "10.1.1.20"), PLAIN.address, at(Disposition.DELIVERED, PLAIN)),
        (row(VIA, "10.1.1.99"), OUTSIDE, at(Disposition.UNKNOWN_DESTINATION, NOBODY)),
        (row(VIA, "10.1.1.100"), OUTSIDE, at(Disposition.FORWARDED, NVA1)),
        (row(NextHopType.VIRTUAL_NETWORK_GATEWAY, "10.9.9.9"), OUTSIDE, Verdict(Disposition.FORWARDED, ABROAD, EDGE)),
        (row(NextHopType.INTERNET), OUTSIDE, at(Disposition.INTERNET)),
        (row(NextHopType.NONE), OUTSIDE, at(Disposition.NONE)),
        (None, OUTSIDE, at(Disposition.NO_ROUTE)),
    ],
)
def test_where_a_route_leads(route: EffectiveRoute | None, destination: IPv4Address, verdict: Verdict) -> None:
    assert forward(azure(), AROUND, VM, route, Packet(VM.address, destination)) == (verdict,)


@pytest.mark.parametrize(
    ("sender", "packet", "disposition"),
    [
        (VM, Packet(OUTSIDE, PLAIN.address), Disposition.FOREIGN_SOURCE),
        (NVA1, Packet(OUTSIDE, PLAIN.address), Disposition.DELIVERED),
        (VM, Packet(VM.address, PLAIN.address, Flow(GRE)), Disposition.PROTOCOL),
        (NVA1, Packet(OUTSIDE, PLAIN.address, Flow(IP_IN_IP)), Disposition.PROTOCOL),
        (VM, Packet(VM.address, PLAIN.address, Flow(50)), Disposition.DELIVERED),
    ],
)
def test_what_a_nic_may_send(sender: Nic, packet: Packet, disposition: Disposition) -> None:
    (verdict,) = forward(azure(), AROUND, sender, row(LOCAL), packet)
    assert verdict.disposition is disposition


def test_what_is_only_forwarded_there_enters_a_peered_network_where_that_is_allowed() -> None:
    """The last word is the arriving side's: its own direction of the peering, and before that of its NIC."""
    peering, packet = row(NextHopType.VNET_PEERING), Packet(OUTSIDE, FAR.address)
    closed = replace(
        azure(), peerings=(Peering("hub", "spoke"), Peering("spoke", "hub", allow_forwarded_traffic=False))
    )
    assert forward(azure(), AROUND, NVA1, peering, packet) == (Verdict(Disposition.DELIVERED, FAR.address, FAR),)
    assert forward(closed, AROUND, NVA1, peering, packet) == (Verdict(Disposition.NOT_ACCEPTED, FAR.address, FAR),)
    to_far = forward(closed, AROUND, NVA1, row(VIA, "10.2.1.4"), Packet(OUTSIDE, addr("10.9.0.1")))
    assert to_far == (Verdict(Disposition.NOT_ACCEPTED, FAR.address, FAR),)


def test_of_equal_next_hops_a_flow_takes_one_and_without_a_flow_each_may_be_taken() -> None:
    both = row(VIA, "10.1.1.11", "10.1.1.12")
    everything = forward(azure(), AROUND, VM, both, Packet(VM.address, OUTSIDE))
    assert [verdict.nic for verdict in everything] == [NVA1, NVA2]
    taken = {forward(azure(), AROUND, VM, both, Packet(VM.address, OUTSIDE, Flow(UDP, (p, 9)))) for p in range(50)}
    assert taken == {(verdict,) for verdict in everything}


def test_one_next_hop_that_nobody_has_takes_its_share_of_flows() -> None:
    both = row(VIA, "10.1.1.11", "10.1.1.99")
    found = forward(azure(), AROUND, VM, both, Packet(VM.address, OUTSIDE))
    assert [verdict.disposition for verdict in found] == [Disposition.FORWARDED, Disposition.UNKNOWN_DESTINATION]


def test_a_backend_that_goes_down_moves_its_own_flows_alone() -> None:
    def behind(*up: bool) -> Surroundings:
        backends = [Backend(n.address, each) for n, each in zip((NVA1, NVA2, EDGE), up, strict=True)]
        return replace(AROUND, frontends={FRONTEND: backends})

    def taken(around: Surroundings, port: int) -> Nic | None:
        packet = Packet(VM.address, OUTSIDE, Flow(TCP, (port, 80)))
        (verdict,) = forward(azure(), around, VM, row(VIA, "10.1.1.100"), packet)
        return verdict.nic

    before = {port: taken(behind(True, True, True), port) for port in range(60)}
    after = {port: taken(behind(True, False, True), port) for port in range(60)}
    assert set(before.values()) == {NVA1, NVA2, EDGE}
    assert {port for port in before if before[port] != after[port]} == {p for p in before if before[p] == NVA2}
    (nobody,) = forward(azure(), behind(False, False, False), VM, row(VIA, "10.1.1.100"), Packet(VM.address, OUTSIDE))
    assert nobody == Verdict(Disposition.NO_BACKEND, FRONTEND)


def test_a_frontend_takes_tcp_and_udp_whole() -> None:
    def found(flow: Flow) -> Disposition:
        (verdict,) = forward(azure(), AROUND, VM, row(LOCAL), Packet(VM.address, FRONTEND, flow))
        return verdict.disposition

    assert found(Flow(TCP, (1000, 80))) is found(Flow(UDP, (1000, 53))) is Disposition.DELIVERED
    assert found(Flow(1)) is found(Flow(UDP)) is Disposition.NO_RULE


def test_without_an_internet_its_routes_lead_nowhere() -> None:
    (found,) = forward(
        azure(), replace(AROUND, internet=False), VM, row(NextHopType.INTERNET), Packet(VM.address, OUTSIDE)
    )
    assert found.disposition is Disposition.UNKNOWN_DESTINATION


def test_the_hash_is_the_kernels() -> None:
    """The values are those of include/linux/jhash.h in C. Ports count for TCP and UDP alone."""
    key = bytes((7 * i + 1) & 0xFF for i in range(24))
    found = [jhash(key[:length], 4711) for length in (4, 8, 12, 16, 24)]
    assert found == [0xC2F76009, 0x03EA23D5, 0xD0325D30, 0xC5A33879, 0x5CED8771]
    ports_matter = {chosen(Flow(UDP, (port, 9)), VM.address, OUTSIDE, 1 << 16, 1) for port in range(100)}
    assert len(ports_matter) > 90
    assert chosen(Flow(1, (1, 2)), VM.address, OUTSIDE, 8, 1) == chosen(Flow(1, (3, 4)), VM.address, OUTSIDE, 8, 1)


FLOWS = st.builds(
    Flow,
    st.sampled_from((TCP, UDP, 1)),
    st.one_of(st.none(), st.tuples(st.integers(1, 65535), st.integers(1, 65535))),
)
ADDRESSES = st.integers(0x0A000000, 0x0AFFFFFF).map(IPv4Address)


@given(flow=FLOWS, one=ADDRESSES, other=ADDRESSES, up=st.lists(st.booleans(), min_size=1, max_size=6).filter(any))
def test_both_directions_of_a_flow_meet_the_same_backend(
    flow: Flow, one: IPv4Address, other: IPv4Address, up: list[bool]
) -> None:
    place = backend(flow, one, other, up, FRONTEND)
    assert up[place]
    assert place == backend(flow.reverse, other, one, up, FRONTEND)
    everyone = backend(flow, one, other, [True] * len(up), FRONTEND)
    assert place == everyone or not up[everyone], "one that goes down moves no flow of the others"


def test_each_load_balancer_shares_flows_evenly_and_by_itself() -> None:
    def places(count: int, frontend: str) -> list[int]:
        flows = (Flow(TCP, (port, 443)) for port in range(3000))
        return [backend(flow, VM.address, OUTSIDE, [True] * count, IPv4Address(frontend)) for flow in flows]

    for count in (2, 3, 5):
        shares = Counter(places(count, "10.1.1.100"))
        assert len(shares) == count
        assert all(abs(share * count - 3000) < 450 for share in shares.values()), shares
    both = zip(places(2, "10.1.1.100"), places(2, "10.1.2.100"), strict=True)
    assert 1300 < sum(one == other for one, other in both) < 1700
    with pytest.raises(ValueError, match="no backend is up"):
        backend(Flow(TCP, (1, 2)), VM.address, OUTSIDE, [False, False], FRONTEND)


def test_the_docs_have_the_table_of_dispositions() -> None:
    """Rewrite docs/forwarding.md's table from the enum where this fails: it prints the rows."""
    rows = [f"| {each} | {each.meaning} |" for each in Disposition]
    assert [line for line in DOCS.read_text().splitlines() if line.startswith("| ")][2:] == rows, "\n".join(rows)
