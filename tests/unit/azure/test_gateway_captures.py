"""What captures and documentation show of gateways (docs/captures.md, docs/sources.yml), asked of the joined rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from typing import ClassVar

import pytest

from labkit.azure.model import (
    Assumptions,
    Azure,
    Circuit,
    InstanceId,
    NextHopType,
    OwnRangePolicy,
    PathAttributes,
    RouteServer,
    RouteTable,
    UserRoute,
)
from labkit.azure.model.problem import Code
from labkit.azure.rules.circuits import best_in_circuit
from labkit.azure.rules.communities import RELAYED
from labkit.azure.rules.effective import effective_routes
from labkit.azure.rules.gateway_policy import GatewayPath, PathSource, used_at_gateway
from labkit.azure.rules.gateway_validation import gateway_warnings
from labkit.azure.rules.gateways import connected_devices, instance_peer, internal_peers
from labkit.azure.rules.rows import as_path_text, gateway_rows
from labkit.predict.azure_speakers import AzureSpeakers

from .builders import (
    addr,
    as_path,
    azure,
    connected,
    er_gateway,
    net,
    network,
    nic,
    nva,
    peered,
    printed,
    site,
    vpn_gateway,
)
from .speakers import SpeakersByName
from .test_captures import TestDualExpressRoute as FabE
from .test_captures import listing


def said(text: str, next_hop: str) -> dict[IPv4Network, PathAttributes]:
    """Announcements as `prefix path` lines; a prefix alone has an empty path."""
    lines = (line.split() for line in text.strip().splitlines())
    return {net(p): PathAttributes(addr(next_hop), as_path(path[0] if path else "")) for p, *path in lines}


def shown(routes: Mapping[IPv4Network, PathAttributes]) -> dict[str, str]:
    return {str(p): as_path_text(a.as_path) for p, a in routes.items()}


def learned(speakers: SpeakersByName, name: str, instance: int) -> list[str]:
    """The table of an instance of a gateway as Azure lists it."""
    columns = ("localAddress", "network", "nextHop", "sourcePeer", "origin", "asPath", "weight")
    rows = gateway_rows(speakers.azure.gateway[name], instance, speakers.at_gateway[InstanceId(name, instance)])
    return [" ".join(str(row[c]) for c in columns if row[c] != "") for row in rows]  # type: ignore[literal-required]


class TestExpressRouteAndNva:
    """Azure's own overview of a route server with ExpressRoute and an NVA."""

    NVA = nva("sdwan", 65001, "10.1.1.4")

    def speakers(self, *, b2b: bool) -> SpeakersByName:
        server = RouteServer("rs1", "hub", (addr("10.1.0.4"), addr("10.1.0.5")), (self.NVA,), branch_to_branch=b2b)
        model = azure(
            [network("hub", "10.1.0.0/16"), network("spoke", "10.2.0.0/16")],
            peered("spoke", "hub", urg=True),
            servers=[server],
            nics=[nic("vm", "hub", "10.1.10.4"), nic("vm-spoke", "spoke", "10.2.0.4")],
            gateways=[er_gateway("er", "hub", "10.1.9.12", "10.1.9.13")],
            circuits=[Circuit("circuit", 65020)],
            connections=[connected("er", "circuit")],
        )
        return SpeakersByName(
            model,
            nvas={"sdwan": said("10.250.0.0/16 65001-65010", "10.1.1.4")},
            customers={"circuit": said("10.251.0.0/16 65020", "192.168.34.17")},
            edges={"circuit": addr("10.1.9.6")},
        )

    @pytest.mark.parametrize("b2b", [False, True])
    @pytest.mark.parametrize("where", ["vm", "vm-spoke"])
    def test_machines_have_both_branches(self, where: str, b2b: bool) -> None:
        speakers = self.speakers(b2b=b2b)
        rows = printed(effective_routes(speakers.azure, where, speakers.learned, speakers.gateway_routes))
        assert [r for r in rows if r.startswith("Virtual")] == [
            "VirtualNetworkGateway 10.250.0.0/16 VirtualNetworkGateway 10.1.1.4",
            "VirtualNetworkGateway 10.251.0.0/16 VirtualNetworkGateway 10.1.9.6",
        ]

    def test_without_b2b_branches_receive_virtual_networks_only(self) -> None:
        speakers = self.speakers(b2b=False)
        assert shown(speakers.advertised_by_server("rs1", 0, self.NVA)) == listing(
            "10.1.0.0/16 65515\n10.2.0.0/16 65515"
        )
        assert shown(speakers.advertised_to_customer("circuit")) == listing("10.1.0.0/16 12076\n10.2.0.0/16 12076")

    def test_with_b2b_they_receive_each_others_routes(self) -> None:
        speakers = self.speakers(b2b=True)
        assert shown(speakers.advertised_by_server("rs1", 1, self.NVA)) == listing(
            "10.1.0.0/16 65515\n10.2.0.0/16 65515\n10.251.0.0/16 65515-12076-65020"
        )
        told = speakers.advertised_by_server("rs1", 0, instance_peer(speakers.azure.gateway["er"], 0))
        assert told == {net("10.250.0.0/16"): PathAttributes(self.NVA.address, (65001, 65010), communities=(RELAYED,))}
        at_customer = speakers.advertised_to_customer("circuit")
        assert shown(at_customer) == listing("10.1.0.0/16 12076\n10.2.0.0/16 12076\n10.250.0.0/16 12076")
        # "The community is not stripped towards on-prem" (WIKI) [relay-community-to-sites].
        assert at_customer[net("10.250.0.0/16")].communities == (RELAYED,)


