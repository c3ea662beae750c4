"""What published captures of real Azure show (docs/captures.md, docs/sources.yml), asked of the rules."""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import ClassVar

from labkit.azure.model import (
    Azure,
    BgpPeer,
    InstanceRoutes,
    LearnedRoutes,
    NextHopType,
    OwnRangePolicy,
    PathAttributes,
    RouteServer,
    RouteTable,
    UserRoute,
)
from labkit.azure.rules.acceptance import originated, rejection
from labkit.azure.rules.advertisement import advertised_to_peer, originated_routes
from labkit.azure.rules.effective import effective_routes
from labkit.azure.rules.rows import as_path_text

from .builders import addr, azure, er, net, network, nic, nva, path, peered, printed, table, vpn


def sent(model: Azure, server: RouteServer, peer: BgpPeer, routes: InstanceRoutes, instance: int = 0) -> dict[str, str]:
    """Everything an instance advertises to a peer: prefix and path, as the listing shows them."""
    mine = originated(model, server.name)
    everything: dict[IPv4Network, PathAttributes] = originated_routes(server, instance, peer, mine)
    for prefix, paths in routes.items():
        attributes = advertised_to_peer(server, instance, peer, mine, prefix, paths)
        if attributes is not None:
            assert prefix not in everything
            everything[prefix] = attributes
    if peer.asn != 65515:
        assert {a.next_hop for a in everything.values()} <= {server.instances[instance]}
    return {str(p): as_path_text(a.as_path) for p, a in everything.items()}


def listing(text: str) -> dict[str, str]:
    return dict(line.split() for line in text.strip().splitlines())


def heard(peer: BgpPeer, text: str, next_hop: str | None = None) -> InstanceRoutes:
    return table(*(path(prefix, peer, as_path, next_hop) for prefix, as_path in listing(text).items()))


def merged(*tables: InstanceRoutes) -> InstanceRoutes:
    return table(*(p for t in tables for paths in t.values() for p in paths))


class TestOverview:
    """SEED1."""

    SDWAN = nva("sdwan-nva", 65001, "10.1.1.4")
    SECURITY = nva("security-nva", 65002, "10.1.2.4")
    SERVER = RouteServer("rs1", "vnet1", (addr("10.1.0.4"), addr("10.1.0.5")), (SDWAN, SECURITY))
    ROUTES = table(path("10.250.0.0/16", SDWAN, "65001-65010"), path("0.0.0.0/0", SECURITY))
    LEARNED: ClassVar[LearnedRoutes] = {"rs1": (ROUTES, ROUTES)}

    def lab(self) -> Azure:
        subnets = {"sdwan": "10.1.1.0/24", "workload": "10.1.10.0/24"}
        vnet1 = network("vnet1", "10.1.0.0/16", subnets=subnets)
        security = network("vnet1", "10.1.0.0/16", subnets={"security": "10.1.2.0/24"}, table="direct-internet").subnets
        return azure(
            [type(vnet1)(vnet1.name, vnet1.address_space, vnet1.subnets + security)],
            servers=[self.SERVER],
            tables=[RouteTable("direct-internet", (UserRoute(net("0.0.0.0/0"), NextHopType.INTERNET),))],
            nics=[
                nic("sdwan-nva", "vnet1", "10.1.1.4", "sdwan"),
                nic("security-nva", "vnet1", "10.1.2.4", "security"),
                nic("vm1", "vnet1", "10.1.10.4", "workload"),
            ],
        )

    def test_vm(self) -> None:
        expected = [
            "Default 10.1.0.0/16 VnetLocal",
            "VirtualNetworkGateway 10.250.0.0/16 VirtualNetworkGateway 10.1.1.4",
            "VirtualNetworkGateway 0.0.0.0/0 VirtualNetworkGateway 10.1.2.4",
        ]
        assert printed(effective_routes(self.lab(), "vm1", self.LEARNED), nones=True) == expected
        assert printed(effective_routes(self.lab(), "sdwan-nva", self.LEARNED), nones=True) == expected

    def test_security_nva_needs_its_route_table(self) -> None:
        assert printed(effective_routes(self.lab(), "security-nva", self.LEARNED), nones=True) == [
            "Default 10.1.0.0/16 VnetLocal",
            "VirtualNetworkGateway 10.250.0.0/16 VirtualNetworkGateway 10.1.1.4",
            "Invalid VirtualNetworkGateway 0.0.0.0/0 VirtualNetworkGateway 10.1.2.4",
            "User 0.0.0.0/0 Internet",
        ]

    def test_nvas_receive_the_virtual_network_and_with_b2b_off_nothing_else(self) -> None:
        for peer in self.SERVER.peers:
            for instance in (0, 1):
                assert sent(self.lab(), self.SERVER, peer, self.ROUTES, instance) == {"10.1.0.0/16": "65515"}

    def test_nvas_receive_each_others_routes_with_b2b_on(self) -> None:
        on = RouteServer("rs1", "vnet1", self.SERVER.instances, self.SERVER.peers, branch_to_branch=True)
        assert sent(self.lab(), on, self.SDWAN, self.ROUTES) == listing("10.1.0.0/16 65515\n0.0.0.0/0 65515-65002")
        assert sent(self.lab(), on, self.SECURITY, self.ROUTES) == listing(
            "10.1.0.0/16 65515\n10.250.0.0/16 65515-65001-65010"
        )


