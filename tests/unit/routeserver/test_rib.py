"""The Adj-RIB-Out hands out differences, and what it hands out adds up to what is wanted."""

from __future__ import annotations

from ipaddress import IPv4Address

from hypothesis import given
from hypothesis import strategies as st

from labkit.azure.model import PathAttributes
from labkit.routeserver.rib import AdjRibOut, RibChange

PEERS = ["10.1.0.10", "10.1.0.20", "10.1.0.30"]
PREFIXES = [f"10.{i}.0.0/16" for i in range(4)]
ATTRIBUTES = [PathAttributes(IPv4Address("10.1.0.4"), (65515, asn)) for asn in (65001, 65002)]
ONE, TWO = ATTRIBUTES

wishes = st.tuples(st.sampled_from(PEERS), st.sampled_from(PREFIXES), st.none() | st.sampled_from(ATTRIBUTES))


def with_sessions() -> AdjRibOut:
    out = AdjRibOut()
    for peer in PEERS:
        out.open(peer)
    return out


def test_equal_changes_go_out_as_one() -> None:
    out = with_sessions()
    for peer in PEERS[:2]:
        for prefix in PREFIXES[:2]:
            out.want(peer, prefix, ONE)
    (change,) = out.changes(100)
    assert (change.peers, change.attributes, change.prefixes) == (tuple(PEERS[:2]), ONE, tuple(PREFIXES[:2]))
    assert not out


def test_a_peer_without_a_session_only_loses() -> None:
    out = with_sessions()
    peer, (first, second, *_) = PEERS[0], PREFIXES
    out.want(peer, first, ONE)
    assert list(out.changes(100)) == [RibChange((peer,), ONE, (first,))]
    out.close(peer)
    out.want(peer, first, TWO)
    out.want(peer, second, ONE)
    assert list(out.changes(100)) == [RibChange((peer,), ONE, (first,), withdrawn=True)]
    assert not out
    out.open(peer)
    assert list(out.changes(100)) == [RibChange((peer,), TWO, (first,)), RibChange((peer,), ONE, (second,))]


def test_what_came_and_went_goes_withdrawn() -> None:
    out = with_sessions()
    out.want(PEERS[0], PREFIXES[0], ONE)
    out.want(PEERS[0], PREFIXES[0], None)
    assert list(out.changes(100)) == []


def test_what_a_speaker_has_and_nobody_wants_is_taken_away() -> None:
    out = AdjRibOut()
    out.recovered({PEERS[0]: {PREFIXES[0]: ONE, PREFIXES[1]: ONE}})
    out.open(PEERS[0])
    out.want(PEERS[0], PREFIXES[0], ONE)
    (change,) = out.changes(100)
    assert change == RibChange((PEERS[0],), ONE, (PREFIXES[1],), withdrawn=True)


@given(
    st.dictionaries(
        st.sampled_from(PEERS), st.dictionaries(st.sampled_from(PREFIXES), st.sampled_from(ATTRIBUTES)), max_size=3
    ),
    st.lists(st.lists(wishes | st.sampled_from(PEERS), max_size=6), max_size=6),
    st.integers(1, 3),
)
def test_changes_lead_from_what_was_advertised_to_what_is_wanted(
    told: dict[str, dict[str, PathAttributes]],
    rounds: list[list[tuple[str, str, PathAttributes | None] | str]],
    size: int,
) -> None:
    out = AdjRibOut()
    out.recovered(told)
    standing: set[str] = set()
    speaker = {(peer, prefix): a for peer, routes in told.items() for prefix, a in routes.items()}
    wanted: dict[tuple[str, str], PathAttributes] = {}

    def drain(limit: int) -> None:
        for change in out.changes(limit):
            assert change.withdrawn or standing.issuperset(change.peers)
            for peer in change.peers:
                for prefix in change.prefixes:
                    if change.withdrawn:
                        assert speaker.pop((peer, prefix)) == change.attributes, "as the speaker has it"
                    else:
                        assert speaker.get((peer, prefix)) != change.attributes, "a change that changes nothing"
                        speaker[peer, prefix] = change.attributes

    for wish in rounds:
        for step in wish:
            if isinstance(step, str):  # a session comes or goes
                (out.close if step in standing else out.open)(step)
                standing ^= {step}
                continue
            peer, prefix, attributes = step
            out.want(peer, prefix, attributes)
            if attributes is None:
                wanted.pop((peer, prefix), None)
            else:
                wanted[peer, prefix] = attributes
        drain(size)
    for peer in set(PEERS) - standing:
        out.open(peer)
    standing = set(PEERS)
    while out:
        drain(size)
    assert speaker == wanted


def test_a_forgotten_peer_begins_from_the_start() -> None:
    out = AdjRibOut()
    for peer in PEERS[:2]:
        out.open(peer)
        out.want(peer, PREFIXES[0], ONE)
    assert len(list(out.changes(100))) == 1
    for peer in PEERS[:2]:
        out.want(peer, PREFIXES[1], ONE)
    out.forget(PEERS[0])
    (change,) = out.changes(100)
    assert change.peers == (PEERS[1],)
    assert (out.wanted(PEERS[0]), out.sent(PEERS[0])) == ({}, {})
    out.want(PEERS[0], PREFIXES[0], ONE)
    assert list(out.changes(100)) == [], "it has no session"
    out.open(PEERS[0])
    (change,) = out.changes(100)
    assert (change.peers, change.prefixes) == ((PEERS[0],), (PREFIXES[0],))