class TestExpressRouteAndVpn:
    """FAB-C (`expressroute/er-rs-vpn-transitive`, section 3)."""

    EDGES: ClassVar = {"circuit-0": addr("10.100.0.199"), "circuit-1": addr("10.100.0.198")}

    def speakers(self, edges: Mapping[str, IPv4Address] = EDGES) -> SpeakersByName:
        server = RouteServer("rs", "vnet1", (addr("10.100.0.68"), addr("10.100.0.69")), branch_to_branch=True)
        model = azure(
            [network("vnet1", "10.100.0.0/23")],
            servers=[server],
            nics=[nic("vm1", "vnet1", "10.100.1.4")],
            gateways=[
                vpn_gateway("vpngw1", "vnet1", "10.100.0.196", "10.100.0.197"),
                er_gateway("ergw", "vnet1", "10.100.0.204", "10.100.0.205"),
            ],
            circuits=[Circuit("circuit", 65020, edges=2)],
            sites=[site("vnet2", "10.200.0.0/24")],
            connections=[connected("vpngw1", "vnet2"), connected("ergw", "circuit")],
        )
        customers = {f"circuit-{i}": said("10.1.34.0/25 65020", f"192.168.34.{17 + 4 * i}") for i in (0, 1)}
        return SpeakersByName(model, customers=customers, edges=edges)

    @pytest.mark.parametrize(("instance", "own"), [(0, "10.100.0.196"), (1, "10.100.0.197")])
    def test_vpn_gateway(self, instance: int, own: str) -> None:
        other = ("10.100.0.197", "10.100.0.196")[instance]
        # The route server brings the routes of the instance with the lower address to the other one.
        by_server = [f"{own} 10.200.0.0/24 {other} {sender} IBgp 32768" for sender in ("10.100.0.68", "10.100.0.69")]
        assert sorted(learned(self.speakers(), "vpngw1", instance)) == sorted(
            [
                f"{own} 10.1.34.0/25 10.100.0.199 10.100.0.68 IBgp 12076-65020 32768",
                f"{own} 10.1.34.0/25 10.100.0.199 10.100.0.69 IBgp 12076-65020 32768",
                f"{own} 10.100.0.0/23 {own} Network 32768",
                f"{own} 10.200.0.0/24 {own} Network 32768",
                f"{own} 10.200.0.0/24 {other} {other} IBgp 32768",
                *(by_server if instance == 1 else []),
            ]
        )

    def test_expressroute_gateway(self) -> None:
        assert learned(self.speakers(), "ergw", 0) == [
            "10.100.0.204 10.1.34.0/25 10.100.0.199 10.100.0.199 EBgp 12076-65020 32769",
            "10.100.0.204 10.1.34.0/25 10.100.0.198 10.100.0.198 EBgp 12076-65020 32769",
            "10.100.0.204 10.100.0.0/23 10.100.0.204 Network 32768",
            "10.100.0.204 10.200.0.0/24 10.100.0.196 10.100.0.68 IBgp 32768",
            "10.100.0.204 10.200.0.0/24 10.100.0.196 10.100.0.69 IBgp 32768",
        ]

    @pytest.mark.parametrize(("edges", "used"), [(EDGES, [199, 198]), ({"circuit-1": EDGES["circuit-1"]}, [198, 198])])
    def test_each_instance_sends_by_its_own_edge_while_it_can(
        self, edges: Mapping[str, IPv4Address], used: list[int]
    ) -> None:
        # Our inference [edge-by-instance]; without the primary edge, as while it is maintained, all go by the other.
        speakers, prefix = self.speakers(edges), net("10.1.34.0/25")
        tables = [speakers.at_gateway[InstanceId("ergw", i)][prefix] for i in (0, 1)]
        ways = [used_at_gateway(speakers.azure.gateway["ergw"], paths) for paths in tables]
        assert [[str(path.address) for path in each] for each in ways] == [[f"10.100.0.{n}"] for n in used]
        at_server = speakers.at_server[InstanceId("rs", 0)][prefix]
        assert [str(route.attributes.next_hop) for route in at_server] == [f"10.100.0.{n}" for n in used]

    def test_a_shorter_path_by_the_other_edge_is_used(self) -> None:
        # So a customer has a primary and a secondary connection of its own choice.
        gateway, attributes = (
            self.speakers().azure.gateway["ergw"],
            PathAttributes(addr("10.100.0.199"), (12076, 65020)),
        )
        source = PathSource.ON_PREMISES
        longer = GatewayPath(
            source, "circuit", addr("10.100.0.199"), replace(attributes, as_path=(12076, 65020, 65020))
        )
        shorter = GatewayPath(source, "circuit", addr("10.100.0.198"), replace(attributes, med=1))
        assert used_at_gateway(gateway, [longer, shorter]) == (shorter,)

    def test_circuit(self) -> None:
        # The edges exchange nothing [circuit-edges].
        found = self.speakers().at_edge["circuit-0"]
        assert {
            str(prefix): [(str(p.address), as_path_text(p.attributes.as_path)) for p in paths]
            for prefix, paths in found.items()
        } == {
            "10.1.34.0/25": [("192.168.34.17", "65020")],
            "10.100.0.0/23": [("10.100.0.204", "65515"), ("10.100.0.205", "65515")],
            "10.200.0.0/24": [("10.100.0.204", "65515"), ("10.100.0.205", "65515")],
        }

    def test_machines_of_the_hub(self) -> None:
        speakers = self.speakers()
        assert printed(effective_routes(speakers.azure, "vm1", speakers.learned, speakers.gateway_routes)) == [
            "Default 10.100.0.0/23 VnetLocal",
            "VirtualNetworkGateway 10.1.34.0/25 VirtualNetworkGateway 10.100.0.199",
            "VirtualNetworkGateway 10.200.0.0/24 VirtualNetworkGateway 10.100.0.196 10.100.0.197",
            "Default 0.0.0.0/0 Internet",
        ]

    def test_both_edges_if_that_is_assumed(self) -> None:
        # Captures contradict each other [one-expressroute-connection]. Both instances have both edges: each is one row.
        speakers = self.speakers()
        (server,) = speakers.azure.route_servers
        server = replace(server, assumptions=Assumptions(one_expressroute_connection=False))
        model = replace(speakers.azure, route_servers=(server,))
        rows = printed(effective_routes(model, "vm1", speakers.learned, speakers.gateway_routes))
        assert "VirtualNetworkGateway 10.1.34.0/25 VirtualNetworkGateway 10.100.0.198 10.100.0.199" in rows

    def test_machine_behind_a_vpn_gateway_alone(self) -> None:
        # vm2 in vnet2, whose active-active gateway has static prefixes and no route server.
        model = azure(
            [network("vnet2", "10.200.0.0/24")],
            nics=[nic("vm2", "vnet2", "10.200.0.10")],
            gateways=[vpn_gateway("vpngw2", "vnet2", "10.200.0.196", "10.200.0.197")],
            sites=[site("local1", "10.100.0.0/23", "10.1.34.0/25"), site("local2", "10.100.0.0/23", "10.1.34.0/25")],
            connections=[connected("vpngw2", "local1"), connected("vpngw2", "local2")],
        )
        assert [s.name for s in connected_devices(model, model.gateways[0], 0)] == ["local1", "local2"]
        speakers = SpeakersByName(model)
        assert printed(effective_routes(model, "vm2", {}, speakers.gateway_routes)) == [
            "Default 10.200.0.0/24 VnetLocal",
            "VirtualNetworkGateway 10.1.34.0/25 VirtualNetworkGateway 10.200.0.196 10.200.0.197",
            "VirtualNetworkGateway 10.100.0.0/23 VirtualNetworkGateway 10.200.0.196 10.200.0.197",
            "Default 0.0.0.0/0 Internet",
        ]


