from ipaddress import IPv4Address, IPv4Network

from hypothesis import given
from hypothesis import strategies as st

from labkit.azure.model import NextHopType
from labkit.controller.tables import Delta, Table, diff
from labkit.feed.tables import NextHops

GATEWAY = NextHopType.VIRTUAL_NETWORK_GATEWAY


def via(*addresses: str) -> NextHops:
    return NextHops(GATEWAY, tuple(IPv4Address(a) for a in addresses))


def apply(table: Table, delta: Delta) -> dict[IPv4Network, NextHops]:
    """What a receiver holds after a delta, applied in the documented order."""
    groups = dict(table.groups) | dict(delta.groups)
    routes = dict(table.routes) | dict(delta.routes)
    for prefix in delta.removed_routes:
        del routes[prefix]
    for group in delta.removed_groups:
        del groups[group]
    return {prefix: groups[i] for prefix, i in routes.items()}


PREFIXES = st.sampled_from([IPv4Network((10 << 24 | i << 8, 24)) for i in range(12)])
HOPS = st.one_of(
    st.lists(st.sampled_from([IPv4Address(f"10.1.1.{i}") for i in range(4, 8)]), min_size=1, unique=True).map(
        lambda hops: NextHops(GATEWAY, tuple(sorted(hops)))
    ),
    st.sampled_from([NextHops(NextHopType.INTERNET), NextHops(NextHopType.NONE), NextHops(NextHopType.VNET_LOCAL)]),
)


@given(st.lists(st.dictionaries(PREFIXES, HOPS), max_size=8))
def test_deltas_lead_a_receiver_to_what_is_wanted(steps: list[dict[IPv4Network, NextHops]]) -> None:
    table = Table()
    for wanted in steps:
        new, delta = diff(table, wanted)
        assert apply(table, delta) == wanted == new.desired()
        assert set(new.groups) == set(new.routes.values())
        for i, hop in delta.groups.items():
            assert i not in table.groups or table.groups[i].type is hop.type
        table = new
        assert not diff(table, wanted)[1]


def test_failover_of_many_prefixes_is_one_group() -> None:
    prefixes = [IPv4Network((10 << 24 | i << 8, 24)) for i in range(1000)]
    both, one = via("10.1.1.4", "10.1.1.5"), via("10.1.1.5")
    start = dict.fromkeys(prefixes, both) | {IPv4Network("192.0.2.0/24"): one}
    table, _ = diff(Table(), start)
    table, there = diff(table, dict.fromkeys(start, one))
    assert len(there.groups) == 1
    assert not there.routes
    _, back = diff(table, start)
    assert len(back.groups) == 1
    assert not back.routes


def test_a_prefix_that_leaves_its_group_moves_alone() -> None:
    a, b = IPv4Network("10.0.0.0/24"), IPv4Network("10.0.1.0/24")
    table, _ = diff(Table(), {a: via("10.1.1.4"), b: via("10.1.1.4")})
    _, delta = diff(table, {a: via("10.1.1.4"), b: via("10.1.1.5")})
    assert list(delta.routes) == [b]
    assert len(delta.groups) == 1
