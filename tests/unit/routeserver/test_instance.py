"""One instance without I/O: what it makes of events and configurations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from labkit.azure.model import BgpPeer, LearnedRoute, PathAttributes, RouteServer
from labkit.azure.rules.acceptance import Originated, rejection
from labkit.azure.rules.advertisement import advertised_to_peer, originated_routes
from labkit.feed.codec import from_json
from labkit.routeserver.instance import AWAITED, InstanceState
from labkit.routeserver.limit import PAUSE
from labkit.routeserver.policy import PolicyConfig
from labkit.routeserver.recovery import Recovered
from labkit.routeserver.wire import SessionChange, ShownNeighbours, Update
from tests.unit.feed.wire import written

A, B, C = "10.1.0.10", "10.1.0.20", "10.1.0.30"
PEERS = tuple(BgpPeer(n, 65001 + i, IPv4Address(a)) for i, (n, a) in enumerate(zip("abc", (A, B, C), strict=True)))
SERVER = RouteServer("rs1", "vnet1", (IPv4Address("10.1.0.4"), IPv4Address("10.1.0.5")), PEERS, branch_to_branch=True)
ORIGINATED = Originated((IPv4Network("10.1.0.0/16"),), (IPv4Network("10.2.0.0/16"),))
CONFIG = PolicyConfig(0, SERVER, ORIGINATED)
ASNS = {str(peer.address): peer.asn for peer in PEERS}
PREFIXES = ["10.9.0.0/16", "10.8.0.0/16", "10.1.3.0/24", "0.0.0.0/0"]


def path(peer: str, *more: int) -> PathAttributes:
    asn = next(p.asn for p in PEERS if str(p.address) == peer)
    return PathAttributes(IPv4Address(peer), (asn, *more))


def instance(adj_rib_in: Mapping[str, Mapping[str, PathAttributes]] | None = None, **out: Any) -> InstanceState:
    states = dict.fromkeys((A, B, C), ("Established", 5.0))
    return InstanceState(Recovered(states, ASNS, adj_rib_in or {}, out), now=100.0)


def shown(*peers: str, **asns: int) -> ShownNeighbours:
    """ExaBGP's neighbours, none of them with a session; `a`, `b` and `c` with other ASNs."""
    expected = {str(peer.address): asns.get(peer.name, peer.asn) for peer in PEERS}
    return ShownNeighbours(dict.fromkeys(peers, ("Idle", 0.0)), {peer: expected[peer] for peer in peers})


class Speaker:
    """What ExaBGP would hold for each peer."""

    def __init__(self) -> None:
        self.sent: dict[str, dict[str, PathAttributes]] = {A: {}, B: {}, C: {}}

    def take(self, of: InstanceState) -> None:
        of.settle()
        for change in of.changes(10_000):
            for peer in change.peers:
                for prefix in change.prefixes:
                    if change.withdrawn:
                        del self.sent[peer][prefix]
                    else:
                        self.sent[peer][prefix] = change.attributes


def test_before_a_configuration_it_only_remembers() -> None:
    one, speaker = instance(), Speaker()
    one.update(Update(A, 1.0, ((path(A), ("10.9.0.0/16",)),)))
    speaker.take(one)
    assert speaker.sent == {A: {}, B: {}, C: {}}
    assert one.delta(2.0) is None
    one.configure(CONFIG)
    speaker.take(one)
    assert set(speaker.sent[A]) == {"10.1.0.0/16", "10.2.0.0/16"}
    assert set(speaker.sent[B]) == {"10.1.0.0/16", "10.2.0.0/16", "10.9.0.0/16"}
    assert [g["prefixes"] for g in written(one.snapshot(100.0))["routes"]] == [["10.9.0.0/16"]]


