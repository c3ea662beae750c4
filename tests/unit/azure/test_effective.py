from dataclasses import replace
from ipaddress import IPv4Address
from typing import ClassVar

import pytest

from labkit.azure.model import (
    Azure,
    InstanceRoutes,
    LearnedRoute,
    LearnedRoutes,
    NextHopType,
    PathAttributes,
    ReservedBlocks,
    RouteServer,
    RouteTable,
    UserRoute,
)
from labkit.azure.rules.effective import (
    RESERVED_BLOCKS,
    active,
    effective_routes,
    effective_table,
    forwarding_key,
    listened_instance,
    lookup,
)

from .builders import addr, azure, er, net, network, nic, nva, path, peered, printed, table

NVA1, NVA2 = nva("nva1", 65001, "10.1.1.4"), nva("nva2", 65002, "10.1.2.4")
SERVER = RouteServer("rs1", "hub", (addr("10.1.0.4"), addr("10.1.0.5")), (NVA1, NVA2))
INTERNET = "Default 0.0.0.0/0 Internet"


def both(*paths: LearnedRoute) -> LearnedRoutes:
    routes = table(*paths)
    return {"rs1": (routes, routes)}


def user(prefix: str, kind: NextHopType, next_hop: str | None = None) -> UserRoute:
    return UserRoute(net(prefix), kind, None if next_hop is None else addr(next_hop))


def lab(*routes: UserRoute, propagation: bool = True) -> Azure:
    """A hub with a route server and a table on `vm`'s subnet; spokes with and without URG; one beyond a spoke."""
    used = "t" if routes or not propagation else None
    return azure(
        [
            network("hub", "10.1.0.0/16", table=used),
            network("urg", "10.2.0.0/16"),
            network("urg2", "10.6.0.0/16"),
            network("plain", "10.3.0.0/16"),
            network("far", "10.4.0.0/16"),
            network("alone", "10.5.0.0/16"),
        ],
        peered("urg", "hub", urg=True),
        peered("urg2", "hub", urg=True),
        peered("plain", "hub"),
        peered("far", "plain", is_global=True),
        servers=[SERVER],
        tables=[RouteTable("t", routes, not propagation)],
        nics=[
            nic("vm", "hub", "10.1.10.4"),
            nic("nva1", "hub", "10.1.1.4"),
            nic("vm-urg", "urg", "10.2.0.4"),
            nic("vm-plain", "plain", "10.3.0.4"),
            nic("vm-far", "far", "10.4.0.4"),
            nic("vm-alone", "alone", "10.5.0.4"),
        ],
    )


HUB_SYSTEM = [
    "Default 10.1.0.0/16 VnetLocal",
    "Default 10.2.0.0/16 VNetPeering",
    "Default 10.6.0.0/16 VNetPeering",
    "Default 10.3.0.0/16 VNetPeering",
]


def test_system_routes_alone() -> None:
    # [system-routes, non-transitive]
    assert printed(effective_routes(lab(), "vm", {})) == [*HUB_SYSTEM, INTERNET]
    assert printed(effective_routes(lab(), "vm-alone", {})) == ["Default 10.5.0.0/16 VnetLocal", INTERNET]
    assert printed(effective_routes(lab(), "vm-far", {})) == [
        "Default 10.4.0.0/16 VnetLocal",
        INTERNET,
        "Default 10.3.0.0/16 VNetGlobalPeering",
    ]


def test_a_peering_of_one_direction_carries_nothing() -> None:
    one_sided = replace(lab(), peerings=lab().peerings[:1])
    assert printed(effective_routes(one_sided, "vm-urg", {})) == ["Default 10.2.0.0/16 VnetLocal", INTERNET]


def test_bgp_reaches_own_and_urg_networks_only() -> None:
    # [table-per-nic]
    learned = both(path("10.250.0.0/16", NVA1))
    row = "VirtualNetworkGateway 10.250.0.0/16 VirtualNetworkGateway 10.1.1.4"
    for where, expected in {"vm": True, "nva1": True, "vm-urg": True, "vm-plain": False, "vm-far": False}.items():
        assert (row in printed(effective_routes(lab(), where, learned))) is expected, where


