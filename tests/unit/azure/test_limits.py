import pytest

from labkit.azure.rules.limits import (
    MAX_PEERS,
    circuit_drops_gateway,
    counted_routes,
    tears_down,
    tears_down_in_total,
    too_many_peers,
)


@pytest.mark.parametrize(
    ("held", "announced", "limit", "torn"),
    [
        (2001, 2001, 4000, True),  # FAQ25's own example counts as 4002 [limit-counting]
        (2000, 2000, 4000, False),
        (0, 4000, 4000, False),
        (0, 4001, 4000, True),
        (3999, 1, 4000, False),
        (4000, 1, 4000, True),
        (501, 501, 1000, True),  # FAQ24: 1002 under the older limit
        (500, 500, 1000, False),
    ],
)
def test_counting_rule(held: int, announced: int, limit: int, torn: bool) -> None:
    assert tears_down(held, announced, limit) is torn


def test_repeated_routes_count_twice() -> None:
    assert counted_routes(2001, 2001) == 4002


@pytest.mark.parametrize(
    ("prefixes", "repeated", "total", "torn"),
    [
        (10_000, 0, 10_000, False),  # [total-prefixes]
        (10_001, 0, 10_000, True),
        (8000, 2000, 10_000, False),
        (8000, 2001, 10_000, True),  # what is sent again counts twice, as for the peer
    ],
)
def test_the_limit_in_total(prefixes: int, repeated: int, total: int, torn: bool) -> None:
    assert tears_down_in_total(prefixes, repeated, total) is torn


def test_eight_peers() -> None:
    # [max-peers]
    assert MAX_PEERS == 8
    assert not too_many_peers(8)
    assert too_many_peers(9)


def test_a_gateway_and_its_circuit() -> None:
    # [gateway-to-circuit-limit]
    assert [circuit_drops_gateway(n) for n in (1000, 1001)] == [False, True]
