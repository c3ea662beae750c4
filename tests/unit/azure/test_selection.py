import itertools
from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.azure.model import (
    Assumptions,
    BgpPeer,
    HubRoutingPreference,
    LearnedRoute,
    PathAttributes,
    PeerKind,
    RouteServer,
    VpnNvaTie,
)
from labkit.azure.rules.selection import Loss, best, best_path, judged

from .builders import addr, er, net, nva, path, vpn

ER = HubRoutingPreference.EXPRESSROUTE
VPN = HubRoutingPreference.VPN_GATEWAY
LENGTH = HubRoutingPreference.AS_PATH

P = "10.250.0.0/16"
ONE, TWO, THREE = (nva(f"nva{i}", 65000 + i, f"10.1.1.{3 + i}") for i in (1, 2, 3))


def names(paths: tuple[LearnedRoute, ...]) -> list[str]:
    return [p.peer.name for p in paths]


@pytest.mark.parametrize(
    ("preference", "winner"),
    [(ER, "er"), (VPN, "nva1"), (LENGTH, "nva1")],
)
def test_preference_between_a_long_er_path_and_a_short_nva_path(preference: HubRoutingPreference, winner: str) -> None:
    # [hub-routing-preference, prefer-expressroute, prefer-as-path]
    paths = [path(P, ONE), path(P, er(), "12076-65021")]
    assert names(best(paths, preference)) == [winner]


@pytest.mark.parametrize(("preference", "winner"), [(ER, "er"), (VPN, "vpn"), (LENGTH, "er")])
def test_preference_between_equal_lengths(preference: HubRoutingPreference, winner: str) -> None:
    # An ER/VPN tie under ASPath goes to ER [as-path-tie-expressroute].
    assert names(best([path(P, vpn(), "65021"), path(P, er(), "12076")], preference)) == [winner]


@pytest.mark.parametrize(("preference", "winner"), [(ER, "er"), (VPN, "vpn"), (LENGTH, "er")])
def test_preference_between_a_short_er_path_and_a_long_vpn_path(preference: HubRoutingPreference, winner: str) -> None:
    # VpnGateway puts ExpressRoute last, however short its path is [prefer-vpn].
    paths = [path(P, vpn(), "65021-65022-65023"), path(P, er(), "12076")]
    assert names(best(paths, preference)) == [winner]


def test_expressroute_is_preferred_unless_something_else_is_set() -> None:
    # [hub-routing-preference]
    assert RouteServer("rs1", "hub", (addr("10.1.0.4"), addr("10.1.0.5"))).hub_routing_preference is ER


@pytest.mark.parametrize("preference", HubRoutingPreference)
def test_between_vpn_and_nva_the_shorter_path_wins(preference: HubRoutingPreference) -> None:
    # [vpn-nva-equal]
    assert names(best([path(P, ONE), path(P, vpn(), "65021-65022")], preference)) == ["nva1"]
    assert names(best([path(P, ONE, "65001-65001"), path(P, vpn(), "65021")], preference)) == ["vpn"]


@pytest.mark.parametrize(
    ("wins", "preference", "winners"),
    [
        (True, LENGTH, ["er-a"]),
        (False, LENGTH, ["nva1", "vpn", "er-a"]),
        (False, ER, ["er-a"]),
        (False, VPN, ["nva1", "vpn"]),
    ],
)
def test_expressroute_among_equals(wins: bool, preference: HubRoutingPreference, winners: list[str]) -> None:
    # [as-path-tie-expressroute]; and still one ER connection [one-expressroute-connection].
    paths = [path(P, vpn()), path(P, er("er-a")), path(P, er("er-b", "10.1.9.13"), "12076"), path(P, ONE)]
    assert names(best(paths, preference, Assumptions(expressroute_wins_ties=wins))) == winners
    longer = path(P, er("er-a"), "12076-65021")
    assert "er-a" not in names(best([path(P, ONE), longer], LENGTH, Assumptions(expressroute_wins_ties=wins)))