class TestGatewaysBesideEachOther:
    """KAY: an ExpressRoute gateway and a VPN gateway of two in a hub without a route server, with two spokes."""

    RANGES = ("10.11.0.0/20", "10.11.16.0/20", "10.1.0.0/20", "10.2.0.0/20")

    def speakers(self, *routes: UserRoute, servers: tuple[RouteServer, ...] = ()) -> SpeakersByName:
        subnets = {"w": "10.11.1.0/24", "GatewaySubnet": "10.11.16.0/24"}
        model = azure(
            [
                network("hub", *self.RANGES[:2], subnets=subnets, table="t"),
                network("spoke1", self.RANGES[2]),
                network("spoke2", self.RANGES[3]),
            ],
            peered("spoke1", "hub", urg=True),
            peered("spoke2", "hub", urg=True),
            servers=servers,
            tables=[RouteTable("t", routes)],
            nics=[nic("nva", "hub", "10.11.1.4"), replace(nic("fw", "hub", "10.11.1.5"), ip_forwarding=True)],
            gateways=[
                er_gateway("ergw", "hub", "10.11.16.12", "10.11.16.13"),
                vpn_gateway("vpngw", "hub", "10.11.16.14", "10.11.16.15"),
            ],
            circuits=[Circuit("circuit", 64512)],
            sites=[
                site("branch1", asn=65001, peering="192.168.10.10"),
                site("branch2", asn=65002, peering="192.168.20.20"),
            ],
            connections=[connected("ergw", "circuit"), connected("vpngw", "branch1"), connected("vpngw", "branch2")],
        )
        return SpeakersByName(
            model,
            customers={"circuit": said("172.16.0.0/30 64512", "172.16.0.1")},
            sites={
                "branch1": said("10.10.0.0/24 65001", "192.168.10.10"),
                "branch2": said("10.20.0.0/24 65002", "192.168.20.20"),
            },
            edges={"circuit": addr("10.11.16.6")},
        )

    @pytest.mark.parametrize(("instance", "own", "other"), [(0, ".14", ".15"), (1, ".15", ".14")])
    def test_vpn_gateway(self, instance: int, own: str, other: str) -> None:
        own, other = f"10.11.16{own}", f"10.11.16{other}"
        from_er = [f"{own} {r} {a} {a} IBgp 32769" for r in self.RANGES for a in ("10.11.16.12", "10.11.16.13")]
        assert sorted(learned(self.speakers(), "vpngw", instance)) == sorted(
            [
                *from_er,
                *(f"{own} {r} {own} Network 32768" for r in self.RANGES),
                f"{own} 10.20.0.0/24 192.168.20.20 192.168.20.20 EBgp 65002 32768",
                f"{own} 10.20.0.0/24 {other} {other} IBgp 65002 32768",
                f"{own} 10.10.0.0/24 192.168.10.10 192.168.10.10 EBgp 65001 32768",
                f"{own} 10.10.0.0/24 {other} {other} IBgp 65001 32768",
                *(f"{own} {a}/32 {own} Network 32768" for a in ("192.168.10.10", "192.168.20.20")),
                *(f"{own} {a}/32 {other} {other} IBgp 32768" for a in ("192.168.10.10", "192.168.20.20")),
            ]
        )

    def test_expressroute_gateway(self) -> None:
        assert sorted(learned(self.speakers(), "ergw", 0)) == sorted(
            [
                *(f"10.11.16.12 {r} 10.11.16.12 Network 32768" for r in self.RANGES),
                *(f"10.11.16.12 10.10.0.0/24 {a} {a} IBgp 65001 32768" for a in ("10.11.16.14", "10.11.16.15")),
                *(f"10.11.16.12 10.20.0.0/24 {a} {a} IBgp 65002 32768" for a in ("10.11.16.14", "10.11.16.15")),
                "10.11.16.12 172.16.0.0/30 10.11.16.6 10.11.16.6 EBgp 12076-64512 32769",
            ]
        )

    def test_the_circuit_is_told_nothing_of_the_branches(self) -> None:
        found = self.speakers().advertised_by_gateway("ergw", 0, "circuit")
        assert [str(prefix) for prefix in sorted(found)] == sorted(self.RANGES, key=net)

    def test_branches_have_each_other_and_not_the_circuit(self) -> None:
        found = shown(self.speakers().advertised_by_gateway("vpngw", 1, "branch2"))
        others = {"10.10.0.0/24": "65515-65001", "192.168.10.10/32": "65515"}
        assert found == dict.fromkeys(self.RANGES, "65515") | others

    def test_neighbours_addresses_are_on_nics_where_the_gateway_stands_alone(self) -> None:
        """[bgp-neighbour-routes]"""
        beside = self.speakers()
        vpn = beside.azure.gateway["vpngw"]
        connections = tuple(c for c in beside.azure.connections if c.gateway == vpn.name)
        alone = replace(beside, azure=replace(beside.azure, gateways=(vpn,), connections=connections))
        rows = printed(effective_routes(alone.azure, "nva", alone.learned, alone.gateway_routes))
        assert [row for row in rows if "/32" in row] == [
            "VirtualNetworkGateway 192.168.10.10/32 VirtualNetworkGateway 10.11.16.14 10.11.16.15",
            "VirtualNetworkGateway 192.168.20.20/32 VirtualNetworkGateway 10.11.16.14 10.11.16.15",
        ]

    def test_machines_have_both_instances(self) -> None:
        speakers = self.speakers()
        rows = printed(effective_routes(speakers.azure, "nva", speakers.learned, speakers.gateway_routes))
        assert [row for row in rows if row.startswith("Virtual")] == [
            "VirtualNetworkGateway 10.10.0.0/24 VirtualNetworkGateway 10.11.16.14 10.11.16.15",
            "VirtualNetworkGateway 10.20.0.0/24 VirtualNetworkGateway 10.11.16.14 10.11.16.15",
            "VirtualNetworkGateway 172.16.0.0/30 VirtualNetworkGateway 10.11.16.6",
        ]

    def test_an_instance_without_tunnels_has_all_from_the_other(self) -> None:
        up = self.speakers()
        received = {**up.adj_ribs_in.gateways, InstanceId("vpngw", 0): {}}
        speakers = AzureSpeakers(up.azure, replace(up.adj_ribs_in, gateways=received))
        gateway = speakers.azure.gateway["vpngw"]
        rows = gateway_rows(gateway, 0, speakers.at_gateway[InstanceId("vpngw", 0)])
        assert [row["nextHop"] for row in rows if row["network"] == "10.10.0.0/24"] == ["10.11.16.15"]
        routes = printed(effective_routes(speakers.azure, "nva", speakers.learned, speakers.gateway_routes))
        assert "VirtualNetworkGateway 10.10.0.0/24 VirtualNetworkGateway 10.11.16.14 10.11.16.15" in routes

    @pytest.mark.parametrize(
        ("route", "sessions"),
        [
            (UserRoute(net("10.11.16.0/20"), NextHopType.VIRTUAL_APPLIANCE, addr("10.11.1.4")), False),
            (UserRoute(net("10.11.16.0/24"), NextHopType.NONE), False),
            (UserRoute(net("10.11.16.15/32"), NextHopType.NONE), False),
            (UserRoute(net("10.11.16.0/20"), NextHopType.VIRTUAL_APPLIANCE, addr("10.11.1.5")), True),
            (UserRoute(net("10.11.16.0/24"), NextHopType.VNET_LOCAL), True),
            (UserRoute(net("10.0.0.0/8"), NextHopType.NONE), True),
        ],
    )
    def test_a_route_table_may_cut_the_instances(self, route: UserRoute, sessions: bool) -> None:
        """[gateway-subnet-cut]"""
        azure_model = self.speakers(route).azure
        assert (InstanceId("vpngw", 1) in internal_peers(azure_model, InstanceId("vpngw", 0))) is sessions
        warned = [p.code for p in gateway_warnings(azure_model)]
        assert (Code.GATEWAY_INSTANCES_CUT in warned) is not sessions

    def test_with_a_route_server_there_is_no_session_between_the_two(self) -> None:
        server = RouteServer("rs", "hub", (addr("10.11.2.4"), addr("10.11.2.5")))
        model = self.speakers(servers=(server,)).azure
        assert internal_peers(model, InstanceId("ergw", 0)) == ()
        assert internal_peers(model, InstanceId("vpngw", 0)) == (InstanceId("vpngw", 1),)


