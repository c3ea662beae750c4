from ipaddress import IPv4Address, IPv4Network

from hypothesis import given
from hypothesis import strategies as st

from labkit.azure.model.ranges import LongestMatch, Ranges

# Few distinct heads, so that containment happens.
values = st.sampled_from([0x0A000000, 0x0A010000, 0x0A010100, 0x0A010180, 0xC0A80000, 0, 0xFFFFFFFF])
prefixes = st.builds(
    lambda value, length: IPv4Network(((value >> (32 - length) << (32 - length)) if length else 0, length)),
    values,
    st.integers(0, 32),
)


@given(st.lists(prefixes, max_size=6), prefixes)
def test_covers_is_subnet_of_any(ranges: list[IPv4Network], prefix: IPv4Network) -> None:
    assert Ranges(ranges).covers(prefix) == any(prefix.subnet_of(r) for r in ranges)


@given(st.lists(prefixes, max_size=6), values.map(IPv4Address))
def test_contains_is_membership_of_any(ranges: list[IPv4Network], address: IPv4Address) -> None:
    assert Ranges(ranges).contains(address) == any(address in r for r in ranges)


@given(st.dictionaries(prefixes, st.text(max_size=1), max_size=6), values.map(IPv4Address))
def test_the_longest_match_is_that_of_the_prefixes_that_cover_an_address(
    table: dict[IPv4Network, str], address: IPv4Address
) -> None:
    covering = [prefix for prefix in table if address in prefix]
    longest = max(covering, key=lambda prefix: prefix.prefixlen, default=None)
    assert LongestMatch(table).of(address) == (None if longest is None else table[longest])
