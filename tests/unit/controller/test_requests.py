"""What operators may ask of a running lab, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest

from labkit.azure.changes.edit import servers_that_refresh, subnets_with
from labkit.azure.model import Azure, BgpPeer, HubRoutingPreference, NextHopType, RouteTable, UserRoute
from labkit.azure.rules.acceptance import originated
from labkit.azure.rules.adjacency import connected_peerings
from labkit.controller import requests
from labkit.controller.changed import changed, reset
from labkit.controller.requests import Request
from labkit.errors import InvalidInput
from labkit.lab.file.load import load_text

LAB = load_text(
    """
name: requests
virtual_networks:
  hub:
    address_space: [10.1.0.0/16, 10.11.0.0/16]
    subnets: {RouteServerSubnet: 10.1.0.0/26, nva: 10.1.1.0/24}
  spoke: {address_space: 10.2.0.0/16, subnets: {app: 10.2.1.0/24}}
  other: {address_space: 10.3.0.0/16, subnets: {RouteServerSubnet: 10.3.0.0/26}}
peerings:
  - {between: [hub, spoke], use_remote_gateways: spoke, allow_gateway_transit: hub}
  - {between: [spoke, other]}
nvas:
  nva1: {subnet: hub/nva, asn: 65001}
  nva2: {subnet: hub/nva, asn: 65002}
route_servers:
  rs1: {virtual_network: hub, peers: [nva1]}
  rs2: {virtual_network: other}