def test_a_route_server_brings_an_instance_of_an_expressroute_gateway_the_routes_of_the_other_one() -> None:
    """KAY (`08-express-route-vpn-resiliency`): `branch2`, whose rows are of one instance [instances-exchange]."""
    server = RouteServer("rs", "branch2", (addr("10.20.17.4"), addr("10.20.17.5")), branch_to_branch=True)
    model = azure(
        [network("branch2", "10.20.0.0/20", "10.20.16.0/20")],
        servers=[server],
        gateways=[er_gateway("ergw", "branch2", "10.20.16.12", "10.20.16.13")],
        circuits=[Circuit("er3", 64512)],
        connections=[connected("ergw", "er3")],
    )
    speakers = SpeakersByName(
        model, customers={"er3": said("172.16.0.20/30 64512", "172.16.0.17")}, edges={"er3": addr("10.20.16.4")}
    )
    of_circuit = "172.16.0.20/30 10.20.16.4 10.20.16.4 EBgp 12076-64512 32769"
    assert [[row for row in learned(speakers, "ergw", instance) if "172.16.0.20/30" in row] for instance in (0, 1)] == [
        [f"10.20.16.12 {of_circuit}"],
        [
            f"10.20.16.13 {of_circuit}",
            "10.20.16.13 172.16.0.20/30 10.20.16.4 10.20.17.4 IBgp 12076-64512 32768",
            "10.20.16.13 172.16.0.20/30 10.20.16.4 10.20.17.5 IBgp 12076-64512 32768",
        ],
    ]
    assert net("172.16.0.20/30") not in speakers.advertised_by_gateway("ergw", 1, "er3")