def test_a_session_that_ends_takes_its_routes_along() -> None:
    one, speaker = instance(), Speaker()
    one.configure(CONFIG)
    written(one.snapshot(100.0))
    one.update(Update(A, 1.0, ((path(A), ("10.9.0.0/16",)),)))
    one.update(Update(B, 1.0, ((path(B, 7), ("10.9.0.0/16",)),)))
    speaker.take(one)
    assert speaker.sent[C]["10.9.0.0/16"].as_path == (65515, 65001)
    assert speaker.sent[A].get("10.9.0.0/16") is None
    assert one.delta(2.0) is not None
    one.session_changed(SessionChange(A, 3.0, "Idle", "hold timer expired"))
    speaker.take(one)
    assert speaker.sent[C]["10.9.0.0/16"].as_path == (65515, 65002, 7)
    assert speaker.sent[A].get("10.9.0.0/16") is None, "what is for a peer waits for its session"
    delta = written(one.delta(4.0))
    assert delta["sessions"] == {"a": {"state": "Idle", "since": 3.0, "reason": "hold timer expired"}}
    assert delta["withdrawn"] == []
    assert one.advertised("a") == ()
    assert len(one.advertised("c")) == 3
    one.session_changed(SessionChange(A, 5.0, "Established"))
    speaker.take(one)
    assert speaker.sent[A]["10.9.0.0/16"].as_path == (65515, 65002, 7)


def test_a_session_that_ends_and_returns_at_once_is_sent_as_a_difference() -> None:
    one = instance({A: {"10.9.0.0/16": path(A), "10.8.0.0/16": path(A)}})
    one.configure(CONFIG)
    written(one.snapshot(100.0))
    one.session_changed(SessionChange(A, 3.0, "Idle"))
    one.session_changed(SessionChange(A, 3.1, "Established"))
    one.update(Update(A, 3.2, ((path(A), ("10.9.0.0/16",)),)))
    delta = written(one.delta(4.0))
    assert delta["withdrawn"] == [{"peer": "a", "prefixes": ["10.8.0.0/16"]}]
    assert delta["announced"] == []
    assert delta["sessions"]["a"]["state"] == "Established"


def test_the_limit_condemns_a_peer_once() -> None:
    one = instance()
    one.configure(replace(CONFIG, server=replace(SERVER, routes_per_peer=2)))
    three = Update(A, 1.0, ((path(A), ("10.7.0.0/16", "10.8.0.0/16", "10.9.0.0/16")),))
    one.update(three)
    one.update(three)
    assert one.over_limit == [A]
    one.session_changed(SessionChange(A, 3.0, "Idle", "maximum number of prefixes reached"))
    delta = written(one.delta(4.0))
    assert delta["sessions"]["a"]["reason"] == "3 routes counted, 2 allowed"


def test_the_limit_in_total_condemns_who_goes_beyond_it() -> None:
    """Six prefixes: two that the route server originates, and four of its peers', whoever has them too."""
    one = instance()
    one.configure(replace(CONFIG, server=replace(SERVER, total_prefixes=6)))
    one.update(Update(A, 1.0, ((path(A), ("10.6.0.0/16", "10.7.0.0/16", "10.8.0.0/16")),)))
    one.update(Update(B, 1.0, ((path(B), ("10.7.0.0/16", "10.8.0.0/16", "10.9.0.0/16")),)))
    assert one.over_limit == []
    one.update(Update(B, 1.5, ((path(B), ("10.10.0.0/16",)),)))
    assert one.over_limit == [B]
    one.session_changed(SessionChange(B, 3.0, "Idle", "maximum number of prefixes reached"))
    delta = written(one.delta(4.0))
    assert delta["sessions"]["b"]["reason"] == "7 prefixes counted in total, 6 allowed"
    assert {group["peer"] for group in written(one.snapshot(100.0))["routes"]} == {"a"}, "it has nothing of B"
    one.update(Update(A, 5.0, ((path(A), ("10.9.0.0/16",)),)))
    assert one.over_limit == [B], "there is room again"