virtual_machines: {vm1: spoke/app}
""",
    "requests.lab.yml",
)
AZURE = LAB.azure
RS1 = AZURE.route_server["rs1"]
DEFAULT = RS1.hub_routing_preference


def refused(text: str) -> Any:
    return pytest.raises(InvalidInput, match=text)


def test_a_lab_files_route_server_prefers_what_azures_does() -> None:
    """Reference §4.1 step 2."""
    assert DEFAULT is HubRoutingPreference.EXPRESSROUTE


class TestRouteServers:
    @pytest.mark.parametrize(
        ("said", "branch_to_branch", "preference", "what"),
        [
            ({"allowBranchToBranchTraffic": True}, True, DEFAULT, "branch-to-branch on"),
            (
                {"hubRoutingPreference": "ASPath"},
                False,
                HubRoutingPreference.AS_PATH,
                "hub routing preference ASPath",
            ),
            (
                {"allowBranchToBranchTraffic": True, "hubRoutingPreference": "VpnGateway"},
                True,
                HubRoutingPreference.VPN_GATEWAY,
                "branch-to-branch on, hub routing preference VpnGateway",
            ),
            ({"allowBranchToBranchTraffic": False}, False, DEFAULT, "set again as it was"),
        ],
    )
    def test_what_is_not_said_stays(
        self, said: dict[str, object], branch_to_branch: bool, preference: HubRoutingPreference, what: str
    ) -> None:
        request = requests.server_settings(AZURE, RS1, said)
        after = request.azure.route_server["rs1"]
        assert (after.branch_to_branch, after.hub_routing_preference, request.what) == (
            branch_to_branch,
            preference,
            what,
        )

    @pytest.mark.parametrize(
        ("said", "text"),
        [
            ({}, "no settings of a route server"),
            ([], "no settings of a route server"),
            (None, "no settings of a route server"),
            ({"branchToBranch": True}, "no settings of a route server"),
            ({"allowBranchToBranchTraffic": "on"}, "either on or off"),
            ({"allowBranchToBranchTraffic": 1}, "either on or off"),
            ({"hubRoutingPreference": "expressroute"}, "expressroute is no hub routing preference"),
            ({"hubRoutingPreference": None}, "None is no hub routing preference"),
            ({"hubRoutingPreference": ["ASPath"]}, "is no hub routing preference"),
        ],
    )
    def test_what_can_t_be_is_refused(self, said: Any, text: str) -> None:
        with refused(text):
            requests.server_settings(AZURE, RS1, said)

    def test_a_deleted_one_comes_back_without_peers(self) -> None:
        gone = requests.delete_server(AZURE, RS1).azure
        assert [s.name for s in gone.route_servers] == ["rs2"]
        back = requests.create_server(gone, LAB, "rs1").azure.route_server["rs1"]
        assert (back.instances, back.peers) == (RS1.instances, ())

    def test_and_with_azures_defaults(self) -> None:
        """Whatever its file says, and whatever was set before."""
        said = {"allowBranchToBranchTraffic": True, "hubRoutingPreference": "ASPath"}
        changed = requests.server_settings(AZURE, RS1, said).azure
        gone = requests.delete_server(changed, changed.route_server["rs1"]).azure
        lab = replace(LAB, azure=changed)
        back = requests.create_server(gone, lab, "rs1").azure.route_server["rs1"]
        assert (back.branch_to_branch, back.hub_routing_preference) == (False, HubRoutingPreference.EXPRESSROUTE)

    def test_only_one_that_was_deleted_can_be_created(self) -> None:
        with refused("route server rs1 is there"):
            requests.create_server(AZURE, LAB, "rs1")
        with refused("no nodes for a route server rs9"):
            requests.create_server(AZURE, LAB, "rs9")

    def test_what_azure_refuses_is_refused_of_a_new_one_too(self) -> None:
        gone = requests.delete_server(AZURE, AZURE.route_server["rs2"]).azure
        gone = requests.delete_peering(gone, "spoke", "hub").azure
        gone = requests.put_peering(gone, LAB, "spoke", "other", {"allowGatewayTransit": True}).azure
        spoke = AZURE.route_server["rs1"]
        lab = replace(LAB, azure=replace(AZURE, route_servers=(replace(spoke, virtual_network="spoke"),)))
        with refused("spoke has no RouteServerSubnet"):
            requests.create_server(requests.delete_server(gone, spoke).azure, lab, "rs1")


class TestPeers:
    def put(self, name: str, said: Any, azure: Azure = AZURE) -> Request:
        return requests.put_peer(azure, LAB, azure.route_server["rs1"], name, said)

    def test_an_nva_of_the_lab_needs_no_more_than_its_name(self) -> None:
        request = self.put("nva2", {})
        assert request.azure.route_server["rs1"].peers[-1] == BgpPeer("nva2", 65002, AZURE.nic["nva2"].address)
        assert request.what.endswith("created")

    def test_anybody_else_is_said_in_full(self) -> None:
        after = self.put("firewall", {"peerAsn": 65010, "peerIp": "10.2.1.9"}).azure
        assert after.route_server["rs1"].peers[-1] == BgpPeer("firewall", 65010, IPv4Address("10.2.1.9"))

    def test_a_peer_of_the_same_name_is_replaced(self) -> None:
        request = self.put("nva1", {"peerAsn": 65099})
        assert [(p.name, p.asn) for p in request.azure.route_server["rs1"].peers] == [("nva1", 65099)]
        assert request.what.endswith("changed")
        assert self.put("nva1", {}).what.endswith("set again as it was")

    @pytest.mark.parametrize(
        ("name", "said", "text"),
        [
            ("firewall", {}, "its ASN and its address must be said"),
            ("firewall", {"peerAsn": 65010}, "its ASN and its address must be said"),
            ("firewall", {"peerAsn": 65010, "peerIp": "10.2.1"}, "10.2.1 is no IPv4 address"),
            ("firewall", {"peerAsn": 65010, "peerIp": 7}, "7 is no IPv4 address"),
            ("firewall", {"peerAsn": "65010", "peerIp": "10.2.1.9"}, "65010 is no ASN"),
            ("firewall", {"peerAsn": 0, "peerIp": "10.2.1.9"}, "0 is no ASN"),
            ("firewall", {"peerAsn": True, "peerIp": "10.2.1.9"}, "True is no ASN"),
            ("firewall", {"peerAsn": 65515, "peerIp": "10.2.1.9"}, "Azure would refuse that: .*65515"),
            ("firewall", {"peerAsn": 65010, "peerIp": "10.3.1.9"}, "neither in hub.*nor in one directly peered"),
            ("firewall", {"peerAsn": 65010, "peerIp": "10.1.1.4"}, "have the same name or address"),
            ("fw", {"peerAsn": 65010, "peerIp": "10.1.0.4"}, "it is an instance of route server rs1"),
            ("fw", {"peerAsn": 65010, "peerIp": "10.3.0.5"}, "it is an instance of route server rs2"),
            ("fw", {"peerAsn": 65010, "peerIp": "10.1.1.1"}, "Azure keeps it for itself in subnet nva of hub"),
            ("nva2", {"asn": 65010}, "no peering of a route server"),
            ("nva2", None, "no peering of a route server"),
            ('x"; process', {"peerAsn": 65010, "peerIp": "10.2.1.9"}, "no name of a peering"),
        ],
    )
    def test_what_can_t_be_is_refused(self, name: str, said: Any, text: str) -> None:
        with refused(text):
            self.put(name, said)

    def test_the_ninth_is_refused(self) -> None:
        azure = AZURE
        for number in range(7):
            azure = self.put(f"p{number}", {"peerAsn": 65100, "peerIp": f"10.1.1.{100 + number}"}, azure).azure
        with refused("at most 8 are allowed"):
            self.put("nva2", {}, azure)

    def test_a_peer_is_deleted_by_its_own_name(self) -> None:
        assert requests.delete_peer(AZURE, RS1, "nva1").azure.route_server["rs1"].peers == ()
        with refused("has no peer nva2"):
            requests.delete_peer(AZURE, RS1, "nva2")


class TestAddressSpaces:
    def space(self, *prefixes: object, network: str = "spoke") -> Request:
        return requests.address_space(AZURE, network, {"addressPrefixes": list(prefixes)})

    def test_a_spoke_s_new_range_is_originated(self) -> None:
        after = self.space("10.2.0.0/16", "10.20.0.0/16").azure
        assert originated(after, "rs1").spokes == (IPv4Network("10.2.0.0/16"), IPv4Network("10.20.0.0/16"))

    @pytest.mark.parametrize(
        ("prefixes", "text"),
        [
            (["10.20.0.0/16"], r"subnet app \(10.2.1.0/24\) of spoke would lie outside"),
            (["10.2.0.0/16", "10.2.128.0/17"], "overlap"),
            (["10.2.0.0/16", "10.11.7.0/24"], "can't be peered"),
            (["10.2.0.0/16", "168.63.129.16/32"], "overlaps 168.63.129.16/32, which Azure refuses"),
            (["10.2.0.0/16", "172.31.0.0/31"], "too small"),
            (["10.2.0.1/16"], "10.2.0.1/16 is no address range"),
            ([7], "7 is no address range"),
            ([], "no address space"),
        ],
    )
    def test_what_can_t_be_is_refused(self, prefixes: list[object], text: str) -> None:
        with refused(text):
            self.space(*prefixes)

    def test_of_a_network_that_is_not_there_it_is_refused(self) -> None:
        with refused("no virtual network vnet9"):
            self.space("10.2.0.0/16", network="vnet9")


class TestRefresh:
    """Which route servers ask for all routes again (reference §2 "Route refresh")."""

    def test_only_those_with_a_new_peering_do(self) -> None:
        half = requests.delete_peering(AZURE, "spoke", "hub").azure
        assert servers_that_refresh(AZURE, half) == ()
        assert servers_that_refresh(half, AZURE) == ("rs1",)
        assert servers_that_refresh(AZURE, AZURE) == ()

    def test_a_new_route_server_has_nobody_to_ask(self) -> None:
        gone = requests.delete_server(AZURE, RS1).azure
        assert servers_that_refresh(gone, AZURE) == ()


class TestPeerings:
    def put(self, local: str, remote: str, said: Any, azure: Azure = AZURE) -> Request:
        return requests.put_peering(azure, LAB, local, remote, said)

    def test_one_side_alone_is_initiated_and_carries_nothing(self) -> None:
        gone = requests.delete_peering(requests.delete_peering(AZURE, "hub", "spoke").azure, "spoke", "hub").azure
        request = self.put("spoke", "hub", {}, gone)
        assert request.what == "created: Initiated until the other side exists"
        assert connected_peerings(request.azure, "hub") == ()
        (side,) = [p for p in request.azure.peerings if p.remote == "hub"]
        assert requests.peering_text(request.azure, side)["peeringState"] == "Initiated"
        both = self.put("hub", "spoke", {"allowGatewayTransit": True}, request.azure)
        assert both.what == "created"
        assert [p.remote for p in connected_peerings(both.azure, "hub")] == ["spoke"]

    def test_what_is_not_said_of_a_side_stays(self) -> None:
        request = self.put("spoke", "hub", {"allowForwardedTraffic": False})
        side = requests.peering_side(request.azure, "spoke", "hub")
        assert side is not None
        assert (side.use_remote_gateways, side.allow_forwarded_traffic) == (True, False)
        assert request.what == "allowForwardedTraffic off"
        assert self.put("spoke", "hub", {}).what == "set again as it was"

    def test_a_deleted_side_leaves_the_other_disconnected(self) -> None:
        request = requests.delete_peering(AZURE, "hub", "spoke")
        assert request.what == "deleted: the other side is Disconnected"
        assert connected_peerings(request.azure, "spoke") == connected_peerings(AZURE, "spoke")[1:]
        assert self.state(request.azure, "spoke", "hub") == "Disconnected"

    def state(self, azure: Azure, local: str, remote: str) -> object:
        side = requests.peering_side(azure, local, remote)
        assert side is not None
        return requests.peering_text(azure, side)["peeringState"]

    def test_beside_a_disconnected_side_none_can_be_created(self) -> None:
        """Azure's `RemotePeeringIsDisconnected`: an update gets it back to Initiated, and so does making it anew."""
        half = requests.delete_peering(AZURE, "hub", "spoke").azure
        with refused(r"Azure would refuse that: .*spoke to hub is Disconnected") as caught:
            self.put("hub", "spoke", {"allowGatewayTransit": True}, half)
        assert "labkit vnet peering update spoke hub" in caught.value.remedy
        updated = self.put("spoke", "hub", {"useRemoteGateways": True}, half)
        assert updated.what == "set again as it was: Initiated until the other side exists"
        anew = self.put("spoke", "hub", {}, requests.delete_peering(half, "spoke", "hub").azure)
        for azure in (updated.azure, anew.azure):
            assert self.state(azure, "spoke", "hub") == "Initiated"
            both = self.put("hub", "spoke", {"allowGatewayTransit": True}, azure).azure
            assert self.state(both, "spoke", "hub") == self.state(both, "hub", "spoke") == "Connected"

    @pytest.mark.parametrize(
        ("local", "remote", "said", "text"),
        [
            ("hub", "other", {}, "no link between hub and other"),
            ("hub", "hub", {}, "no link between hub and hub"),
            ("hub", "vnet9", {}, "no virtual network vnet9"),
            ("spoke", "hub", {"allowVirtualNetworkAccess": True}, "no switches of a peering"),
            ("spoke", "hub", [], "no switches of a peering"),
            ("spoke", "hub", {"useRemoteGateways": "on"}, "either on or off"),
            ("spoke", "other", {"useRemoteGateways": True}, "only one peering of spoke can use remote gateways"),
            ("hub", "spoke", {"useRemoteGateways": True}, "hub has a route server of its own"),
            ("hub", "spoke", {"allowGatewayTransit": False}, "hub doesn't allow gateway transit"),
        ],
    )
    def test_what_can_t_be_is_refused(self, local: str, remote: str, said: Any, text: str) -> None:
        with refused(text):
            self.put(local, remote, said)

    def test_a_side_that_is_not_there_can_t_be_deleted(self) -> None:
        with refused("no peering from hub to other"):
            requests.delete_peering(AZURE, "hub", "other")