@pytest.mark.parametrize(
    ("tie", "winners"), [(VpnNvaTie.SHARED, ["nva1", "vpn"]), (VpnNvaTie.VPN, ["vpn"]), (VpnNvaTie.NVA, ["nva1"])]
)
@pytest.mark.parametrize("preference", HubRoutingPreference)
def test_vpn_and_nva_of_equal_length(tie: VpnNvaTie, winners: list[str], preference: HubRoutingPreference) -> None:
    # [vpn-nva-tie]
    paths = [path(P, ONE), path(P, vpn(), "65021")]
    assert names(best(paths, preference, Assumptions(vpn_nva_tie=tie))) == winners
    found = best_path(paths, preference, Assumptions(vpn_nva_tie=tie))
    assert found is not None
    assert found.peer.name == winners[0]
    longer = [path(P, ONE), path(P, vpn(), "65021-65022")]
    assert names(best(longer, preference, Assumptions(vpn_nva_tie=tie))) == ["nva1"], "length comes first"


def test_equal_nva_paths_are_all_best_and_a_prepended_one_is_not() -> None:
    # [nva-ecmp, active-passive]
    paths = [path(P, TWO), path(P, ONE), path(P, THREE, "65003-65003")]
    assert names(best(paths, ER)) == ["nva1", "nva2"]


def test_an_as_set_is_one_hop() -> None:
    aggregate = LearnedRoute(net(P), PathAttributes(ONE.address, (65001, frozenset({1, 2, 3}))), ONE)
    assert names(best([aggregate, path(P, TWO, "65002-7")], ER)) == ["nva1", "nva2"]


def test_med_plays_no_role() -> None:
    # [no-med]
    low = LearnedRoute(net(P), PathAttributes(TWO.address, (65002,), med=1), TWO)
    high = LearnedRoute(net(P), PathAttributes(ONE.address, (65001,), med=100), ONE)
    assert names(best([low, high], ER)) == ["nva1", "nva2"]


def test_the_same_next_hop_counts_once() -> None:
    # An internal load balancer in front of two NVAs [balancer-cure].
    paths = [path(P, TWO, next_hop="10.1.1.100"), path(P, ONE, next_hop="10.1.1.100")]
    assert names(best(paths, ER)) == ["nva1"]


def test_er_paths_never_tie() -> None:
    # One ER connection only [one-expressroute-connection].
    paths = [path(P, er("er-b", "10.1.9.13"), "12076"), path(P, er("er-a", "10.1.9.12"), "12076")]
    assert names(best(paths, ER)) == ["er-a"]
    assert names(best(paths, ER, Assumptions(one_expressroute_connection=False))) == ["er-a", "er-b"]


def test_er_paths_tie_without_a_route_server() -> None:
    # [one-expressroute-connection]
    paths = [path(P, er("er-b", "10.1.9.13"), "12076"), path(P, er("er-a", "10.1.9.12"), "12076")]
    assert names(best(paths, ER, beside_route_server=False)) == ["er-a", "er-b"]


def test_the_lowest_peer_address_is_advertised() -> None:
    # [lowest-address]; addresses compare as numbers, not as text.
    nine, ten = nva("z", 65009, "10.1.1.9"), nva("a", 65010, "10.1.1.10")
    chosen = best_path([path(P, ten), path(P, nine)], ER)
    assert chosen is not None
    assert chosen.peer is nine


def test_nothing_from_nothing() -> None:
    assert best((), ER) == ()
    assert best_path((), ER) is None


peers = st.builds(
    lambda i, kind: BgpPeer(
        f"p{i}", 65515 if kind is not PeerKind.NVA else 65000 + i, IPv4Address(167837952 + i), kind
    ),
    st.integers(1, 8),
    st.sampled_from(PeerKind),
)
routes = st.builds(
    lambda peer, length, hop: LearnedRoute(net(P), PathAttributes(addr("10.1.1.0") + hop, (peer.asn,) * length), peer),
    peers,
    st.integers(0, 3),
    st.integers(4, 7),
)
path_sets = st.lists(routes, max_size=5, unique_by=lambda r: r.peer.name)


assumptions_of_ties = st.builds(
    Assumptions, expressroute_wins_ties=st.booleans(), vpn_nva_tie=st.sampled_from(VpnNvaTie)
)


@given(path_sets, st.sampled_from(HubRoutingPreference), assumptions_of_ties)
def test_order_of_arrival_never_matters(
    paths: list[LearnedRoute], preference: HubRoutingPreference, assumptions: Assumptions
) -> None:
    results = {best(p, preference, assumptions) for p in itertools.permutations(paths)}
    assert len(results) == 1


