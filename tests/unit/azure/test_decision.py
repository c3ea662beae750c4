"""What a NIC does with a packet and why: the same as in the tables, with all that lost."""

from __future__ import annotations

import json
from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.azure.model import (
    Azure,
    HubRoutingPreference,
    LearnedRoute,
    LearnedRoutes,
    NextHopType,
    RouteServer,
    RouteTable,
    UserRoute,
)
from labkit.azure.rules.decision import Decision, decide
from labkit.azure.rules.effective import effective_routes, lookup
from labkit.azure.rules.selection import Loss
from labkit.feed.codec import from_json, to_json

from .builders import addr, azure, er, er_gateway, net, network, nic, nva, path, peered, printed, table
from .test_properties import laboratory

NVA1, NVA2 = nva("nva1", 65001, "10.1.1.4"), nva("nva2", 65002, "10.1.2.4")
SERVER = RouteServer("rs1", "hub", (addr("10.1.0.4"), addr("10.1.0.5")), (NVA1, NVA2))
BRANCH = addr("10.250.0.10")


def lab(*routes: UserRoute, propagation: bool = True) -> Azure:
    return azure(
        [network("hub", "10.1.0.0/16", table="t"), network("spoke", "10.2.0.0/16")],
        peered("spoke", "hub", urg=True),
        servers=[SERVER],
        tables=[RouteTable("t", routes, not propagation)],
        nics=[nic("vm", "hub", "10.1.10.4"), nic("vm-spoke", "spoke", "10.2.0.4")],
    )


def decided(model: Azure, destination: IPv4Address, *paths: LearnedRoute, at: str = "vm") -> Decision:
    learned: LearnedRoutes = {"rs1": (table(*paths), table(*paths))}
    return decide(model, at, destination, table=effective_routes(model, at, learned), learned=learned)


def test_the_longest_prefix_wins_over_shorter_ones() -> None:
    found = decided(lab(), BRANCH, path("10.250.0.0/16", NVA1), path("10.250.0.0/24", NVA2))
    assert printed(found.rows, nones=True) == [
        "VirtualNetworkGateway 10.250.0.0/24 VirtualNetworkGateway 10.1.2.4",
        "VirtualNetworkGateway 10.250.0.0/16 VirtualNetworkGateway 10.1.1.4",
        "Default 10.0.0.0/8 None",
        "Default 0.0.0.0/0 Internet",
    ]
    assert [(p.peer.name, loss) for p, loss in found.paths] == [("nva2", None)]


def test_user_defined_before_bgp_of_equal_length() -> None:
    """The paths are not in use then, whatever they are."""
    user = UserRoute(net("10.250.0.0/16"), NextHopType.VIRTUAL_APPLIANCE, addr("10.1.2.4"))
    found = decided(lab(user), BRANCH, path("10.250.0.0/16", NVA1))
    assert [(str(row.source), str(row.state)) for row in found.rows[:2]] == [
        ("User", "Active"),
        ("VirtualNetworkGateway", "Invalid"),
    ]
    assert found.paths == ()
    assert found.left_out == ()


def test_paths_that_share_and_paths_that_lost() -> None:
    third = nva("nva3", 65003, "10.1.3.4")
    paths = [path("10.250.0.0/16", NVA2), path("10.250.0.0/16", third, "65003-65003"), path("10.250.0.0/16", NVA1)]
    found = decided(lab(), BRANCH, *paths)
    assert [(p.peer.name, loss) for p, loss in found.paths] == [
        ("nva1", None),
        ("nva2", None),
        ("nva3", Loss.AS_PATH),
    ]
    assert found.preference is HubRoutingPreference.EXPRESSROUTE


def test_what_a_range_covers_is_left_out() -> None:
    """Equal to a peered range, or inside it [near-ranges-not-programmed]."""
    found = decided(lab(), addr("10.2.0.4"), path("10.2.0.0/16", NVA1), path("10.2.0.0/24", NVA2))
    assert printed(found.rows[:1]) == ["Default 10.2.0.0/16 VNetPeering"]
    assert found.left_out == (net("10.2.0.0/24"), net("10.2.0.0/16"))
    assert found.paths == ()


def test_without_propagation_no_bgp_counts() -> None:
    found = decided(lab(propagation=False), addr("10.2.0.4"), path("10.2.0.0/16", NVA1), path("10.250.0.0/16", NVA1))
    assert (found.left_out, found.paths, found.listens_to) == ((), (), None)


def test_where_no_route_server_programs_there_is_none() -> None:
    model = azure([network("alone", "10.5.0.0/16")], nics=[nic("vm-alone", "alone", "10.5.0.4")])
    found = decided(model, BRANCH, at="vm-alone")
    assert (found.preference, found.listens_to, found.paths) == (None, None, ())


def test_gateways_paths_come_past_the_route_server() -> None:
    model = azure(
        [network("hub", "10.1.0.0/16")],
        servers=[SERVER],
        gateways=[er_gateway("er", "hub", "10.1.9.12")],
        nics=[nic("vm", "hub", "10.1.10.4")],
    )
    by_nva, by_circuit = path("10.250.0.0/16", NVA1), path("10.250.0.0/16", er(), "12076-65020-65020", "10.3.0.1")
    learned: LearnedRoutes = {"rs1": (table(by_nva), table(by_nva))}
    gateways = {"er": table(by_circuit)}
    rows = effective_routes(model, "vm", learned, gateways)
    found = decide(model, "vm", BRANCH, table=rows, learned=learned, gateways=gateways)
    assert [(p.peer.name, str(p.attributes.next_hop), p.attributes.as_path, loss) for p, loss in found.paths] == [
        ("er", "10.3.0.1", (12076, 65020, 65020), None),
        ("nva1", "10.1.1.4", (65001,), Loss.PREFERENCE),
    ]
    assert found.preference == "ExpressRoute"
    assert from_json(Decision, json.loads(json.dumps(to_json(Decision, found)))) == found


@given(laboratory(), st.ip_addresses(v=4))
def test_the_first_row_is_the_one_that_packets_follow(
    lab_and_learned: tuple[Azure, LearnedRoutes], address: IPv4Address
) -> None:
    model, learned = lab_and_learned
    for each in model.nics:
        rows = effective_routes(model, each.name, learned)
        for destination in (address, *(row.prefix[0] for row in rows)):
            found = decide(model, each.name, destination, table=rows, learned=learned)
            assert (found.rows[0] if found.rows else None) == lookup(rows, destination)
            used = sorted(p.attributes.next_hop for p, loss in found.paths if loss is None)
            if found.rows and found.rows[0].next_hop_type is NextHopType.VIRTUAL_NETWORK_GATEWAY:
                assert set(found.rows[0].next_hops) <= set(used)


@pytest.mark.parametrize("at", ["vm", "vm-spoke"])
def test_a_spoke_listens_to_its_hubs_route_server(at: str) -> None:
    found = decided(lab(), BRANCH, path("10.250.0.0/16", NVA1), at=at)
    assert found.listens_to is not None
    assert found.listens_to.name == "rs1"