class TestDualExpressRoute:
    """FAB-E (`route-server/rs-dualhome-2er-circuits`, sections 4.2, 4.3, 4.6 and 4.7); era 2021."""

    def speakers(self) -> SpeakersByName:
        keep = OwnRangePolicy.KEEP
        rs1 = replace(FabE.RS1, peers=(FabE.CSR1,))
        rs2 = RouteServer(
            "rs2",
            "vnet2",
            (addr("10.102.1.4"), addr("10.102.1.5")),
            (FabE.CSR2,),
            branch_to_branch=True,
            own_ranges=keep,
        )
        base: Azure = FabE().lab()
        model = replace(
            base,
            route_servers=(FabE.RS0, rs1, rs2),
            nics=(*base.nics, nic("vm24", "vnet2", "10.102.4.10")),
            gateways=(er_gateway("er1", "vnet1", "10.101.5.12"), er_gateway("er2", "vnet2", "10.102.5.12")),
            circuits=(Circuit("circuit1", 65021), Circuit("circuit2", 65021)),
            connections=(connected("er1", "circuit1"), connected("er2", "circuit2")),
        )
        return SpeakersByName(
            model,
            nvas={
                "csr1": said(FabE.CSR1_SENDS, "10.101.3.10"),
                "csr2": said(FabE.CSR2_SENDS, "10.102.3.10"),
            },
            customers={
                "circuit1": said("10.2.13.0/25 65021", "192.168.20.17"),
                "circuit2": said("10.2.20.0/25 65021", "192.168.13.17"),
            },
            edges={"circuit1": addr("10.3.129.67"), "circuit2": addr("10.2.146.14")},
        )

    def test_route_servers_advertise_to_their_csr(self) -> None:
        speakers = self.speakers()
        assert shown(speakers.advertised_by_server("rs1", 0, FabE.CSR1)) == listing(
            "10.101.0.0/16 65515\n10.2.13.0/25 65515-12076-65021"
        )
        assert shown(speakers.advertised_by_server("rs2", 1, FabE.CSR2)) == listing(
            "10.102.0.0/16 65515\n10.2.20.0/25 65515-12076-65021"
        )

    @pytest.mark.parametrize("circuit", ["circuit1", "circuit2"])
    def test_both_edges_have_the_same_eight_prefixes(self, circuit: str) -> None:
        assert shown(self.speakers().advertised_to_customer(circuit)) == listing(
            """
            10.100.0.0/24 12076
            10.101.0.0/16 12076
            10.101.3.0/24 12076
            10.101.4.0/24 12076
            10.102.0.0/16 12076
            10.102.3.0/24 12076
            10.102.4.0/24 12076
            10.200.0.0/24 12076"""
        )

    def test_in_2026_prefixes_inside_the_own_network_are_missing_there(self) -> None:
        # Dropped on receipt [own-ranges].
        old = self.speakers()
        servers = tuple(replace(s, own_ranges=OwnRangePolicy.DROP) for s in old.azure.route_servers)
        speakers = replace(old, azure=replace(old.azure, route_servers=servers))
        assert {str(p) for p in old.advertised_to_customer("circuit1")} - {
            str(p) for p in speakers.advertised_to_customer("circuit1")
        } == {"10.101.3.0/24", "10.101.4.0/24"}

    @pytest.mark.parametrize(
        ("where", "expected"),
        [
            (
                "vm14",
                """
                10.2.13.0/25 10.3.129.67
                10.2.20.0/25 10.101.3.10
                10.102.0.0/16 10.101.3.10
                10.102.3.0/24 10.101.3.10
                10.102.4.0/24 10.101.3.10""",
            ),
            (
                "vm24",
                """
                10.2.13.0/25 10.102.3.10
                10.2.20.0/25 10.2.146.14
                10.101.0.0/16 10.102.3.10
                10.101.3.0/24 10.102.3.10
                10.101.4.0/24 10.102.3.10""",
            ),
            ("vm02", "10.2.13.0/25 10.101.3.10\n10.2.20.0/25 10.102.3.10"),
        ],
    )
    def test_machines(self, where: str, expected: str) -> None:
        speakers = self.speakers()
        rows = effective_routes(speakers.azure, where, speakers.learned, speakers.gateway_routes)
        got = {str(r.prefix): " ".join(map(str, r.next_hops)) for r in rows if r.source == "VirtualNetworkGateway"}
        assert got == listing(expected)