@given(path_sets, st.sampled_from(HubRoutingPreference), assumptions_of_ties)
def test_best_is_a_tied_subset_with_distinct_next_hops(
    paths: list[LearnedRoute], preference: HubRoutingPreference, assumptions: Assumptions
) -> None:
    winners = best(paths, preference, assumptions)
    assert bool(winners) == bool(paths)
    assert set(winners) <= set(paths)
    hops = [w.attributes.next_hop for w in winners]
    assert len(set(hops)) == len(hops)
    assert len({len(w.attributes.as_path) for w in winners}) <= 1
    if winners:
        assert best_path(paths, preference, assumptions) == winners[0]
        shortest = min(len(p.attributes.as_path) for p in paths)
        if preference is HubRoutingPreference.AS_PATH:
            assert len(winners[0].attributes.as_path) == shortest


@given(path_sets, st.sampled_from(HubRoutingPreference), assumptions_of_ties)
def test_assumptions_of_ties_choose_among_equal_lengths_only(
    paths: list[LearnedRoute], preference: HubRoutingPreference, assumptions: Assumptions
) -> None:
    lengths = {len(p.attributes.as_path) for p in best(paths, preference)}
    assert {len(p.attributes.as_path) for p in best(paths, preference, assumptions)} == lengths


@given(path_sets, routes, st.sampled_from(HubRoutingPreference), assumptions_of_ties)
def test_removing_a_loser_changes_nothing(
    paths: list[LearnedRoute], extra: LearnedRoute, preference: HubRoutingPreference, assumptions: Assumptions
) -> None:
    winners = best([*paths, extra], preference, assumptions)
    if extra not in winners and extra.peer.name not in {p.peer.name for p in paths}:
        assert best(paths, preference, assumptions) == winners


@pytest.mark.parametrize(
    ("preference", "tie", "paths", "expected"),
    [
        (ER, VpnNvaTie.SHARED, [path(P, ONE), path(P, er(), "12076-1")], ["er", ("nva1", Loss.PREFERENCE)]),
        (VPN, VpnNvaTie.SHARED, [path(P, vpn(), "1-2"), path(P, er(), "12076")], ["vpn", ("er", Loss.PREFERENCE)]),
        (ER, VpnNvaTie.SHARED, [path(P, ONE, "65001-1"), path(P, TWO)], ["nva2", ("nva1", Loss.AS_PATH)]),
        (LENGTH, VpnNvaTie.SHARED, [path(P, er(), "12076-1"), path(P, TWO)], ["nva2", ("er", Loss.AS_PATH)]),
        (LENGTH, VpnNvaTie.SHARED, [path(P, er(), "12076"), path(P, TWO)], ["er", ("nva2", Loss.EXPRESSROUTE_TIE)]),
        (ER, VpnNvaTie.NVA, [path(P, vpn(), "1"), path(P, TWO)], ["nva2", ("vpn", Loss.VPN_NVA_TIE)]),
        (LENGTH, VpnNvaTie.VPN, [path(P, vpn(), "1"), path(P, TWO)], ["vpn", ("nva2", Loss.VPN_NVA_TIE)]),
        (
            ER,
            VpnNvaTie.SHARED,
            [path(P, er("er2", "10.1.9.13"), "12076", "10.3.0.2"), path(P, er(), "12076", "10.3.0.1")],
            ["er", ("er2", Loss.ONE_CONNECTION)],
        ),
        (
            ER,
            VpnNvaTie.SHARED,
            [path(P, TWO, next_hop="10.1.1.9"), path(P, ONE, next_hop="10.1.1.9")],
            ["nva1", ("nva2", Loss.SAME_NEXT_HOP)],
        ),
    ],
)
def test_why_a_path_lost(
    preference: HubRoutingPreference,
    tie: VpnNvaTie,
    paths: list[LearnedRoute],
    expected: list[str | tuple[str, Loss]],
) -> None:
    found = judged(paths, preference, Assumptions(vpn_nva_tie=tie))
    assert [(p.peer.name, loss) for p, loss in found] == [e if isinstance(e, tuple) else (e, None) for e in expected]


def test_without_paths_nothing_is_judged() -> None:
    assert judged((), ER) == ()