class TestDualHomedSpoke:
    """FAB-D (`route-server/rs-dualhome-s2s-vpn`, sections 4.4 to 4.6)."""

    CSR1 = nva("csr1", 65001, "10.101.2.10")
    CSR2 = nva("csr2", 65002, "10.102.2.10")
    SERVER = RouteServer("rs0", "vnet0", (addr("10.0.0.4"), addr("10.0.0.5")), (CSR1, CSR2), branch_to_branch=True)
    FROM_CSR1 = heard(
        CSR1,
        """
        10.5.3.0/24   65001-65005
        10.5.2.0/24   65001-65005
        10.5.1.0/24   65001-65005
        10.101.1.0/24 65001
        10.101.2.0/24 65001
        10.101.3.0/24 65001""",
    )
    FROM_CSR2 = heard(
        CSR2,
        """
        10.5.1.0/24   65002-65005-65005
        10.5.2.0/24   65002-65005-65005
        10.5.3.0/24   65002-65005-65005
        10.102.1.0/24 65002
        10.102.2.0/24 65002
        10.102.3.0/24 65002""",
    )

    def lab(self) -> Azure:
        return azure(
            [
                network("vnet0", "10.0.0.0/24", "10.0.1.0/24"),
                network("vnet1", "10.101.0.0/16", table="vm13"),
                network("vnet2", "10.102.0.0/16"),
            ],
            peered("vnet0", "vnet2", is_global=True),
            peered("vnet0", "vnet1", is_global=True),
            servers=[self.SERVER],
            tables=[
                RouteTable("vm13", (UserRoute(net("10.0.0.0/8"), NextHopType.VIRTUAL_APPLIANCE, addr("10.101.2.10")),))
            ],
            nics=[nic("vm02", "vnet0", "10.0.0.100"), nic("vm13", "vnet1", "10.101.3.10")],
        )

    def vm02(self, routes: InstanceRoutes) -> list[str]:
        return printed(effective_routes(self.lab(), "vm02", {"rs0": (routes, routes)}))

    def test_everything_received_is_kept(self) -> None:
        mine = originated(self.lab(), "rs0")
        for paths in merged(self.FROM_CSR1, self.FROM_CSR2).values():
            assert [rejection(p, self.SERVER, mine) for p in paths] == [None] * len(paths)

    def test_advertised(self) -> None:
        routes = merged(self.FROM_CSR2, self.FROM_CSR1)
        assert sent(self.lab(), self.SERVER, self.CSR1, routes) == listing(
            """
            10.0.0.0/24   65515
            10.0.1.0/24   65515
            10.102.1.0/24 65515-65002
            10.102.2.0/24 65515-65002
            10.102.3.0/24 65515-65002"""
        )
        assert sent(self.lab(), self.SERVER, self.CSR2, routes, 1) == listing(
            """
            10.0.0.0/24   65515
            10.0.1.0/24   65515
            10.5.3.0/24   65515-65001-65005
            10.5.2.0/24   65515-65001-65005
            10.5.1.0/24   65515-65001-65005
            10.101.1.0/24 65515-65001
            10.101.2.0/24 65515-65001
            10.101.3.0/24 65515-65001"""
        )

    def test_vm02(self) -> None:
        assert self.vm02(merged(self.FROM_CSR1, self.FROM_CSR2)) == [
            "Default 10.0.0.0/24 VnetLocal",
            "Default 10.0.1.0/24 VnetLocal",
            "VirtualNetworkGateway 10.5.1.0/24 VirtualNetworkGateway 10.101.2.10",
            "VirtualNetworkGateway 10.5.2.0/24 VirtualNetworkGateway 10.101.2.10",
            "VirtualNetworkGateway 10.5.3.0/24 VirtualNetworkGateway 10.101.2.10",
            "Default 0.0.0.0/0 Internet",
            "Default 10.102.0.0/16 VNetGlobalPeering",
            "Default 10.101.0.0/16 VNetGlobalPeering",
        ]

    def test_vm02_with_csr1_down(self) -> None:
        assert [r.split()[-1] for r in self.vm02(self.FROM_CSR2) if " 10.5." in r] == ["10.102.2.10"] * 3

    def test_vm02_without_prepend(self) -> None:
        plain = heard(self.CSR2, "10.5.1.0/24 65002-65005")
        rows = self.vm02(merged(plain, self.FROM_CSR1))
        assert "VirtualNetworkGateway 10.5.1.0/24 VirtualNetworkGateway 10.101.2.10 10.102.2.10" in rows

    def test_vm13(self) -> None:
        routes = merged(self.FROM_CSR1, self.FROM_CSR2)
        assert printed(effective_routes(self.lab(), "vm13", {"rs0": (routes, routes)})) == [
            "Default 10.101.0.0/16 VnetLocal",
            "Default 0.0.0.0/0 Internet",
            "User 10.0.0.0/8 VirtualAppliance 10.101.2.10",
            "Default 10.0.0.0/24 VNetGlobalPeering",
            "Default 10.0.1.0/24 VNetGlobalPeering",
        ]