GATEWAY = load_text(
    """
name: gateway
internet: 198.51.100.0/24
virtual_networks:
  hub:
    address_space: 10.1.0.0/16
    subnets:
      GatewaySubnet: {prefix: 10.1.255.0/27, route_table: gateway}
      app: {prefix: 10.1.1.0/24, route_table: app}
route_tables: {gateway: {}, app: {}}
gateways: {vpn: {type: Vpn, virtual_network: hub, connects_to: [branch]}}
sites: {branch: {asn: 65009, prefixes: 10.9.0.0/16}}
virtual_machines: {vm1: hub/app}
""",
    "gateway.lab.yml",
).azure


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"disable_bgp_route_propagation": True}, "disables BGP route propagation"),
        ({"routes": (UserRoute(IPv4Network("0.0.0.0/0"), NextHopType.NONE),)}, "has a route for 0.0.0.0/0"),
    ],
)
def test_what_gateway_subnet_can_t_have(changes: dict[str, Any], text: str) -> None:
    """Reference §4.2 step 4; other subnets can."""
    with refused(text):
        requests.route_table(GATEWAY, replace(GATEWAY.route_table["gateway"], **changes))
    after = requests.route_table(GATEWAY, replace(GATEWAY.route_table["app"], **changes)).azure
    assert after.route_table["app"] != GATEWAY.route_table["app"]