def test_an_nvas_own_nic_gets_its_own_routes() -> None:
    # [nva-own-nic, self-next-hop]
    found = lookup(effective_routes(lab(), "nva1", both(path("0.0.0.0/0", NVA1))), addr("198.51.100.10"))
    assert found is not None
    assert found.next_hops == (NVA1.address,)


@pytest.mark.parametrize("prefix", ["10.1.0.0/16", "10.1.5.0/24", "10.2.0.0/16", "10.6.0.0/24", "10.3.0.0/16"])
def test_suppressed_in_the_hub(prefix: str) -> None:
    # Own, URG-spoke and directly peered ranges, equal or longer [own-ranges-not-programmed].
    rows = effective_routes(lab(), "vm", both(path(prefix, NVA1)))
    assert not [r for r in rows if r.source == "VirtualNetworkGateway"]


def test_suppression_scopes_in_a_spoke() -> None:
    # (i) the other URG spoke's range everywhere, though it is not peered here [near-ranges-not-programmed];
    # (ii) a network that is peered with the hub only is no system range here.
    learned = both(path("10.6.0.0/16", NVA1), path("10.3.0.0/16", NVA1), path("10.2.0.0/24", NVA1))
    assert printed(effective_routes(lab(), "vm-urg", learned)) == [
        "Default 10.2.0.0/16 VnetLocal",
        "Default 10.1.0.0/16 VNetPeering",
        "VirtualNetworkGateway 10.3.0.0/16 VirtualNetworkGateway 10.1.1.4",
        INTERNET,
    ]


def test_a_supernet_is_programmed() -> None:
    # [own-ranges-not-programmed]
    rows = effective_routes(lab(), "vm-urg", both(path("10.0.0.0/12", NVA1)))
    found = lookup(rows, addr("10.6.0.4"))
    assert found is not None
    assert found.next_hops == (NVA1.address,)


def test_ecmp_is_one_row_in_ascending_order() -> None:
    # [nva-ecmp, multipath-entry]
    rows = effective_routes(lab(), "vm", both(path("10.250.0.0/16", NVA2), path("10.250.0.0/16", NVA1)))
    assert "VirtualNetworkGateway 10.250.0.0/16 VirtualNetworkGateway 10.1.1.4 10.1.2.4" in printed(rows)


@pytest.mark.parametrize(
    ("next_hop", "where", "row"),
    [
        ("10.1.9.9", "vm", "VirtualNetworkGateway 10.1.9.9"),
        ("10.3.0.9", "vm", "VirtualNetworkGateway 10.3.0.9"),  # directly peered: CASC
        ("10.4.0.9", "vm", "None"),  # one peering further: AZC [none-next-hop]
        ("172.16.0.1", "vm", "None"),
        ("10.1.9.9", "vm-urg", "VirtualNetworkGateway 10.1.9.9"),
        ("10.3.0.9", "vm-urg", "None"),
    ],
)
def test_next_hop_in_a_network_that_is_not_adjacent(next_hop: str, where: str, row: str) -> None:
    # [third-party-next-hop, none-next-hop]
    learned = both(path("10.250.0.0/16", NVA1, next_hop=next_hop))
    assert f"VirtualNetworkGateway 10.250.0.0/16 {row}" in printed(effective_routes(lab(), where, learned))


def test_an_adjacent_next_hop_outlives_one_that_is_not() -> None:
    learned = both(path("10.250.0.0/16", NVA1, next_hop="10.4.0.9"), path("10.250.0.0/16", NVA2))
    row = "VirtualNetworkGateway 10.250.0.0/16 VirtualNetworkGateway 10.1.2.4"
    assert row in printed(effective_routes(lab(), "vm", learned))


def test_an_expressroute_next_hop_is_in_no_network() -> None:
    # FAB-E has 10.3.129.67 [expressroute-next-hop].
    learned = both(
        path("10.2.13.0/25", er(), "12076-65021", next_hop="172.30.0.1"), path("10.99.0.0/16", er(), "12076")
    )
    assert "VirtualNetworkGateway 10.99.0.0/16 VirtualNetworkGateway 10.1.9.12" in printed(
        effective_routes(lab(), "vm", learned)
    )


