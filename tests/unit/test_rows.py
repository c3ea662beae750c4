"""How tests/e2e/rows.py shows in which rows two labs differ."""

from __future__ import annotations

from tests.e2e.rows import _route, differing

KERNEL = {"kernel of vm1": ["10.1.0.0/16 dev eth0", "blackhole 10.0.0.0/8"], "BGP of nva1": ["10.2.0.0/16"]}


def test_the_same() -> None:
    assert differing(KERNEL, {name: rows[::-1] for name, rows in reversed(KERNEL.items())}) == []


def test_a_row_more_and_another_one() -> None:
    other = KERNEL | {"kernel of vm1": ["10.1.0.0/16 dev eth1", "blackhole 10.0.0.0/8", "blackhole 10.0.0.0/8"]}
    assert differing(KERNEL, other) == [
        "- kernel of vm1: 10.1.0.0/16 dev eth0",
        "+ kernel of vm1: 10.1.0.0/16 dev eth1",
        "+ kernel of vm1: blackhole 10.0.0.0/8",
    ]


def test_a_table_that_is_not_there() -> None:
    assert differing(KERNEL, {"kernel of vm1": KERNEL["kernel of vm1"]}) == [
        "- BGP of nva1",
        "- BGP of nva1: 10.2.0.0/16",
    ]
    assert differing(KERNEL, KERNEL | {"kernel of vm2": []}) == ["+ kernel of vm2"]


def test_a_route_as_ip_prints_it() -> None:
    printed = (
        "10.0.0.0/16 nhid 12 proto bgp metric 20 \\\tnexthop via 10.1.0.5 dev eth1 weight 1 "
        "\\\tnexthop via 10.1.0.4 dev eth0 weight 1 "
    )
    assert _route(printed) == (
        "10.0.0.0/16 proto bgp metric 20 nexthop via 10.1.0.4 dev eth0 weight 1 nexthop via 10.1.0.5 dev eth1 weight 1"
    )