def test_what_was_wrong_before_hinders_no_other_change() -> None:
    """Nobody is refused for what somebody else did: Azure judges the change."""
    table = replace(GATEWAY.route_table["gateway"], disable_bgp_route_propagation=True)
    wrong = replace(GATEWAY, route_tables=tuple(table if t.name == table.name else t for t in GATEWAY.route_tables))
    other = replace(GATEWAY.route_table["app"], disable_bgp_route_propagation=True)
    assert requests.route_table(wrong, other).azure.route_table["app"] == other


class TestRouteTables:
    """They come and go, and subnets take them; `az network route-table` and `az network vnet subnet update`."""

    def associate(self, azure: Azure, subnet: str, table: str | None) -> Request:
        network, name = subnet.split("/")
        return requests.associate(azure, network, name, {"routeTable": table})

    def table(self, azure: Azure, subnet: str) -> str | None:
        network, name = subnet.split("/")
        return next(s.route_table for s in azure.virtual_network[network].subnets if s.name == name)

    def test_a_new_one_is_of_no_subnet_until_it_is_associated(self) -> None:
        created = requests.create_route_table(AZURE, RouteTable("new"))
        assert (created.azure.route_table["new"], subnets_with(created.azure, "new")) == (RouteTable("new"), ())
        given = self.associate(created.azure, "spoke/app", "new")
        assert (self.table(given.azure, "spoke/app"), subnets_with(given.azure, "new")) == ("new", ("spoke/app",))
        assert given.what == "has route table new"
        assert self.associate(given.azure, "spoke/app", "new").what == "set again as it was"

    def test_a_subnet_has_one(self) -> None:
        """The one that it had goes without a question (github.com/Azure/azure-cli/issues/7210)."""
        azure = requests.create_route_table(GATEWAY, RouteTable("new")).azure
        given = self.associate(azure, "hub/app", "new")
        assert given.what == "has route table new in place of app"
        assert (subnets_with(given.azure, "new"), subnets_with(given.azure, "app")) == (("hub/app",), ())
        taken = self.associate(given.azure, "hub/app", None)
        assert (self.table(taken.azure, "hub/app"), taken.what) == (None, "has no route table any more (it had new)")

    def test_one_in_use_can_t_be_deleted(self) -> None:
        with refused("Azure would refuse that: route table app is in use by hub/app and can't be deleted"):
            requests.delete_route_table(GATEWAY, "app")
        free = self.associate(GATEWAY, "hub/app", None).azure
        assert list(requests.delete_route_table(free, "app").azure.route_table) == ["gateway"]

    def test_where_azure_takes_none(self) -> None:
        """Reference §1 "UDR / NSG on RouteServerSubnet", §4.2 step 4."""
        azure = requests.create_route_table(AZURE, RouteTable("new")).azure
        with refused("RouteServerSubnet of hub can't have a route table"):
            self.associate(azure, "hub/RouteServerSubnet", "new")
        default = UserRoute(IPv4Network("0.0.0.0/0"), NextHopType.NONE)
        for table, text in (
            (RouteTable("new", disable_bgp_route_propagation=True), "disables BGP route propagation"),
            (RouteTable("new", (default,)), "has a route for 0.0.0.0/0"),
        ):
            azure = requests.create_route_table(GATEWAY, table).azure
            with refused(text):
                self.associate(azure, "hub/GatewaySubnet", "new")

    @pytest.mark.parametrize(
        ("network", "subnet", "said", "text"),
        [
            ("nowhere", "app", {"routeTable": None}, "no virtual network nowhere"),
            ("spoke", "nva", {"routeTable": None}, "spoke has no subnet nva"),
            ("spoke", "app", {"routeTable": "nothing"}, "no route table nothing"),
            ("spoke", "app", {"routeTable": 1}, "no route table of a subnet"),
            ("spoke", "app", {"table": "new"}, "no route table of a subnet"),
            ("spoke", "app", {}, "no route table of a subnet"),
            ("spoke", "app", None, "no route table of a subnet"),
        ],
    )
    def test_what_can_t_be_associated(self, network: str, subnet: str, said: Any, text: str) -> None:
        with refused(text):
            requests.associate(AZURE, network, subnet, said)

    def test_names(self) -> None:
        with refused("no name of a route table"):
            requests.create_route_table(AZURE, RouteTable("a b"))
        with refused("route table app is there"):
            requests.create_route_table(GATEWAY, RouteTable("app"))
        with refused("no route table nothing"):
            requests.delete_route_table(GATEWAY, "nothing")

    def test_a_change_is_told_in_words(self) -> None:
        one, other = (IPv4Network(text) for text in ("10.8.0.0/16", "10.9.0.0/16"))
        first = requests.route_table(GATEWAY, RouteTable("app", (UserRoute(one, NextHopType.NONE),)))
        assert first.what == "route 10.8.0.0/16 — → None"
        hop = UserRoute(other, NextHopType.VIRTUAL_APPLIANCE, IPv4Address("10.1.1.9"))
        second = requests.route_table(first.azure, RouteTable("app", (hop,), disable_bgp_route_propagation=True))
        assert second.what == "route 10.8.0.0/16 None → —, route 10.9.0.0/16 — → 10.1.1.9, BGP propagation off"
        assert requests.route_table(second.azure, second.azure.route_table["app"]).what == "set again as it was"