class TestTwoHubsOnOneCircuit:
    """What reaches the second hub through the circuit, and which hub on-premises prefers [circuit-relay-filter]."""

    def speakers(self, *, b2b: bool = True, prepend: str = "") -> SpeakersByName:
        servers = [
            RouteServer(
                f"rs{i}",
                f"hub{i}",
                (addr(f"10.{i}.0.4"), addr(f"10.{i}.0.5")),
                (nva(f"nva{i}", 65010, f"10.{i}.1.4"),),
                branch_to_branch=b2b or i == 1,
            )
            for i in (1, 2)
        ]
        model = azure(
            [network("hub1", "10.1.0.0/16"), network("hub2", "10.2.0.0/16")],
            servers=servers,
            gateways=[er_gateway("er1", "hub1", "10.1.9.12"), er_gateway("er2", "hub2", "10.2.9.12")],
            circuits=[Circuit("circuit", 65020)],
            connections=[connected("er1", "circuit"), connected("er2", "circuit")],
        )
        return SpeakersByName(
            model,
            nvas={
                "nva1": said(f"10.99.0.0/16 65010{prepend}\n10.98.0.0/16 65010", "10.1.1.4"),
                "nva2": said("10.99.0.0/16 65010", "10.2.1.4"),
            },
            edges={"circuit": addr("172.30.0.1")},
        )

    def test_virtual_networks_arrive_and_nva_routes_do_not(self) -> None:
        # WIKI has the path `12076 12076` [circuit-relay-filter].
        held = self.speakers().at_gateway[InstanceId("er2", 0)]
        assert [as_path_text(p.attributes.as_path) for p in held[net("10.1.0.0/16")]] == ["12076-12076"]
        assert net("10.98.0.0/16") not in held
        assert net("10.98.0.0/16") not in self.speakers().at_server[InstanceId("rs2", 0)]

    def test_without_the_session_the_filter_is_off(self) -> None:
        held = self.speakers(b2b=False).at_gateway[InstanceId("er2", 0)]
        assert [as_path_text(p.attributes.as_path) for p in held[net("10.98.0.0/16")]] == ["12076-12076-65010"]

    @pytest.mark.parametrize(("prepend", "winners"), [("-65010-65010", ["er2"]), ("", ["er1", "er2"])])
    def test_prepends_decide_in_the_circuit_and_are_hidden_behind_it(self, prepend: str, winners: list[str]) -> None:
        # ADS, FAQ25 [msee-prepends].
        speakers = self.speakers(prepend=prepend)
        paths = speakers.at_edge["circuit"][net("10.99.0.0/16")]
        assert {as_path_text(p.attributes.as_path) for p in paths} == {f"65515-65010{prepend}", "65515-65010"}
        assert [p.gateway for p in best_in_circuit(paths)] == winners
        assert shown(speakers.advertised_to_customer("circuit"))["10.99.0.0/16"] == "12076"