def test_what_a_peer_sends_again_counts_twice_in_total() -> None:
    for total in (7, 6):
        one = instance()
        one.configure(replace(CONFIG, server=replace(SERVER, total_prefixes=total)))
        one.update(Update(A, 1.0, ((path(A), ("10.7.0.0/16", "10.8.0.0/16")),)))
        one.update(Update(B, 1.0, ((path(B), ("10.9.0.0/16",)),)))
        one.update(Update(A, 1.0 + PAUSE, ((path(A), ("10.7.0.0/16", "10.8.0.0/16")),)))
        assert one.over_limit == ([] if total == 7 else [A]), (
            "two of its own, two again, one of B's, and the two ranges"
        )


def test_the_limit_in_total_holds_for_what_was_received_before_it_was_known() -> None:
    one = instance({A: {"10.7.0.0/16": path(A)}, B: {"10.8.0.0/16": path(B)}})
    one.configure(replace(CONFIG, server=replace(SERVER, total_prefixes=3)))
    assert one.over_limit == [B]


def test_the_limit_holds_for_what_was_received_before_it_was_known() -> None:
    one = instance({A: dict.fromkeys(PREFIXES, path(A))})
    one.configure(replace(CONFIG, server=replace(SERVER, routes_per_peer=3)))
    assert one.over_limit == [A]


def test_nothing_is_advertised_to_peers_that_the_speaker_does_not_know() -> None:
    one = InstanceState(Recovered({A: ("Established", 1.0)}, {A: 65001}, {}, {}), now=100.0)
    one.configure(CONFIG)
    one.update(Update(A, 1.0, ((path(A), ("10.9.0.0/16",)),)))
    one.settle()
    assert {peer for change in one.changes(100) for peer in change.peers} == {A}
    assert written(one.snapshot(100.0))["sessions"]["b"]["reason"] == "the speaker does not know this peer"


peers = st.sampled_from([A, B, C])
steps = st.one_of(
    st.tuples(
        st.just("announce"), peers, st.sampled_from(PREFIXES), st.sampled_from([(), (7,), (7, 8), (65515,), (0,)])
    ),
    st.tuples(st.just("withdraw"), peers, st.sampled_from(PREFIXES), st.just(())),
    st.tuples(st.just("flap"), peers, st.just(""), st.just(())),
    st.tuples(st.just("configure"), st.sampled_from(["b2b", "no b2b", "without c"]), st.just(""), st.just(())),
)


@given(st.lists(steps, max_size=25), st.booleans())
def test_what_it_advertises_agrees_with_the_rules(
    sequence: list[tuple[str, str, str, tuple[int, ...]]], slow: bool
) -> None:
    """After any sequence of events, speaker and controller have what the rules of `labkit.azure` give directly."""
    one, speaker = instance(), Speaker()
    config = CONFIG
    one.configure(config)
    told: dict[tuple[str, str], PathAttributes] = {}
    written(one.snapshot(100.0))
    received: dict[tuple[str, str], PathAttributes] = {}
    for number, (kind, peer, prefix, more) in enumerate(sequence):
        match kind:
            case "announce":
                received[peer, prefix] = path(peer, *more)
                one.update(Update(peer, number * 100.0, ((path(peer, *more), (prefix,)),)))
            case "withdraw":
                received.pop((peer, prefix), None)
                one.update(Update(peer, number * 100.0, withdrawn=(prefix,)))
            case "flap":
                received = {key: a for key, a in received.items() if key[0] != peer}
                one.session_changed(SessionChange(peer, number * 100.0, "Idle"))
                one.session_changed(SessionChange(peer, number * 100.0 + 1, "Established"))
            case _:
                fewer = PEERS[:2] if peer == "without c" else PEERS
                config = replace(CONFIG, server=replace(SERVER, branch_to_branch=peer == "b2b", peers=fewer))
                if one.configure(config):  # then only a snapshot can tell, and the worker sends one
                    one.settle()
                    snapshot = written(one.snapshot(100.0))
                    told.clear()
                    _hear(told, snapshot | {"withdrawn": [], "announced": snapshot["routes"]})
        if not slow:
            speaker.take(one)
            _hear(told, written(one.delta(float(number))))
    speaker.take(one)
    _hear(told, written(one.delta(1e9)))

    server = config.server
    learned = {
        (str(peer.address), prefix): LearnedRoute(IPv4Network(prefix), received[str(peer.address), prefix], peer)
        for peer in server.peers
        for prefix in PREFIXES
        if (str(peer.address), prefix) in received
    }
    kept = {key: route for key, route in learned.items() if rejection(route, server, ORIGINATED) is None}
    for target in PEERS:
        expected: dict[str, PathAttributes] = {}
        if target in server.peers:
            for prefix in PREFIXES:
                paths = [route for (_, p), route in kept.items() if p == prefix]
                sent = advertised_to_peer(server, 0, target, ORIGINATED, IPv4Network(prefix), paths)
                if sent is not None:
                    expected[prefix] = sent
            expected |= {str(p): a for p, a in originated_routes(server, 0, target, ORIGINATED).items()}
        assert speaker.sent[str(target.address)] == expected
    known = {(route.peer.name, prefix): route.attributes for (_, prefix), route in kept.items()}
    assert {key: a for key, a in told.items() if key[0] in {p.name for p in server.peers}} == known


