"""Azure's counting rule over announcements of many UPDATEs."""

from __future__ import annotations

from labkit.routeserver.limit import LONGEST, PAUSE, RouteCounter


def prefixes(count: int, first: int = 0) -> list[str]:
    return [f"10.{i // 256}.{i % 256}.0/24" for i in range(first, first + count)]


def test_a_first_announcement_counts_once_however_many_messages_carry_it() -> None:
    counter = RouteCounter()
    for i in range(4):
        assert counter.exceeds(1000 * i, prefixes(1000, 1000 * i), 4000, now=0.1 * i) is None
    assert counter.exceeds(4000, prefixes(1, 4000), 4000, now=0.5) == 4001


def test_sending_2001_held_routes_again_counts_4002() -> None:
    counter = RouteCounter()
    assert counter.exceeds(0, prefixes(2001), 4000, now=0.0) is None
    assert counter.exceeds(2001, prefixes(2000), 4000, now=60.0) == 4001
    assert counter.exceeds(2001, prefixes(2001), 4000, now=60.1) == 4002


def test_a_second_of_silence_ends_an_announcement() -> None:
    for silence, count in ((PAUSE - 0.01, None), (PAUSE, 11)):
        counter = RouteCounter()
        assert counter.exceeds(0, prefixes(6), 10, now=0.0) is None
        assert counter.exceeds(6, prefixes(5), 10, now=silence) == count, silence


def test_a_flapping_route_is_one_route() -> None:
    counter = RouteCounter()
    assert all(counter.exceeds(1, prefixes(1), 10, now=i * PAUSE / 2) is None for i in range(1000))


def test_a_peer_that_never_rests_does_not_add_up() -> None:
    counter = RouteCounter()
    for i in range(int(20 * LONGEST)):
        assert counter.exceeds(10, prefixes(1, i), 200, now=i * 0.5) is None