class TestDefaultRoute:
    """What becomes of the Default 0/0, and with it of the None blocks [default-replaced, blocks-with-default]."""

    BGP = path("0.0.0.0/0", NVA1)
    BGP_ROW = "VirtualNetworkGateway 0.0.0.0/0 VirtualNetworkGateway 10.1.1.4"

    @staticmethod
    def seen(lab: Azure, learned: LearnedRoutes) -> tuple[list[str], int]:
        """The rows for 0/0, and how many None blocks there are."""
        rows = effective_routes(lab, "vm", learned)
        return printed(r for r in rows if r.prefix.prefixlen == 0), len(
            [r for r in rows if r.prefix in RESERVED_BLOCKS]
        )

    def test_undisturbed(self) -> None:
        assert self.seen(lab(), {}) == ([INTERNET], 21)

    def test_in_2021_there_are_fifteen_blocks(self) -> None:
        """The rows of myers-dev/RouteServer-default-route, whose hub has 10.1.0.0/16 [reserved-blocks-2021]."""
        then = replace(lab(), reserved_blocks=ReservedBlocks.IN_2021)
        found = [str(r.prefix) for r in effective_routes(then, "vm", {}) if r.next_hop_type is NextHopType.NONE]
        assert len(found) == 15
        assert {"25.33.0.0/16", "25.41.0.0/20", "25.48.0.0/12"} <= {*found}
        assert not {"172.16.0.0/12", "127.0.0.0/8"} & {*found}
        assert self.seen(replace(then, reserved_blocks=ReservedBlocks.TODAY), {}) == ([INTERNET], 21)

    def test_bgp_removes_it(self) -> None:
        assert self.seen(lab(), both(self.BGP)) == ([self.BGP_ROW], 0)

    def test_an_appliance_makes_it_invalid(self) -> None:
        got = self.seen(lab(user("0.0.0.0/0", NextHopType.VIRTUAL_APPLIANCE, "10.1.1.4")), {})
        assert got == ([f"Invalid {INTERNET}", "User 0.0.0.0/0 VirtualAppliance 10.1.1.4"], 0)

    def test_a_user_route_to_the_internet_makes_it_invalid(self) -> None:
        got = self.seen(lab(user("0.0.0.0/0", NextHopType.INTERNET)), {})
        assert got == ([f"Invalid {INTERNET}", "User 0.0.0.0/0 Internet"], 0)

    def test_under_a_user_route_to_none_the_blocks_remain(self) -> None:
        # [O IPS]
        got = self.seen(lab(user("0.0.0.0/0", NextHopType.NONE)), {})
        assert got == ([f"Invalid {INTERNET}", "User 0.0.0.0/0 None"], 21)

    def test_a_user_route_beats_bgp_and_the_default_row_stays_away(self) -> None:
        # What cures a loop by one's own default route [self-next-hop]; rows as in a published capture.
        got = self.seen(lab(user("0.0.0.0/0", NextHopType.INTERNET)), both(self.BGP))
        assert got == ([f"Invalid {self.BGP_ROW}", "User 0.0.0.0/0 Internet"], 0)

    def test_two_halves_leave_it(self) -> None:
        halves = both(path("0.0.0.0/1", NVA1), path("128.0.0.0/1", NVA1))
        assert self.seen(lab(), halves) == ([INTERNET], 21)

    def test_without_propagation_it_is_back(self) -> None:
        # Present with propagation off [propagation-off, default-replaced].
        assert self.seen(lab(propagation=False), both(self.BGP)) == ([INTERNET], 21)


