"""Which routes a kernel lacks, by what FRR 10.3 printed in a lab."""

from __future__ import annotations

from typing import Any

import pytest

from labkit.start.lost_routes import missing

NEXT_HOP = {"flags": 3, "fib": True, "ip": "10.1.1.1", "interfaceIndex": 2, "interfaceName": "eth0", "active": True}
ON_LINK = {"flags": 3, "fib": True, "directlyConnected": True, "interfaceName": "vxlan1", "active": True}
UNMARKED = {"flags": 1, "ip": "10.0.3.1", "interfaceIndex": 2, "interfaceName": "eth0", "active": True}
RECURSIVE = {"flags": 5, "ip": "10.0.9.9", "active": True, "recursive": True}
UNUSED = {"ip": "10.1.2.1", "interfaceName": "eth1"}


def route(*hops: dict[str, Any], installed: bool = True) -> dict[str, Any]:
    row = {"protocol": "static", "selected": True, "nexthops": list(hops)}
    return row | ({"installed": True} if installed else {})


@pytest.mark.parametrize(
    ("shown", "there", "wanted"),
    [
        ({"10.1.0.0/26": [route(NEXT_HOP)]}, {"10.1.0.0/26"}, []),
        ({"0.0.0.0/0": [route(NEXT_HOP)]}, {"default"}, []),
        ({"0.0.0.0/0": [route(NEXT_HOP)]}, set(), [("0.0.0.0/0", "nexthop via 10.1.1.1 dev eth0")]),
        ({"10.9.0.0/16": [route(ON_LINK)]}, {"10.9.0.0/24"}, [("10.9.0.0/16", "nexthop dev vxlan1")]),
        (
            {"10.9.0.0/16": [route(NEXT_HOP, UNUSED, ON_LINK)]},
            set(),
            [("10.9.0.0/16", "nexthop via 10.1.1.1 dev eth0 nexthop dev vxlan1")],
        ),
        # As after a flap in a lab: the route is installed, and none of its next hops is.
        ({"0.0.0.0/0": [route(UNMARKED)]}, set(), [("0.0.0.0/0", "nexthop via 10.0.3.1 dev eth0")]),
        ({"0.0.0.0/0": [route(RECURSIVE, UNMARKED)]}, set(), [("0.0.0.0/0", "nexthop via 10.0.3.1 dev eth0")]),
        # Of BGP, whose next hop a static route leads to; and with the source that a route map gives them.
        (
            {"10.2.0.0/16": [route(RECURSIVE, NEXT_HOP | {"resolver": True})]},
            set(),
            [("10.2.0.0/16", "nexthop via 10.1.1.1 dev eth0")],
        ),
        (
            {"10.2.0.0/16": [route(NEXT_HOP | {"rmapSource": "10.50.0.1"})]},
            set(),
            [("10.2.0.0/16", "src 10.50.0.1 nexthop via 10.1.1.1 dev eth0")],
        ),
        # zebra has noticed that the link was down, and will install it itself.
        ({"10.1.0.0/26": [route(NEXT_HOP, installed=False)]}, set(), []),
        ({"10.1.0.0/26": [route(UNUSED)]}, set(), []),
    ],
)
def test_what_zebra_takes_for_installed_and_the_kernel_lacks(
    shown: dict[str, list[dict[str, Any]]], there: set[str], wanted: list[tuple[str, str]]
) -> None:
    assert [(prefix, " ".join(words)) for prefix, words in missing(shown, there)] == wanted