def _hear(told: dict[tuple[str, str], PathAttributes], delta: dict[str, Any] | None) -> None:
    if delta is None:
        return
    for peer, session in delta["sessions"].items():
        if session["state"] != "Established":
            for key in [key for key in told if key[0] == peer]:
                del told[key]
    for group in delta["withdrawn"]:
        for prefix in group["prefixes"]:
            del told[group["peer"], prefix]
    for group in delta["announced"]:
        for prefix in group["prefixes"]:
            told[group["peer"], prefix] = from_json(PathAttributes, group["attributes"])


def test_what_a_peer_has_advertised_is_known_whether_it_is_kept_or_not() -> None:
    one = instance()
    one.configure(CONFIG)
    one.update(Update(A, 1.0, ((path(A), ("10.9.0.0/16", "10.1.3.0/24")),)))
    said = {prefix: group.attributes for group in one.received("a") for prefix in group.prefixes}
    assert said == dict.fromkeys(("10.9.0.0/16", "10.1.3.0/24"), path(A))
    assert one.received("b") == one.received("nobody") == ()
    one.session_changed(SessionChange(A, 2.0, "Idle", ""))
    assert one.received("a") == ()


def test_everything_is_advertised_to_a_neighbour_that_the_speaker_learns_of() -> None:
    one, speaker = InstanceState(Recovered({A: ("Established", 1.0)}, {A: 65001}, {}, {}), now=100.0), Speaker()
    one.configure(CONFIG)
    one.update(Update(A, 1.0, ((path(A), ("10.9.0.0/16",)),)))
    speaker.take(one)
    assert speaker.sent[B] == {}
    one.speaks_with(shown(A, B), 101.0)
    assert written(one.snapshot(100.0))["sessions"]["b"] == {"state": "Idle", "since": 101.0, "reason": AWAITED}
    one.session_changed(SessionChange(B, 102.0, "Established"))
    speaker.take(one)
    assert set(speaker.sent[B]) == {"10.1.0.0/16", "10.2.0.0/16", "10.9.0.0/16"}
    assert written(one.snapshot(100.0))["sessions"]["b"]["state"] == "Established"


def test_a_neighbour_that_went_is_forgotten_and_may_come_back() -> None:
    one, speaker = instance({B: {"10.9.0.0/16": path(B)}}), Speaker()
    one.configure(CONFIG)
    speaker.take(one)
    assert "10.9.0.0/16" in speaker.sent[A]
    one.speaks_with(shown(A, C), 101.0)
    speaker.sent[B] = {}  # as ExaBGP does
    speaker.take(one)
    assert "10.9.0.0/16" not in speaker.sent[A]
    assert one.received("b") == ()
    assert written(one.snapshot(100.0))["sessions"]["b"]["reason"] == "the speaker does not know this peer"
    one.speaks_with(shown(A, B, C), 102.0)
    speaker.take(one)
    assert speaker.sent[B] == {}, "it has no session yet"
    one.session_changed(SessionChange(B, 3.0, "Established"))
    speaker.take(one)
    assert set(speaker.sent[B]) == {"10.1.0.0/16", "10.2.0.0/16"}