class TestDualExpressRoute:
    """FAB-E (`route-server/rs-dualhome-2er-circuits`, sections 4.1 to 4.6); era 2021."""

    CSR1 = nva("csr1", 65001, "10.101.3.10")
    CSR2 = nva("csr2", 65002, "10.102.3.10")
    ER1 = er("er1", "10.101.5.12")
    RS0 = RouteServer(
        "rs0",
        "vnet0",
        (addr("10.100.0.4"), addr("10.100.0.5")),
        (CSR1, CSR2),
        branch_to_branch=True,
        own_ranges=OwnRangePolicy.KEEP,
    )
    RS1 = RouteServer(
        "rs1",
        "vnet1",
        (addr("10.101.1.4"), addr("10.101.1.5")),
        (CSR1, ER1),
        branch_to_branch=True,
        own_ranges=OwnRangePolicy.KEEP,
    )
    CSR1_SENDS = """
        10.2.13.0/25  65001-65001-12076-65021
        10.100.0.0/24 65001-65001
        10.101.0.0/16 65001-65001
        10.200.0.0/24 65001-65001
        10.101.3.0/24 65001
        10.101.4.0/24 65001
        10.2.20.0/25  65001-65001-65002-65002-12076-65021
        10.102.0.0/16 65001-65001-65002-65002
        10.102.3.0/24 65001-65001-65002
        10.102.4.0/24 65001-65001-65002"""
    CSR2_SENDS = """
        10.2.13.0/25  65002-65002-65001-65001-12076-65021
        10.2.20.0/25  65002-65002-12076-65021
        10.100.0.0/24 65002-65002
        10.102.0.0/16 65002-65002
        10.200.0.0/24 65002-65002
        10.101.0.0/16 65002-65002-65001-65001
        10.101.3.0/24 65002-65002-65001
        10.101.4.0/24 65002-65002-65001
        10.102.3.0/24 65002
        10.102.4.0/24 65002"""
    AT_RS0 = merged(heard(CSR1, CSR1_SENDS), heard(CSR2, CSR2_SENDS))
    AT_RS1 = merged(heard(CSR1, CSR1_SENDS), heard(ER1, "10.2.13.0/25 12076-65021", "10.3.129.67"))
    LEARNED: ClassVar[LearnedRoutes] = {"rs0": (AT_RS0, AT_RS0), "rs1": (AT_RS1, AT_RS1)}

    def lab(self) -> Azure:
        return azure(
            [
                network("vnet0", "10.100.0.0/24", "10.200.0.0/24"),
                network("vnet1", "10.101.0.0/16"),
                network("vnet2", "10.102.0.0/16"),
            ],
            peered("vnet0", "vnet2"),
            peered("vnet0", "vnet1", is_global=True),
            servers=[self.RS0, self.RS1],
            nics=[
                nic("vm02", "vnet0", "10.100.0.133"),
                nic("vm14", "vnet1", "10.101.4.10"),
                nic("csr1", "vnet1", "10.101.3.10"),
            ],
        )

    def test_everything_received_is_kept_in_that_era(self) -> None:
        for server, routes in ((self.RS0, self.AT_RS0), (self.RS1, self.AT_RS1)):
            mine = originated(self.lab(), server.name)
            assert [rejection(p, server, mine) for paths in routes.values() for p in paths if p.peer.asn != 65515] == (
                [None] * sum(p.peer.asn != 65515 for paths in routes.values() for p in paths)
            )

    def test_rs0_advertises(self) -> None:
        assert sent(self.lab(), self.RS0, self.CSR1, self.AT_RS0) == listing(
            """
            10.100.0.0/24 65515
            10.200.0.0/24 65515
            10.2.20.0/25  65515-65002-65002-12076-65021
            10.102.0.0/16 65515-65002-65002
            10.102.3.0/24 65515-65002
            10.102.4.0/24 65515-65002"""
        )
        assert sent(self.lab(), self.RS0, self.CSR2, self.AT_RS0, 1) == listing(
            """
            10.100.0.0/24 65515
            10.200.0.0/24 65515
            10.2.13.0/25  65515-65001-65001-12076-65021
            10.101.0.0/16 65515-65001-65001
            10.101.3.0/24 65515-65001
            10.101.4.0/24 65515-65001"""
        )

    def test_rs1_advertises(self) -> None:
        assert sent(self.lab(), self.RS1, self.CSR1, self.AT_RS1) == listing(
            """
            10.101.0.0/16 65515
            10.2.13.0/25  65515-12076-65021"""
        )

    def test_vm02(self) -> None:
        assert printed(effective_routes(self.lab(), "vm02", self.LEARNED)) == [
            "Default 10.100.0.0/24 VnetLocal",
            "Default 10.200.0.0/24 VnetLocal",
            "Default 10.102.0.0/16 VNetPeering",
            "VirtualNetworkGateway 10.2.13.0/25 VirtualNetworkGateway 10.101.3.10",
            "VirtualNetworkGateway 10.2.20.0/25 VirtualNetworkGateway 10.102.3.10",
            "Default 0.0.0.0/0 Internet",
            "Default 10.101.0.0/16 VNetGlobalPeering",
        ]

    def test_vm14_and_the_nva_itself(self) -> None:
        expected = [
            "Default 10.101.0.0/16 VnetLocal",
            "VirtualNetworkGateway 10.2.13.0/25 VirtualNetworkGateway 10.3.129.67",
            "VirtualNetworkGateway 10.2.20.0/25 VirtualNetworkGateway 10.101.3.10",
            "VirtualNetworkGateway 10.102.0.0/16 VirtualNetworkGateway 10.101.3.10",
            "VirtualNetworkGateway 10.102.3.0/24 VirtualNetworkGateway 10.101.3.10",
            "VirtualNetworkGateway 10.102.4.0/24 VirtualNetworkGateway 10.101.3.10",
            "Default 0.0.0.0/0 Internet",
            "Default 10.100.0.0/24 VNetGlobalPeering",
            "Default 10.200.0.0/24 VNetGlobalPeering",
        ]
        assert printed(effective_routes(self.lab(), "vm14", self.LEARNED)) == expected
        assert printed(effective_routes(self.lab(), "csr1", self.LEARNED)) == expected