class TestChanged:
    """What operators have made of a lab, and all of it undone."""

    def rows(self, azure: Azure) -> list[tuple[str, str, str, str]]:
        return [(c.object, c.setting, c.lab_file, c.now) for c in changed(AZURE, azure)]

    def test_nothing_is_changed_at_first_nor_by_what_changes_nothing(self) -> None:
        assert self.rows(AZURE) == []
        assert self.rows(requests.put_peer(AZURE, LAB, RS1, "nva1", {}).azure) == []

    def test_what_is_new_what_is_gone_and_what_is_otherwise(self) -> None:
        azure = requests.create_route_table(AZURE, RouteTable("new", (), disable_bgp_route_propagation=True)).azure
        azure = requests.associate(azure, "spoke", "app", {"routeTable": "new"}).azure
        azure = requests.server_settings(azure, RS1, {"allowBranchToBranchTraffic": True}).azure
        azure = requests.delete_peer(azure, azure.route_server["rs1"], "nva1").azure
        azure = requests.delete_server(azure, azure.route_server["rs2"]).azure
        azure = requests.delete_peering(azure, "other", "spoke").azure
        azure = requests.put_peering(azure, LAB, "hub", "spoke", {"allowForwardedTraffic": False}).azure
        azure = requests.address_space(azure, "spoke", {"addressPrefixes": ["10.2.0.0/16", "10.22.0.0/16"]}).azure
        assert self.rows(azure) == [
            ("virtual network spoke", "address space", "10.2.0.0/16", "10.2.0.0/16 10.22.0.0/16"),
            ("virtual network spoke", "route table of subnet app", "-", "new"),
            ("peering hub to spoke", "allowForwardedTraffic", "on", "off"),
            ("peering spoke to other", "", "Connected", "Disconnected"),
            ("peering other to spoke", "", "Connected", "-"),
            ("route server rs1", "branch-to-branch", "off", "on"),
            ("route server rs1", "peering nva1", f"{AZURE.nic['nva1'].address}, AS 65001", "-"),
            ("route server rs2", "", "there", "-"),
            ("route table new", "", "-", "there"),
            ("route table new", "BGP propagation", "-", "off"),
        ]
        back = reset(azure, LAB)
        assert (back.azure, back.what) == (AZURE, "reset to its lab file")
        assert reset(AZURE, LAB).what == "set again as it was"