def test_a_vpn_gateway_with_an_asn_of_its_own() -> None:
    # MDD: the CSR has 10.2.0.0/16 with path `65515 300 200`; the hub's gateway receives the CSR's routes over eBGP.
    csr = nva("csr", 64000, "10.0.253.4")
    server = RouteServer("ars", "hub", (addr("10.0.0.4"), addr("10.0.0.5")), (csr,), branch_to_branch=True)
    model = azure(
        [network("hub", "10.0.0.0/16"), network("spoke", "10.3.0.0/16")],
        peered("spoke", "hub", urg=True),
        servers=[server],
        gateways=[vpn_gateway("gw", "hub", "10.0.254.4", "10.0.254.5", asn=300)],
        sites=[site("branch2", asn=200)],
        connections=[connected("gw", "branch2")],
    )
    speakers = SpeakersByName(
        model,
        nvas={"csr": said("10.1.0.0/16 64000-100\n10.0.253.0/24 64000", "10.0.253.4")},
        sites={"branch2": said("10.2.0.0/16 200", "10.2.254.4")},
    )
    assert shown(speakers.advertised_by_server("ars", 0, csr)) == listing(
        "10.0.0.0/16 65515\n10.3.0.0/16 65515\n10.2.0.0/16 65515-300-200"
    )
    held = speakers.at_gateway[InstanceId("gw", 0)]
    assert [(str(p.attributes.next_hop), p.attributes.as_path) for p in held[net("10.1.0.0/16")]] == [
        ("10.0.0.4", (65515, 64000, 100)),
        ("10.0.0.5", (65515, 64000, 100)),
    ]
    assert net("10.0.253.0/24") not in held
    assert shown(speakers.advertised_by_gateway("gw", 0, "branch2")) == listing(
        "10.0.0.0/16 300\n10.3.0.0/16 300\n10.1.0.0/16 300-65515-64000-100"
    )