def test_reserved_blocks_that_networks_own() -> None:
    # An exactly owned block is the network's [block-owned]; so is one that it contains. A part owned leaves it
    # [block-owned-in-part]. A peered network's exact block has one Active row as well.
    model = azure(
        [
            network("exact", "192.168.0.0/16", "198.16.0.0/14"),
            network("peer", "100.64.0.0/10", "172.16.0.0/16"),
        ],
        peered("exact", "peer"),
        nics=[nic("vm", "exact", "192.168.0.4")],
    )
    rows = printed(effective_routes(model, "vm", {}), nones=True)
    assert "Default 192.168.0.0/16 VnetLocal" in rows
    assert "Default 192.168.0.0/16 None" not in rows
    assert "Default 198.18.0.0/15 None" not in rows
    assert "Default 100.64.0.0/10 None" not in rows
    assert "Default 172.16.0.0/12 None" in rows
    assert len([r for r in rows if r.endswith("None")]) == 18


def test_bgp_replaces_an_equal_reserved_block() -> None:
    rows = effective_routes(lab(), "vm", both(path("192.168.0.0/16", NVA1)))
    assert [r for r in printed(rows, nones=True) if " 192.168.0.0/16 " in r] == [
        "VirtualNetworkGateway 192.168.0.0/16 VirtualNetworkGateway 10.1.1.4"
    ]


def test_user_routes_beat_system_routes_of_the_same_prefix() -> None:
    # [longest-prefix]
    rows = printed(effective_routes(lab(user("10.3.0.0/16", NextHopType.VIRTUAL_APPLIANCE, "10.1.1.4")), "vm", {}))
    assert "Invalid Default 10.3.0.0/16 VNetPeering" in rows
    assert "User 10.3.0.0/16 VirtualAppliance 10.1.1.4" in rows


def test_user_routes_beat_bgp_of_the_same_prefix_only() -> None:
    learned = both(path("10.250.0.0/16", NVA1), path("10.250.1.0/24", NVA1))
    rows = effective_routes(lab(user("10.250.0.0/16", NextHopType.NONE)), "vm", learned)
    assert "Invalid VirtualNetworkGateway 10.250.0.0/16 VirtualNetworkGateway 10.1.1.4" in printed(rows)
    assert str(lookup(rows, addr("10.250.0.1")).next_hop_type) == "None"  # type: ignore[union-attr]
    assert lookup(rows, addr("10.250.1.1")).next_hops == (NVA1.address,)  # type: ignore[union-attr]


def test_an_appliance_that_is_not_adjacent_is_none() -> None:
    # [none-next-hop]
    rows = printed(effective_routes(lab(user("10.4.0.0/16", NextHopType.VIRTUAL_APPLIANCE, "10.4.0.4")), "vm", {}))
    assert "User 10.4.0.0/16 None" in rows


def test_propagation_off_keeps_user_routes() -> None:
    # [propagation-off]
    model = lab(user("10.250.0.0/16", NextHopType.VIRTUAL_APPLIANCE, "10.1.1.4"), propagation=False)
    rows = printed(effective_routes(model, "vm", both(path("10.251.0.0/16", NVA1))))
    assert rows == [*HUB_SYSTEM, INTERNET, "User 10.250.0.0/16 VirtualAppliance 10.1.1.4"]


def test_own_server_before_the_hubs() -> None:
    # [dual-homed-spoke]
    own = RouteServer("rs2", "urg", (addr("10.2.1.4"), addr("10.2.1.5")), (NVA2,))
    model = replace(lab(), route_servers=(SERVER, own))
    routes = table(path("10.250.0.0/16", NVA1))
    assert printed(effective_routes(model, "vm-urg", {"rs1": (routes, routes), "rs2": ({}, {})})) == [
        "Default 10.2.0.0/16 VnetLocal",
        "Default 10.1.0.0/16 VNetPeering",
        INTERNET,
    ]


