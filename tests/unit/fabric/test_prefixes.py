"""Disjoint intervals give what brute-force longest prefix match gives."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.fabric.prefixes import Range, intervals, parse_address, parse_prefix, range_text


def network(bits: int, length: int) -> IPv4Network:
    return IPv4Network((bits & (0xFFFFFFFF << (32 - length)) & 0xFFFFFFFF, length))


# Few distinct high bits, so that prefixes nest and touch.
prefixes = st.builds(
    network,
    st.one_of(
        st.integers(0, 0xFFFFFFFF),
        st.integers(0, 0xFF).map(lambda low: 0x0A000000 | low),
        st.integers(0, 0xFF).map(lambda low: 0xFFFFFF00 | low),
    ),
    st.integers(0, 32),
)
tables = st.dictionaries(prefixes, st.integers(0, 3), max_size=30)


def ranges(table: dict[IPv4Network, int]) -> dict[Range, int]:
    return {parse_prefix(str(prefix)): value for prefix, value in table.items()}


def longest_match(table: dict[IPv4Network, int], address: int) -> int | None:
    matching = [p for p in table if IPv4Address(address) in p]
    return table[max(matching, key=lambda p: p.prefixlen)] if matching else None


def look_up(flat: dict[Range, int], address: int) -> int | None:
    return next((value for (first, last), value in flat.items() if first <= address <= last), None)


@given(tables, st.lists(st.integers(0, 0xFFFFFFFF), max_size=10))
def test_every_address_meets_its_longest_match(table: dict[IPv4Network, int], anywhere: list[int]) -> None:
    flat = intervals(ranges(table))
    edges = [
        edge
        for prefix in table
        for edge in (
            int(prefix.network_address) - 1,
            int(prefix.network_address),
            int(prefix.broadcast_address),
            int(prefix.broadcast_address) + 1,
        )
        if 0 <= edge <= 0xFFFFFFFF
    ]
    for address in [*edges, *anywhere]:
        assert look_up(flat, address) == longest_match(table, address)


@given(tables)
def test_intervals_are_disjoint_ascending_and_as_few_as_possible(table: dict[IPv4Network, int]) -> None:
    flat = list(intervals(ranges(table)).items())
    for (first, last), _ in flat:
        assert 0 <= first <= last <= 0xFFFFFFFF
    for ((_, before), left), ((after, _), right) in pairwise(flat):
        assert before < after
        assert before + 1 < after or left != right


@given(tables, st.randoms())
def test_the_order_of_routes_does_not_matter(table: dict[IPv4Network, int], random: object) -> None:
    shuffled = list(ranges(table).items())
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert list(intervals(dict(shuffled)).items()) == list(intervals(ranges(table)).items())


def test_nested_prefixes_are_cut_apart() -> None:
    flat = intervals({parse_prefix("10.0.0.0/8"): 1, parse_prefix("10.1.0.0/16"): 2, parse_prefix("10.1.2.3/32"): 1})
    assert {range_text(key): value for key, value in flat.items()} == {
        "10.0.0.0-10.0.255.255": 1,
        "10.1.0.0-10.1.2.2": 2,
        "10.1.2.3": 1,
        "10.1.2.4-10.1.255.255": 2,
        "10.2.0.0-10.255.255.255": 1,
    }


def test_neighbours_with_one_value_become_one() -> None:
    flat = intervals({parse_prefix("0.0.0.0/1"): 1, parse_prefix("128.0.0.0/1"): 1, parse_prefix("10.0.0.0/8"): 1})
    assert flat == {(0, 0xFFFFFFFF): 1}


@given(st.integers(0, 0xFFFFFFFF))
def test_addresses_parse_as_ipaddress_does(number: int) -> None:
    assert parse_address(str(IPv4Address(number))) == number


@pytest.mark.parametrize(
    "text", ["", "10.1", "10.1.2.3.4", "010.1.2.3", "0x0a.1.2.3", "10.1.2.256", "a.b.c.d", "10.0.0.1 "]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not an IPv4 address"):
        parse_address(text)


@pytest.mark.parametrize(
    "text", ["10.0.0.0", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.1/24", "::/0", "10.0.0.0/+8"]
)
def test_what_is_no_prefix_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not an IPv4|host bits"):
        parse_prefix(text)