def test_routes_asked_for_again_count_again() -> None:
    """However soon: what is asked for is an announcement of its own [limit-counting]."""
    one = instance()
    one.configure(replace(CONFIG, server=replace(SERVER, routes_per_peer=3)))
    two = Update(A, 1.0, ((path(A), ("10.8.0.0/16", "10.9.0.0/16")),))
    one.update(two)
    one.update(replace(two, time=1.1))
    assert one.over_limit == [], "the same announcement"
    assert A in one.refresh({A})[0]
    one.update(replace(two, time=1.2))
    assert one.over_limit == [A]


def test_only_nvas_with_a_session_are_asked_for_their_routes() -> None:
    one = instance()
    assert one.refresh({A, B, C}) == ((), ()), "nothing is known before the configuration"
    one.configure(CONFIG)
    one.session_changed(SessionChange(A, 3.0, "Idle"))
    assert one.refresh({B, C}) == ((B, C), ())
    assert one.refresh({A, C}) == ((C,), (B,)), "who can't be asked is reset"


def test_it_is_alone_once_the_last_session_is_closed() -> None:
    one = InstanceState(Recovered({A: ("Established", 1.0), B: ("Idle", 1.0)}, {A: 65001, B: 65002}, {}, {}), now=100.0)
    one.configure(replace(CONFIG, server=replace(SERVER, peers=())))
    assert not one.alone
    one.speaks_with(shown(), 101.0)
    assert not one.alone, "ExaBGP has not said that it closed A's session"
    one.session_changed(SessionChange(A, 2.0, "Idle", "peer reset"))
    assert one.alone
    one.speaks_with(shown(A), 102.0)
    assert not one.alone


def test_everything_is_advertised_again_to_a_neighbour_of_whom_another_asn_is_expected() -> None:
    """ExaBGP makes another neighbour of it, which has nothing to send."""
    one, speaker = instance(), Speaker()
    one.configure(CONFIG)
    speaker.take(one)
    assert set(speaker.sent[A]) == {"10.1.0.0/16", "10.2.0.0/16"}
    for asn in (65009, 65001):
        speaker.sent[A] = {}  # as ExaBGP does
        one.session_changed(SessionChange(A, 2.0, "Idle"))
        one.speaks_with(shown(A, B, C, a=asn), 101.0)
        one.session_changed(SessionChange(A, 3.0, "Established"))
        speaker.take(one)
        assert set(speaker.sent[A]) == {"10.1.0.0/16", "10.2.0.0/16"}


def test_a_neighbour_that_never_spoke_may_go() -> None:
    one = instance()
    one.configure(CONFIG)
    one.speaks_with(shown(A, B), 101.0)
    one.speaks_with(shown(A, B, C), 102.0)
    one.speaks_with(shown(A), 103.0)
    assert one.speakers_peers == {A}


def test_a_session_that_nobody_wanted_ended_for_a_reason_that_is_none_once_it_is_awaited_again() -> None:
    """As with a gateway's while branch-to-branch is off."""
    one = instance()
    one.configure(CONFIG)
    one.session_changed(SessionChange(B, 2.0, "Idle", "administrative shutdown (received from the peer)"))
    one.session_changed(SessionChange(A, 2.0, "Idle", "hold timer expired"))
    without_b = replace(CONFIG.server, peers=tuple(p for p in CONFIG.server.peers if str(p.address) != B))
    one.configure(replace(CONFIG, server=without_b))
    one.configure(CONFIG)
    sessions = written(one.snapshot(100.0))["sessions"]
    assert sessions["b"] == {"state": "Idle", "since": 2.0, "reason": AWAITED}
    assert sessions["a"]["reason"] == "hold timer expired", "it was wanted all the time"
