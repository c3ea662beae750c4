"""A process that starts behind a running ExaBGP learns exactly where things stand."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address

import pytest

from labkit.azure.model import PathAttributes
from labkit.routeserver.recovery import Recovered, Recovery, RecoveryFailed
from labkit.routeserver.wire import Answer, Event, SessionChange, ShownNeighbours, ShownRoute, SummaryHeader, Update

A, B = "10.1.0.10", "10.1.0.20"
P, Q, R = "10.2.0.0/16", "10.3.0.0/16", "10.4.0.0/16"
ONE = PathAttributes(IPv4Address(A), (65001,))
TWO = PathAttributes(IPv4Address(A), (65001, 65009))
UP = ShownNeighbours({A: ("Established", 3.0), B: ("Idle", 0.0)}, {A: 65001, B: 65002})
DONE = Answer(True)


def take(events: Iterable[Event]) -> Recovered | None:
    recovery = Recovery()
    for event in events:
        if (outcome := recovery.take(event)) is not None:
            return outcome
    return None


def whole(*between: Event, inside: Iterable[Event] = (ShownRoute(A, P, ONE),)) -> list[Event]:
    """An answer to all of `wire.RECOVERY`, with events in between."""
    return [SummaryHeader(), *between, DONE, *inside, DONE, ShownRoute(B, P, TWO), DONE, UP]


def routes(outcome: Recovered | None) -> dict[str, PathAttributes]:
    assert outcome is not None
    return dict(outcome.adj_rib_in.get(A, {}))


def test_what_is_shown_is_taken() -> None:
    outcome = take(whole())
    assert outcome is not None
    assert outcome.states == UP.states
    assert outcome.adj_rib_in == {A: {P: ONE}}
    assert outcome.adj_rib_out == {B: {P: TWO}}


@pytest.mark.parametrize("cut", range(len(whole())))
def test_the_tail_of_a_predecessors_answer_is_passed_over(cut: int) -> None:
    tail = whole(inside=[ShownRoute(A, Q, TWO)])[cut + 1 :]
    assert routes(take([Answer(True), Answer(False), *tail, DONE, *whole()])) == {P: ONE}


def test_a_predecessors_whole_answer_serves_as_well() -> None:
    assert routes(take([*whole(), DONE, *whole()])) == {P: ONE}


@pytest.mark.parametrize("early", [True, False])
def test_events_override_what_is_shown(early: bool) -> None:
    events = [Update(A, 1.0, ((TWO, (P, Q)),)), Update(A, 2.0, withdrawn=(Q, R))]
    stale = [ShownRoute(A, P, ONE), ShownRoute(A, Q, ONE), ShownRoute(A, R, ONE)]
    stream = [*events, *whole(inside=stale)] if early else whole(inside=[*stale, *events])
    assert routes(take(stream)) == {P: TWO}


def test_what_is_shown_of_an_earlier_session_is_not_taken() -> None:
    anew: list[Event] = [SessionChange(A, 1.0, "Idle"), SessionChange(A, 2.0, "Established")]
    stream = whole(inside=[ShownRoute(A, P, ONE), *anew, Update(A, 3.0, ((TWO, (Q,)),)), ShownRoute(A, R, ONE)])
    assert routes(take(stream)) == {Q: TWO}


def test_routes_of_a_peer_that_is_down_are_stale() -> None:
    outcome = take(whole(inside=[ShownRoute(B, P, ONE)]))
    assert outcome is not None
    assert outcome.adj_rib_in == {}


def test_a_failed_answer_is_no_recovery() -> None:
    with pytest.raises(RecoveryFailed):
        take([SummaryHeader(), DONE, Answer(False)])


def test_what_cannot_be_read_back_is_waited_for() -> None:
    recovery = Recovery()
    inexact: list[Event] = [ShownRoute(A, P, ONE, exact=False), ShownRoute(A, Q, ONE)]
    for event in whole(inside=inexact):
        assert recovery.take(event) is None
    assert recovery.refreshes == (A,)
    assert recovery.take(Update(A, 1.0, ((TWO, (R,)),))) is None
    late = recovery.late()
    assert routes(late) == {P: ONE, Q: ONE, R: TWO}
    assert routes(recovery.take(Update(A, 1.0, ((TWO, (P,)),)))) == {P: TWO, Q: ONE, R: TWO}


def test_a_session_that_ends_is_not_waited_for() -> None:
    recovery = Recovery()
    for event in whole(inside=[ShownRoute(A, P, ONE, exact=False)]):
        assert recovery.take(event) is None
    outcome = recovery.take(SessionChange(A, 1.0, "Idle"))
    assert outcome is not None
    assert outcome.states[A] == ("Idle", 0.0)
    assert outcome.adj_rib_in == {}
