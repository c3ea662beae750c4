"""Azure's counting rule over announcements of many UPDATEs."""

from __future__ import annotations

from labkit.azure.rules.limits import counted_routes
from labkit.routeserver.limit import LONGEST, PAUSE, RouteCounter


def prefixes(count: int, first: int = 0) -> list[str]:
    return [f"10.{i // 256}.{i % 256}.0/24" for i in range(first, first + count)]


def counted(counter: RouteCounter, held: int, announced: list[str], now: float) -> int:
    counter.count(held, announced, now)
    return counted_routes(counter.held, counter.announced)


def test_a_first_announcement_counts_once_however_many_messages_carry_it() -> None:
    counter = RouteCounter()
    for i in range(4):
        assert counted(counter, 1000 * i, prefixes(1000, 1000 * i), 0.1 * i) == 1000 * (i + 1)
    assert counted(counter, 4000, prefixes(1, 4000), 0.5) == 4001


def test_sending_2001_held_routes_again_counts_4002() -> None:
    counter = RouteCounter()
    assert counted(counter, 0, prefixes(2001), 0.0) == 2001
    assert counted(counter, 2001, prefixes(2000), 60.0) == 4001
    assert counted(counter, 2001, prefixes(2001), 60.1) == 4002


def test_a_second_of_silence_ends_an_announcement() -> None:
    for silence, count in ((PAUSE - 0.01, 6), (PAUSE, 11)):
        counter = RouteCounter()
        assert counted(counter, 0, prefixes(6), 0.0) == 6
        assert counted(counter, 6, prefixes(5), silence) == count, silence


def test_a_flapping_route_is_one_route() -> None:
    counter = RouteCounter()
    assert all(counted(counter, 1, prefixes(1), i * PAUSE / 2) <= 2 for i in range(1000))


def test_a_peer_that_never_rests_does_not_add_up() -> None:
    counter = RouteCounter()
    for i in range(int(20 * LONGEST)):
        assert counted(counter, 10, prefixes(1, i), i * 0.5) <= 10 + LONGEST * 2