class TestNetLabBuilder:
    """NLB, 2026: whole tables, None rows included."""

    def test_reserved_blocks_beside_a_network_that_owns_a_part_of_one(self) -> None:
        # square-faults/normal-fixed/effective-nic-vm-onprem-ep.json: 28 rows, among them 10.0.0.0/8 None.
        gateways = vpn("gw0", "10.40.0.4"), vpn("gw1", "10.40.0.5")
        server = RouteServer("rs", "onprem", (addr("10.40.1.4"), addr("10.40.1.5")), gateways)
        prefixes = ("10.10.0.4/32", "10.10.0.5/32", "10.50.0.0/16", "10.50.0.4/32", "10.50.0.5/32")
        routes = table(*(path(p, g, "65020") for p in prefixes for g in gateways))
        model = azure([network("onprem", "10.40.0.0/16")], servers=[server], nics=[nic("ep", "onprem", "10.40.2.4")])
        rows = printed(effective_routes(model, "ep", {"rs": (routes, routes)}), nones=True)
        assert rows[:7] == [
            "Default 10.40.0.0/16 VnetLocal",
            *(f"VirtualNetworkGateway {p} VirtualNetworkGateway 10.40.0.4 10.40.0.5" for p in prefixes),
            "Default 0.0.0.0/0 Internet",
        ]
        assert rows[7:] == [
            f"Default {block} None"
            for block in [
                "10.0.0.0/8",
                "127.0.0.0/8",
                "100.64.0.0/10",
                "172.16.0.0/12",
                "25.176.0.0/13",
                "25.152.0.0/14",
                "25.184.0.0/14",
                "25.4.0.0/14",
                "25.148.0.0/15",
                "198.18.0.0/15",
                "25.150.0.0/16",
                "25.156.0.0/16",
                "25.159.0.0/16",
                "40.109.0.0/16",
                "192.168.0.0/16",
                "104.147.0.0/16",
                "157.59.0.0/16",
                "40.108.0.0/17",
                "104.146.0.0/17",
                "23.103.0.0/18",
                "20.35.252.0/22",
            ]
        ]

    def test_default_from_two_hubs_by_peering(self) -> None:
        # dual-hub-hubless-region-ars/delta3-bird/00-pre-c1-ep-effective-routes.json: a URG spoke of the route server's
        # network; the NVAs are in two globally peered hubs.
        one, two = nva("nva1", 65001, "10.10.1.4"), nva("nva2", 65002, "10.20.1.4")
        server = RouteServer("rs", "c0", (addr("10.30.0.5"), addr("10.30.0.4")), (one, two))
        routes = table(path("0.0.0.0/0", two), path("0.0.0.0/0", one))
        model = azure(
            [
                network("c1", "10.31.0.0/24"),
                network("c0", "10.30.0.0/24"),
                network("hub1", "10.10.0.0/16"),
                network("hub2", "10.20.0.0/16"),
            ],
            peered("c1", "c0", urg=True),
            peered("c1", "hub1", is_global=True),
            peered("c1", "hub2", is_global=True),
            servers=[server],
            nics=[nic("ep", "c1", "10.31.0.4")],
        )
        assert printed(effective_routes(model, "ep", {"rs": (routes, routes)}), nones=True) == [
            "Default 10.31.0.0/24 VnetLocal",
            "Default 10.30.0.0/24 VNetPeering",
            "VirtualNetworkGateway 0.0.0.0/0 VirtualNetworkGateway 10.10.1.4 10.20.1.4",
            "Default 10.10.0.0/16 VNetGlobalPeering",
            "Default 10.20.0.0/16 VNetGlobalPeering",
        ]

    def test_a_user_default_to_an_appliance(self) -> None:
        # square-faults/normal-fixed/effective-nic-vm-hub1-ep.json.
        route = UserRoute(net("0.0.0.0/0"), NextHopType.VIRTUAL_APPLIANCE, addr("10.10.1.4"))
        model = azure(
            [network("spoke", "10.11.0.0/24", table="t"), network("hub", "10.10.0.0/16")],
            peered("spoke", "hub"),
            tables=[RouteTable("t", (route,))],
            nics=[nic("ep", "spoke", "10.11.0.4")],
        )
        assert printed(effective_routes(model, "ep", {}), nones=True) == [
            "Default 10.11.0.0/24 VnetLocal",
            "Default 10.10.0.0/16 VNetPeering",
            "Invalid Default 0.0.0.0/0 Internet",
            "User 0.0.0.0/0 VirtualAppliance 10.10.1.4",
        ]


def test_ipspace() -> None:
    """IPS (2021): two NVAs, a user 0/0 to None under which the blocks remain [blocks-with-default]."""
    one, two = nva("nva1", 65001, "172.16.1.4"), nva("nva2", 65002, "172.16.1.5")
    server = RouteServer("rs", "v", (addr("172.16.3.4"), addr("172.16.3.5")), (one, two))
    routes = table(path("172.22.2.0/24", one), path("172.22.2.0/24", two))
    model = azure(
        [network("v", "172.16.0.0/16", table="t")],
        servers=[server],
        tables=[RouteTable("t", (UserRoute(net("0.0.0.0/0"), NextHopType.NONE),))],
        nics=[nic("backend", "v", "172.16.2.4")],
    )
    rows = printed(effective_routes(model, "backend", {"rs": (routes, routes)}), nones=True)
    assert rows[:4] == [
        "Default 172.16.0.0/16 VnetLocal",
        "VirtualNetworkGateway 172.22.2.0/24 VirtualNetworkGateway 172.16.1.4 172.16.1.5",
        "Invalid Default 0.0.0.0/0 Internet",
        "Default 10.0.0.0/8 None",
    ]
    assert rows[-1] == "User 0.0.0.0/0 None"
