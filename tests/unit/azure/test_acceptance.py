from dataclasses import replace

import pytest

from labkit.azure.model import AsPath, Azure, OwnRangePolicy, Peering, PeerKind, RouteServer
from labkit.azure.rules.acceptance import RejectionReason, originated, rejection

from .builders import addr, azure, er, net, network, nva, path, peered, vpn

NVA = nva("nva", 65001, "10.1.1.4")
SERVER = RouteServer("rs1", "hub", (addr("10.1.0.4"), addr("10.1.0.5")), (NVA,))


def lab() -> Azure:
    return azure(
        [
            network("hub", "10.1.0.0/16", "10.9.0.0/24"),
            network("urg", "10.2.0.0/16"),
            network("plain", "10.3.0.0/16"),
        ],
        peered("urg", "hub", urg=True),
        peered("plain", "hub"),
        servers=[SERVER],
    )


def reason(prefix: str, as_path: AsPath = (65001,), next_hop: str = "10.1.1.4") -> RejectionReason | None:
    route = path(prefix, NVA)
    route = replace(route, attributes=replace(route.attributes, as_path=as_path, next_hop=addr(next_hop)))
    found = rejection(route, SERVER, originated(lab(), "rs1"))
    return found.reason if found else None


def test_a_plain_route_is_kept() -> None:
    assert reason("10.250.0.0/16") is None
    assert reason("0.0.0.0/0") is None
    assert reason("0.0.0.0/1") is None


@pytest.mark.parametrize("as_path", [(65001, 65515), (65001, 65515, 65001), (65001, frozenset({65515, 65002}))])
def test_loop(as_path: AsPath) -> None:
    # [path-with-65515, vpn-own-asn-filter, nva-as-override]
    assert reason("10.250.0.0/16", as_path) is RejectionReason.LOOP


@pytest.mark.parametrize("as_path", [(65001, 0), (65001, frozenset({0, 65002}))])
def test_as_zero(as_path: AsPath) -> None:
    # [as-zero]
    assert reason("10.250.0.0/16", as_path) is RejectionReason.AS_ZERO


@pytest.mark.parametrize("as_path", [(), (65002,), (frozenset({65001}),)])
def test_first_as(as_path: AsPath) -> None:
    assert reason("10.250.0.0/16", as_path) is RejectionReason.FIRST_AS


def test_a_gateway_with_our_asn_may_send_an_empty_path() -> None:
    # Static prefixes have an empty path [static-prefixes].
    vpn_gateway = replace(er(), kind=PeerKind.VPN_GATEWAY)
    assert rejection(path("10.200.0.0/24", vpn_gateway, ""), SERVER, originated(lab(), "rs1")) is None


@pytest.mark.parametrize(
    ("asn", "communities", "dropped"),
    [
        (300, ((65517, 65517),), True),
        (300, ((65517, 1),), True),
        (300, ((65518, 65518),), False),
        (65515, ((65517, 65517),), False),
    ],
)
def test_a_vpn_gateway_with_another_asn_passes_on_nothing_relayed(
    asn: int, communities: tuple[tuple[int, int], ...], dropped: bool
) -> None:
    # [vpn-own-asn-filter]
    peer = replace(vpn(), asn=asn)
    route = path("10.250.0.0/16", peer, "300-65020" if asn == 300 else "65020")
    route = replace(route, attributes=replace(route.attributes, communities=communities))
    found = rejection(route, SERVER, originated(lab(), "rs1"))
    assert (found is not None and found.reason is RejectionReason.RELAYED) is dropped


@pytest.mark.parametrize("next_hop", ["0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255", "10.1.0.4", "10.1.0.5"])
def test_impossible_next_hops(next_hop: str) -> None:
    assert reason("10.250.0.0/16", next_hop=next_hop) is RejectionReason.NEXT_HOP


@pytest.mark.parametrize("next_hop", ["10.1.1.5", "10.3.0.4", "172.16.0.4"])
def test_third_party_next_hops_are_honoured(next_hop: str) -> None:
    # [third-party-next-hop]
    assert reason("10.250.0.0/16", next_hop=next_hop) is None


@pytest.mark.parametrize("prefix", ["127.0.0.0/8", "127.1.0.0/16", "224.0.0.0/4", "240.0.0.0/8", "0.0.0.0/8"])
def test_destinations_that_cannot_be(prefix: str) -> None:
    assert reason(prefix) is RejectionReason.MARTIAN


@pytest.mark.parametrize("prefix", ["10.1.0.0/16", "10.1.7.0/24", "10.9.0.0/24", "10.2.0.0/16", "10.2.3.4/32"])
def test_own_ranges_by_era(prefix: str) -> None:
    # Dropped on receipt in 2026 (NLB), kept in 2021-22 (MHK, FAB-E) [own-ranges].
    mine = originated(lab(), "rs1")
    found = rejection(path(prefix, NVA), SERVER, mine)
    assert found is not None
    assert found.reason is RejectionReason.OWN_RANGE
    assert rejection(path(prefix, NVA), replace(SERVER, own_ranges=OwnRangePolicy.KEEP), mine) is None


@pytest.mark.parametrize("prefix", ["10.0.0.0/8", "10.2.0.0/15", "10.3.0.0/16", "10.3.1.0/24"])
def test_supernets_and_ranges_of_merely_peered_networks_are_kept(prefix: str) -> None:
    # [supernets-kept]
    assert reason(prefix) is None


def test_originated_are_own_and_urg_spoke_ranges() -> None:
    # [spoke-ranges-to-nvas, plain-spokes-not-advertised]
    mine = originated(lab(), "rs1")
    assert mine.own == (net("10.1.0.0/16"), net("10.9.0.0/24"))
    assert mine.spokes == (net("10.2.0.0/16"),)


@pytest.mark.parametrize(
    ("spoke_side", "hub_side"),
    [
        (Peering("urg", "hub", use_remote_gateways=True), Peering("hub", "urg")),
        (Peering("urg", "hub"), Peering("hub", "urg", allow_gateway_transit=True)),
        (Peering("urg", "hub", use_remote_gateways=True), None),
    ],
)
def test_urg_needs_both_sides(spoke_side: Peering, hub_side: Peering | None) -> None:
    # [spoke-ranges-to-nvas]
    peerings = (spoke_side, hub_side) if hub_side else (spoke_side,)
    assert originated(replace(lab(), peerings=peerings), "rs1").spokes == ()