class TestInstances:
    """One session only [one-instance-peering], and a NIC's choice of instance."""

    ZERO: ClassVar[InstanceRoutes] = table(path("10.250.0.0/16", NVA1))
    ONE: ClassVar[InstanceRoutes] = table(path("10.250.0.0/16", NVA2))

    @staticmethod
    def hops(name: str, *routes: InstanceRoutes | None) -> tuple[IPv4Address, ...]:
        model = replace(lab(), nics=(nic(name, "hub", "10.1.10.4"),))
        first, second = routes
        rows = effective_routes(model, name, {"rs1": (first, second)})
        return next((r.next_hops for r in rows if r.prefix == net("10.250.0.0/16")), ())

    def test_each_name_has_its_instance_for_good(self) -> None:
        chosen = [listened_instance(f"vm{i}") for i in range(100)]
        assert set(chosen) == {0, 1}
        assert 30 < sum(chosen) < 70
        assert [listened_instance("vm1"), listened_instance("vm2")] == [0, 1]  # pinned: the overview has one on each

    @pytest.mark.parametrize("name", [f"vm{i}" for i in range(8)])
    def test_follow_the_instance_that_is_up(self, name: str) -> None:
        per_instance = ((NVA1.address,), (NVA2.address,))
        assert self.hops(name, self.ZERO, self.ONE) == per_instance[listened_instance(name)]
        assert self.hops(name, self.ZERO, None) == (NVA1.address,)
        assert self.hops(name, None, self.ONE) == (NVA2.address,)
        assert self.hops(name, None, None) == ()

    def test_an_instance_that_is_up_and_empty_is_listened_to(self) -> None:
        name = next(f"vm{i}" for i in range(8) if listened_instance(f"vm{i}") == 0)
        assert self.hops(name, {}, self.ONE) == ()


def test_equal_keys_mean_equal_tables() -> None:
    model = replace(lab(), nics=(*lab().nics, *(nic(f"x{i}", "hub", f"10.1.11.{i + 4}") for i in range(20))))
    learned = {"rs1": (table(path("10.250.0.0/16", NVA1)), table(path("10.250.0.0/16", NVA2)))}
    keys = {n.name: forwarding_key(model, n.name, learned) for n in model.nics}
    for name, key in keys.items():
        assert effective_table(model, key, learned) == effective_routes(model, name, learned)
    assert len({keys[f"x{i}"] for i in range(20)}) == 2
    off = lab(propagation=False)
    assert forwarding_key(off, "vm", learned).instance is None


def test_two_user_routes_for_one_prefix_never_reach_a_table() -> None:
    twice = lab(user("10.9.0.0/16", NextHopType.NONE), user("10.9.0.0/16", NextHopType.INTERNET))
    assert [r for r in printed(effective_routes(twice, "vm", {})) if "10.9.0.0" in r] == ["User 10.9.0.0/16 None"]


def test_active_leaves_out_the_invalid() -> None:
    rows = effective_routes(lab(user("0.0.0.0/0", NextHopType.INTERNET)), "vm", both(path("0.0.0.0/0", NVA1)))
    assert [str(r.source) for r in active(rows) if r.prefix.prefixlen == 0] == ["User"]


def test_lookup_without_a_match() -> None:
    assert lookup((), addr("10.0.0.1")) is None


def test_unknown_nic() -> None:
    with pytest.raises(KeyError):
        effective_routes(lab(), "nobody", {})


def test_an_empty_set_of_paths_is_no_route() -> None:
    assert printed(effective_routes(lab(), "vm", {"rs1": ({net("10.250.0.0/16"): ()}, {})})) == [*HUB_SYSTEM, INTERNET]


def test_attributes_beyond_next_hop_and_path_do_not_reach_nics() -> None:
    # no-advertise routes are programmed all the same [no-advertise].
    quiet = LearnedRoute(
        net("10.250.0.0/16"), PathAttributes(NVA1.address, (65001,), communities=((65535, 65282),)), NVA1
    )
    assert "VirtualNetworkGateway 10.250.0.0/16 VirtualNetworkGateway 10.1.1.4" in printed(
        effective_routes(lab(), "vm", both(quiet))
    )


def test_where_ranges_overlap_the_own_one_counts() -> None:
    # Azure refuses such a peering (`validation`); the table must hold one row for the prefix all the same.
    model = azure(
        [network("a", "10.1.0.0/16"), network("b", "10.1.0.0/16")],
        peered("a", "b"),
        nics=[nic("vm", "a", "10.1.0.4")],
    )
    assert printed(effective_routes(model, "vm", {})) == ["Default 10.1.0.0/16 VnetLocal", INTERNET]
