"""What operators may change of a running lab, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest

from labkit.azure.changes.appliances import SetExportPolicy
from labkit.azure.changes.base import Change
from labkit.azure.changes.difference import difference
from labkit.azure.changes.nics import SetIpForwarding
from labkit.azure.changes.outcome import ChangeOutcome, servers_that_refresh
from labkit.azure.changes.route_servers import (
    CreateRouteServer,
    DeletePeer,
    DeleteRouteServer,
    PutPeer,
    SetRouteServerSettings,
)
from labkit.azure.changes.route_tables import (
    AssociateRouteTable,
    DeleteRoute,
    DeleteRouteTable,
    DissociateRouteTable,
    PutRoute,
    PutRouteTable,
    subnets_with,
)
from labkit.azure.changes.virtual_networks import (
    DeletePeering,
    PutPeering,
    SetAddressSpace,
    SyncPeering,
    peering_side,
    peering_state,
    peering_sync_level,
)
from labkit.azure.model import Azure, BgpPeer, ExportRule, HubRoutingPreference, NextHopType, RouteTable, UserRoute
from labkit.azure.rules.acceptance import originated
from labkit.azure.rules.adjacency import connected_peerings, peered_ranges
from labkit.errors import InvalidInput
from labkit.lab.edited import obstacles
from labkit.lab.load import load, load_text
from labkit.lab.model import Lab
from labkit.lab.running import as_built, carry_out, cautions
from labkit.resources import topologies

TEXT = """
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
"""
LAB = load_text(TEXT, "running.lab.yml")
AZURE = LAB.azure
RS1 = AZURE.route_server["rs1"]
DEFAULT = RS1.hub_routing_preference
ASPATH = HubRoutingPreference.AS_PATH


def made(*changes: Change, azure: Azure = AZURE, lab: Lab = LAB) -> ChangeOutcome:
    return carry_out(lab, azure, changes)


def what(change: Change, azure: Azure = AZURE) -> str:
    (done,) = made(change, azure=azure).done
    return done.what


def refused(text: str) -> Any:
    return pytest.raises(InvalidInput, match=text)


def ip(text: str) -> IPv4Address:
    return IPv4Address(text)


def net(text: str) -> IPv4Network:
    return IPv4Network(text)


def test_a_lab_files_route_server_prefers_what_azures_does() -> None:
    """[hub-routing-preference]"""
    assert DEFAULT is HubRoutingPreference.EXPRESSROUTE


class TestRouteServers:
    @pytest.mark.parametrize(
        ("change", "branch_to_branch", "preference", "text"),
        [
            (SetRouteServerSettings("rs1", True), True, DEFAULT, "branch-to-branch off → on"),
            (
                SetRouteServerSettings("rs1", hub_routing_preference=ASPATH),
                False,
                ASPATH,
                "hub routing preference ExpressRoute → ASPath",
            ),
            (
                SetRouteServerSettings("rs1", True, ASPATH),
                True,
                ASPATH,
                "branch-to-branch off → on, hub routing preference ExpressRoute → ASPath",
            ),
            (SetRouteServerSettings("rs1", False), False, DEFAULT, "no change"),
            (SetRouteServerSettings("rs1"), False, DEFAULT, "no change"),
        ],
    )
    def test_what_is_not_given_stays(
        self, change: Change, branch_to_branch: bool, preference: HubRoutingPreference, text: str
    ) -> None:
        outcome = made(change)
        after = outcome.azure.route_server["rs1"]
        assert (after.branch_to_branch, after.hub_routing_preference) == (branch_to_branch, preference)
        assert outcome.done[0].title == f"rs1: {text}"

    def test_a_deleted_one_comes_back_without_peers_and_with_azures_defaults(self) -> None:
        """Whatever its file has, and whatever was set before."""
        changed = made(SetRouteServerSettings("rs1", True, ASPATH)).azure
        gone = made(DeleteRouteServer("rs1"), azure=changed).azure
        assert [s.name for s in gone.route_servers] == ["rs2"]
        back = made(CreateRouteServer("rs1", "hub", RS1.instances), azure=gone).azure.route_server["rs1"]
        assert (back.instances, back.peers) == (RS1.instances, ())
        assert (back.branch_to_branch, back.hub_routing_preference) == (False, HubRoutingPreference.EXPRESSROUTE)

    def test_its_limits_are_as_it_was_built(self) -> None:
        built = replace(RS1, routes_per_peer=7)
        lab = replace(LAB, azure=replace(AZURE, route_servers=(built, *AZURE.route_servers[1:])))
        again = (DeleteRouteServer("rs1"), CreateRouteServer("rs1", "hub", RS1.instances))
        assert made(*again, azure=lab.azure, lab=lab).azure.route_server["rs1"].routes_per_peer == 7

    def test_only_one_that_was_deleted_can_be_created(self) -> None:
        with refused("route server rs1 already exists"):
            made(CreateRouteServer("rs1", "hub", RS1.instances))
        with refused("no nodes for a route server rs9"):
            made(CreateRouteServer("rs9", "spoke", (ip("10.2.1.4"), ip("10.2.1.5"))))
        gone = made(DeleteRouteServer("rs1")).azure
        with refused("no nodes for a route server rs1 in spoke"):
            made(CreateRouteServer("rs1", "spoke", RS1.instances), azure=gone)
        with refused("no virtual network vnet9"):
            made(CreateRouteServer("rs1", "vnet9", RS1.instances), azure=gone)
        with refused("no route server rs9"):
            made(DeleteRouteServer("rs9"))

    def test_what_azure_refuses_is_refused_of_a_new_one_too(self) -> None:
        spoke = replace(RS1, virtual_network="spoke", peers=())
        lab = replace(LAB, azure=replace(AZURE, route_servers=(spoke,)))
        azure = replace(AZURE, route_servers=(), peerings=())
        with refused("spoke has no RouteServerSubnet"):
            made(CreateRouteServer("rs1", "spoke", RS1.instances), azure=azure, lab=lab)


class TestPeers:
    def test_one_is_created_and_another_of_its_name_replaces_it(self) -> None:
        first = made(PutPeer("rs1", "nva2", 65002, ip("10.1.1.5")))
        assert first.azure.route_server["rs1"].peers[-1] == BgpPeer("nva2", 65002, ip("10.1.1.5"))
        assert first.done[0].what == "peering nva2 (10.1.1.5, AS 65002) created"
        second = made(PutPeer("rs1", "nva2", 65099, ip("10.1.1.5")), azure=first.azure)
        assert [(p.name, p.asn) for p in second.azure.route_server["rs1"].peers] == [("nva1", 65001), ("nva2", 65099)]
        assert second.done[0].what == "peering nva2 (10.1.1.5, AS 65099) changed (it was 10.1.1.5, AS 65002)"
        assert what(PutPeer("rs1", "nva2", 65099, ip("10.1.1.5")), second.azure) == "no change"

    @pytest.mark.parametrize(
        ("name", "asn", "address", "text"),
        [
            ("firewall", 65515, "10.2.1.9", "Azure would refuse that: .*65515"),
            ("firewall", 65010, "10.3.1.9", "neither in hub.*nor in one directly peered"),
            ("firewall", 65010, "10.1.1.4", "have the same name or address"),
            ("fw", 65010, "10.1.0.4", "it is an instance of route server rs1"),
            ("fw", 65010, "10.3.0.5", "it is an instance of route server rs2"),
            ("fw", 65010, "10.1.1.1", "Azure keeps it for itself in subnet nva of hub"),
            ('x"; process', 65010, "10.2.1.9", "not a valid name of a peering"),
        ],
    )
    def test_what_can_t_be_is_refused(self, name: str, asn: int, address: str, text: str) -> None:
        with refused(text):
            made(PutPeer("rs1", name, asn, ip(address)))

    def test_nobody_is_called_like_an_instance_of_a_gateway(self) -> None:
        with refused("vpn-0 is an instance of a gateway"):
            PutPeer("rs1", "vpn-0", 65010, ip("10.1.1.9")).apply(replace(AZURE, gateways=GATEWAY.gateways))

    def test_the_ninth_is_refused(self) -> None:
        many = [PutPeer("rs1", f"p{number}", 65100, ip(f"10.1.1.{100 + number}")) for number in range(8)]
        made(*many[:7])
        with refused("at most 8 are allowed"):
            made(*many)

    def test_a_peer_is_deleted_by_its_own_name(self) -> None:
        outcome = made(DeletePeer("rs1", "nva1"))
        assert outcome.azure.route_server["rs1"].peers == ()
        assert outcome.done[0].what == "peering nva1 deleted"
        with refused("has no peer nva2"):
            made(DeletePeer("rs1", "nva2"))


class TestAddressSpaces:
    def test_a_spoke_s_new_range_is_originated_once_the_hub_s_side_is_synced(self) -> None:
        """[peering-sync]."""
        old, added = net("10.2.0.0/16"), net("10.20.0.0/16")
        first = made(SetAddressSpace("spoke", (old, added, old)))
        assert first.done[0].what == "address space 10.2.0.0/16 → 10.2.0.0/16 10.20.0.0/16"
        assert originated(first.azure, "rs1").spokes == (old,)
        assert self.levels(first.azure) == ["LocalNotInSync", "RemoteNotInSync"]
        assert [text for text, _ in cautions(LAB, AZURE, first.azure)] == [
            "hub still has 10.2.0.0/16 of spoke.",
            "other still has 10.2.0.0/16 of spoke.",
        ]
        second = made(SyncPeering("hub", "spoke"), azure=first.azure)
        assert second.done[0].what == "ranges of spoke 10.2.0.0/16 → 10.2.0.0/16 10.20.0.0/16"
        assert originated(second.azure, "rs1").spokes == (old, added)
        assert self.levels(second.azure) == ["FullyInSync"] * 2
        assert made(SyncPeering("hub", "spoke"), azure=second.azure).done[0].what == "no change"
        with refused("no peering hub to other"):
            made(SyncPeering("hub", "other"))

    def test_who_has_not_synced_has_the_ranges_of_the_last_time(self) -> None:
        old, added, third = (net(f"10.{n}.0.0/16") for n in (2, 20, 21))
        changed = made(SetAddressSpace("spoke", (old, added)), SetAddressSpace("spoke", (old, added, third)))
        assert peered_ranges(changed.azure, "hub", "spoke") == (old,)
        back = made(SetAddressSpace("spoke", (old,)), azure=changed.azure)
        assert back.azure == AZURE, "they are in sync again by themselves"
        synced = made(SyncPeering("hub", "spoke"), azure=changed.azure).azure
        both = made(SetAddressSpace("hub", (*AZURE.virtual_network["hub"].address_space, net("10.30.0.0/16"))))
        smaller = made(SetAddressSpace("spoke", (old,)), azure=synced).azure
        assert peered_ranges(smaller, "hub", "spoke") == (old, added, third)
        for azure in (changed.azure, synced, smaller, both.azure):
            for one, other in ((AZURE, azure), (azure, AZURE), (smaller, azure)):
                assert made(*difference(one, other), azure=one).azure == other

    def levels(self, azure: Azure) -> list[str]:
        sides = (peering_side(azure, *ends) for ends in (("hub", "spoke"), ("spoke", "hub")))
        return [peering_sync_level(azure, side) for side in sides if side is not None]

    @pytest.mark.parametrize(
        ("prefixes", "text"),
        [
            (["10.20.0.0/16"], r"subnet app \(10.2.1.0/24\) of spoke would lie outside"),
            (["10.2.0.0/16", "10.2.128.0/17"], "overlap"),
            (["10.2.0.0/16", "10.11.7.0/24"], "can't be peered"),
            (["10.2.0.0/16", "168.63.129.16/32"], "overlaps 168.63.129.16/32, which Azure refuses"),
            (["10.2.0.0/16", "172.31.0.0/31"], "too small"),
        ],
    )
    def test_what_can_t_be_is_refused(self, prefixes: list[str], text: str) -> None:
        with refused(text):
            made(SetAddressSpace("spoke", tuple(map(net, prefixes))))

    def test_of_a_network_that_does_not_exist_it_is_refused(self) -> None:
        with refused("no virtual network vnet9"):
            made(SetAddressSpace("vnet9", (net("10.2.0.0/16"),)))


class TestRefresh:
    """Which route servers ask for all routes again [refresh-at-peering]."""

    def test_only_those_with_a_new_peering_do(self) -> None:
        half = made(DeletePeering("spoke", "hub")).azure
        assert servers_that_refresh(AZURE, half) == ()
        assert servers_that_refresh(half, AZURE) == ("rs1",)
        assert servers_that_refresh(AZURE, AZURE) == ()

    def test_a_new_route_server_has_nobody_to_ask(self) -> None:
        gone = made(DeleteRouteServer("rs1")).azure
        assert servers_that_refresh(gone, AZURE) == ()


class TestPeerings:
    def state(self, azure: Azure, local: str, remote: str) -> str:
        side = peering_side(azure, local, remote)
        assert side is not None
        return peering_state(azure, side)

    def test_one_side_alone_is_initiated_and_carries_nothing(self) -> None:
        gone = made(DeletePeering("hub", "spoke"), DeletePeering("spoke", "hub")).azure
        one = made(PutPeering("spoke", "hub"), azure=gone)
        assert one.done[0].what == "created, Initiated until the other side exists"
        assert connected_peerings(one.azure, "hub") == ()
        assert self.state(one.azure, "spoke", "hub") == "Initiated"
        both = made(PutPeering("hub", "spoke", allow_gateway_transit=True), azure=one.azure)
        assert both.done[0].what == "created"
        assert [p.remote for p in connected_peerings(both.azure, "hub")] == ["spoke"]

    def test_what_is_not_given_of_a_side_stays(self) -> None:
        outcome = made(PutPeering("spoke", "hub", allow_forwarded_traffic=False))
        side = peering_side(outcome.azure, "spoke", "hub")
        assert side is not None
        assert (side.use_remote_gateways, side.allow_forwarded_traffic) == (True, False)
        assert outcome.done[0].title == "spoke to hub: allowForwardedTraffic on → off"
        assert what(PutPeering("spoke", "hub")) == "no change"

    def test_a_deleted_side_leaves_the_other_disconnected(self) -> None:
        outcome = made(DeletePeering("hub", "spoke"))
        assert outcome.done[0].what == "deleted: the other side is Disconnected"
        assert connected_peerings(outcome.azure, "spoke") == connected_peerings(AZURE, "spoke")[1:]
        assert self.state(outcome.azure, "spoke", "hub") == "Disconnected"

    def test_beside_a_disconnected_side_none_can_be_created(self) -> None:
        """Azure's `RemotePeeringIsDisconnected`: an update gets it back to Initiated, and so does creating it again."""
        half = made(DeletePeering("hub", "spoke")).azure
        with refused(r"Azure would refuse that: .*spoke to hub is Disconnected") as caught:
            made(PutPeering("hub", "spoke", allow_gateway_transit=True), azure=half)
        assert "labkit vnet peering update spoke hub" in caught.value.remedy
        updated = made(PutPeering("spoke", "hub", use_remote_gateways=True), azure=half)
        assert updated.done[0].what == "Initiated until the other side exists"
        again = made(PutPeering("spoke", "hub"), azure=made(DeletePeering("spoke", "hub"), azure=half).azure)
        for azure in (updated.azure, again.azure):
            assert self.state(azure, "spoke", "hub") == "Initiated"
            both = made(PutPeering("hub", "spoke", allow_gateway_transit=True), azure=azure).azure
            assert self.state(both, "spoke", "hub") == self.state(both, "hub", "spoke") == "Connected"

    def test_a_global_one_stays_global(self) -> None:
        lab = replace(LAB, azure=replace(AZURE, peerings=tuple(replace(p, is_global=True) for p in AZURE.peerings)))
        both = (DeletePeering("spoke", "other"), DeletePeering("other", "spoke"), PutPeering("spoke", "other"))
        side = peering_side(made(*both, azure=lab.azure, lab=lab).azure, "spoke", "other")
        assert side is not None
        assert side.is_global

    @pytest.mark.parametrize(
        ("change", "text"),
        [
            (PutPeering("hub", "other"), "no link between hub and other"),
            (PutPeering("hub", "hub"), "no link between hub and hub"),
            (PutPeering("hub", "vnet9"), "no virtual network vnet9"),
            (PutPeering("spoke", "other", True), "only one peering of spoke can use remote gateways"),
            (PutPeering("hub", "spoke", True), "hub has a route server of its own"),
            (PutPeering("hub", "spoke", None, False), "hub doesn't allow gateway transit"),
            (DeletePeering("hub", "other"), "no peering hub to other"),
        ],
    )
    def test_what_can_t_be_is_refused(self, change: Change, text: str) -> None:
        with refused(text):
            made(change)


GATEWAY_LAB = load_text(
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
)
GATEWAY = GATEWAY_LAB.azure


def gateway(*changes: Change, azure: Azure = GATEWAY) -> ChangeOutcome:
    return made(*changes, azure=azure, lab=GATEWAY_LAB)


DEFAULT_ROUTE = IPv4Network("0.0.0.0/0")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (PutRouteTable("gateway", True), "disables BGP route propagation"),
        (PutRoute("gateway", DEFAULT_ROUTE, NextHopType.NONE), "has a route for 0.0.0.0/0"),
    ],
)
def test_what_gateway_subnet_can_t_have(change: Any, text: str) -> None:
    """[gateway-subnet-propagation, gateway-subnet-default]; other subnets can."""
    with refused(text):
        gateway(change)
    assert gateway(replace(change, route_table="app")).azure.route_table["app"] != GATEWAY.route_table["app"]


def test_what_was_wrong_before_hinders_no_other_change() -> None:
    """Nobody is refused for what somebody else did: Azure judges the change."""
    table = replace(GATEWAY.route_table["gateway"], disable_bgp_route_propagation=True)
    wrong = replace(GATEWAY, route_tables=tuple(table if t.name == table.name else t for t in GATEWAY.route_tables))
    after = gateway(PutRouteTable("app", True), azure=wrong).azure
    assert after.route_table["app"].disable_bgp_route_propagation


class TestRouteTables:
    """They come and go, and subnets take them; `az network route-table` and `az network vnet subnet update`."""

    def test_a_new_one_is_of_no_subnet_until_it_is_associated(self) -> None:
        created = made(PutRouteTable("new"))
        assert created.done[0].title == "new: created"
        assert (created.azure.route_table["new"], subnets_with(created.azure, "new")) == (RouteTable("new"), ())
        given = made(AssociateRouteTable("spoke", "app", "new"), azure=created.azure)
        assert subnets_with(given.azure, "new") == ("spoke/app",)
        assert given.done[0].title == "spoke/app: route table new associated"
        assert what(AssociateRouteTable("spoke", "app", "new"), given.azure) == "no change"

    def test_a_subnet_has_one(self) -> None:
        """The one that it had goes without a question (github.com/Azure/azure-cli/issues/7210)."""
        given = gateway(PutRouteTable("new"), AssociateRouteTable("hub", "app", "new"))
        assert given.done[1].what == "route table new associated in place of app"
        assert (subnets_with(given.azure, "new"), subnets_with(given.azure, "app")) == (("hub/app",), ())
        taken = gateway(DissociateRouteTable("hub", "app"), azure=given.azure)
        assert (subnets_with(taken.azure, "new"), taken.done[0].what) == ((), "route table new dissociated")
        assert gateway(DissociateRouteTable("hub", "app"), azure=taken.azure).done[0].what == "no change"

    def test_one_in_use_can_t_be_deleted(self) -> None:
        with refused("Azure would refuse that: route table app is in use by hub/app"):
            gateway(DeleteRouteTable("app"))
        free = gateway(DissociateRouteTable("hub", "app"), DeleteRouteTable("app"))
        assert list(free.azure.route_table) == ["gateway"]
        assert free.done[1].title == "app: deleted"

    def test_where_azure_takes_none(self) -> None:
        """[no-route-table, gateway-subnet-propagation]"""
        with refused("RouteServerSubnet of hub can't have a route table"):
            made(PutRouteTable("new"), AssociateRouteTable("hub", "RouteServerSubnet", "new"))
        associate = AssociateRouteTable("hub", "GatewaySubnet", "new")
        with refused("disables BGP route propagation"):
            gateway(PutRouteTable("new", True), associate)
        with refused("has a route for 0.0.0.0/0"):
            gateway(PutRouteTable("new"), PutRoute("new", DEFAULT_ROUTE, NextHopType.NONE), associate)

    @pytest.mark.parametrize(
        ("change", "text"),
        [
            (DissociateRouteTable("nowhere", "app"), "no virtual network nowhere"),
            (DissociateRouteTable("spoke", "nva"), "spoke has no subnet nva"),
            (AssociateRouteTable("spoke", "app", "nothing"), "no route table nothing"),
            (PutRouteTable("a b"), "not a valid name of a route table"),
            (DeleteRouteTable("nothing"), "no route table nothing"),
            (PutRoute("nothing", DEFAULT_ROUTE, NextHopType.NONE), "no route table nothing"),
            (DeleteRoute("nothing", DEFAULT_ROUTE), "no route table nothing"),
        ],
    )
    def test_what_can_t_be_is_refused(self, change: Change, text: str) -> None:
        with refused(text):
            made(change)

    @pytest.mark.parametrize(
        ("kind", "address", "text"),
        [
            (NextHopType.VIRTUAL_APPLIANCE, None, "nextHopIpAddress goes with VirtualAppliance"),
            (NextHopType.INTERNET, IPv4Address("10.1.1.4"), "nextHopIpAddress goes with VirtualAppliance"),
            (NextHopType.VNET_PEERING, None, "VNetPeering can't be the next hop"),
        ],
    )
    def test_hops_that_no_route_can_have(self, kind: NextHopType, address: IPv4Address | None, text: str) -> None:
        with refused(text):
            gateway(PutRoute("app", DEFAULT_ROUTE, kind, address))

    def test_a_change_is_described(self) -> None:
        one, other = net("10.8.0.0/16"), net("10.9.0.0/16")
        first = gateway(PutRoute("app", one, NextHopType.NONE))
        assert first.done[0].what == "route 10.8.0.0/16 created: None"
        hop = UserRoute(one, NextHopType.VIRTUAL_APPLIANCE, ip("10.1.1.9"))
        put = PutRoute("app", one, hop.next_hop_type, hop.next_hop, replace=True)
        second = gateway(put, PutRouteTable("app", True), azure=first.azure)
        assert [done.what for done in second.done] == ["route 10.8.0.0/16 None → 10.1.1.9", "BGP propagation on → off"]
        assert second.azure.route_table["app"] == RouteTable("app", (hop,), disable_bgp_route_propagation=True)
        last = gateway(DeleteRoute("app", one), DeleteRoute("app", other), put, put, azure=second.azure)
        assert [done.what for done in last.done] == [
            "route 10.8.0.0/16 deleted: it was 10.1.1.9",
            "no change: there is no route 10.9.0.0/16",
            "route 10.8.0.0/16 created: 10.1.1.9",
            "no change",
        ]

    def test_a_second_route_for_a_prefix_is_a_conflict(self) -> None:
        first = gateway(PutRoute("app", DEFAULT_ROUTE, NextHopType.NONE)).azure
        other = PutRoute("app", DEFAULT_ROUTE, NextHopType.INTERNET)
        with refused(r"refuse that \(RouteConflict\): route table app has a route for 0.0.0.0/0 already, None\."):
            gateway(other, azure=first)
        assert gateway(PutRoute("app", DEFAULT_ROUTE, NextHopType.NONE), azure=first).done[0].what == "no change"
        done = gateway(replace(other, replace=True), azure=first)
        assert [each.what for each in done.done] == ["route 0.0.0.0/0 None → Internet"]
        # What undoes it, and what makes it again, says so itself.
        for before, after in ((first, done.azure), (done.azure, first)):
            assert gateway(*difference(before, after), azure=before).azure == after


class TestCautions:
    """What Azure takes without a question, and what is lost by it: a warning, and the change is made."""

    @pytest.mark.parametrize(
        ("change", "text"),
        [
            (PutRoute("app", DEFAULT_ROUTE, NextHopType.VIRTUAL_APPLIANCE, ip("10.1.1.77")), "no NIC has it"),
            (
                PutRoute("app", DEFAULT_ROUTE, NextHopType.VIRTUAL_APPLIANCE, ip("10.1.0.4")),
                "it is an instance of route server rs1",
            ),
            (PutPeer("rs1", "ghost", 65009, ip("10.1.1.77")), "no NIC has the address of peer ghost of rs1, 10.1.1.77"),
            (
                PutPeer("rs1", "nva1", 65099, ip("10.1.1.4")),
                "peer nva1 of rs1 is expected to have ASN 65099, and the NVA has 65001.",
            ),
            (SetIpForwarding("nva1", False), "IP forwarding is off on nva1's NIC, which drops whatever"),
            (SetIpForwarding("nva2", False), "IP forwarding is off on nva2's NIC, which drops whatever"),
            (PutRoute("app", DEFAULT_ROUTE, NextHopType.VIRTUAL_APPLIANCE, ip("10.2.1.4")), "is off on vm1's NIC"),
        ],
    )
    def test_a_trap_stays_buildable(self, change: Change, text: str) -> None:
        before = made(PutRouteTable("app")).azure
        after = made(change, azure=before).azure
        ((found, remedy),) = cautions(LAB, before, after)
        assert text in found
        assert remedy
        assert list(cautions(LAB, after, after)) == []
        assert list(cautions(LAB, after, before)) == []


class TestTogether:
    def test_all_or_nothing(self) -> None:
        with refused("has no peer nva9"):
            made(SetRouteServerSettings("rs1", True), DeletePeer("rs1", "nva9"))

    def test_the_outcome_is_judged_and_not_the_order(self) -> None:
        half = made(DeletePeering("spoke", "hub"), DeletePeering("hub", "spoke")).azure
        uses = PutPeering("spoke", "hub", use_remote_gateways=True)
        with refused("doesn't allow gateway transit"):
            made(uses, PutPeering("hub", "spoke"), azure=half)
        assert made(uses, PutPeering("hub", "spoke", allow_gateway_transit=True), azure=half).azure.peerings

    def test_a_deletion_is_never_refused_and_excuses_nothing(self) -> None:
        made(DeleteRouteServer("rs1"))
        with refused("would lie outside"):
            made(SetAddressSpace("spoke", (net("10.33.0.0/16"),)), DeletePeer("rs1", "nva1"))


class TestDifference:
    """The least disruptive changes from one model to another."""

    def test_nothing(self) -> None:
        assert difference(AZURE, AZURE) == ()

    def test_what_is_new_what_is_gone_and_what_is_otherwise(self) -> None:
        changes = (
            DeletePeer("rs1", "nva1"),
            DeleteRouteServer("rs2"),
            DeletePeering("other", "spoke"),
            SetAddressSpace("spoke", (net("10.2.0.0/16"), net("10.22.0.0/16"))),
            PutPeering("hub", "spoke", allow_forwarded_traffic=False),
            SyncPeering("hub", "spoke"),
            SetRouteServerSettings("rs1", True),
            PutRouteTable("new", True),
            PutRoute("new", DEFAULT_ROUTE, NextHopType.NONE),
            AssociateRouteTable("spoke", "app", "new"),
            SetIpForwarding("nva1", False),
        )
        after = made(*changes).azure
        assert difference(AZURE, after) == changes
        back = difference(after, AZURE)
        assert back == (
            SetAddressSpace("spoke", (net("10.2.0.0/16"),)),
            PutPeering("hub", "spoke", allow_forwarded_traffic=True),
            PutPeering("spoke", "other"),
            PutPeering("other", "spoke"),
            SyncPeering("hub", "spoke"),
            SetRouteServerSettings("rs1", False),
            PutPeer("rs1", "nva1", 65001, AZURE.nic["nva1"].address),
            CreateRouteServer("rs2", "other", AZURE.route_server["rs2"].instances),
            DissociateRouteTable("spoke", "app"),
            DeleteRouteTable("new"),
            SetIpForwarding("nva1", True),
        )
        assert unordered(made(*back, azure=after).azure) == unordered(AZURE)

    def test_a_side_that_is_initiated_again(self) -> None:
        initiated = made(DeletePeering("hub", "spoke"), PutPeering("spoke", "hub")).azure
        assert difference(AZURE, initiated) == (DeletePeering("hub", "spoke"), PutPeering("spoke", "hub"))
        assert unordered(made(*difference(AZURE, initiated)).azure) == unordered(initiated)


def unordered(azure: Azure) -> object:
    """A model whatever the order of what was created while the lab ran."""
    return (
        set(azure.virtual_networks),
        set(azure.peerings),
        set(azure.nics),
        {replace(table, routes=tuple(sorted(table.routes, key=str))) for table in azure.route_tables},
        {replace(server, peers=tuple(sorted(server.peers, key=str))) for server in azure.route_servers},
    )


class TestEditedFiles:
    """What an edited lab file needs that changes can't make."""

    @pytest.mark.parametrize(
        ("old", "new", "wanted"),
        [
            ("peers: [nva1]", "peers: [nva1, nva2], branch_to_branch: true", []),
            ("{virtual_network: other}", "{virtual_network: other, hub_routing_preference: ASPath}", []),
            ("  rs2: {virtual_network: other}\n", "", []),
            ("[10.1.0.0/16, 10.11.0.0/16]", "[10.1.0.0/16, 10.12.0.0/16]", []),
            ("  - {between: [spoke, other]}\n", "", []),
            ("nva1: {subnet: hub/nva,", "nva1: {ip_forwarding: false, subnet: hub/nva,", []),
            ("name: requests", "name: others", ["the file is of lab others, and this is lab requests"]),
            (
                "{vm1: spoke/app}",
                "{vm1: spoke/app, vm2: spoke/app}",
                ["virtual machine vm2 is new: it has no node or link in the running lab"],
            ),
            (
                "virtual_machines: {vm1: spoke/app}",
                "",
                ["virtual machine vm1 is gone: no change removes its node or link"],
            ),
            (
                "nva1: {subnet: hub/nva, asn: 65001}",
                "nva1: {subnet: hub/nva, asn: 65003}",
                ["NVA nva1: asn differs, which no change configures"],
            ),
            (
                "{app: 10.2.1.0/24}",
                "{app: 10.2.1.0/24, db: 10.2.2.0/24}",
                ["subnet spoke/db is new: it has no node or link in the running lab"],
            ),
            (
                "{between: [spoke, other]}",
                "{between: [hub, other]}",
                ["the peering of hub and other is new: it needs a link"],
            ),
            (
                "{between: [spoke, other]}",
                "{between: [spoke, other], global: true}",
                ["the peering of spoke and other: global differs, which no change configures"],
            ),
            (
                "vm1: spoke/app",
                "vm1: {subnet: spoke/app, address: 10.2.1.77}",
                ["NIC vm1: address differs, which no change configures"],
            ),
        ],
    )
    def test_obstacles(self, old: str, new: str, wanted: list[str]) -> None:
        assert old in TEXT
        edited = load_text(TEXT.replace(old, new), "edited.lab.yml")
        assert list(obstacles(LAB, edited)) == wanted
        if not wanted:
            after = made(*difference(AZURE, edited.azure)).azure
            assert unordered(after) == unordered(edited.azure)
            assert as_built(LAB, after) == after


def test_an_export_rule_for_somebody_without_a_session_is_refused() -> None:
    lab = load(topologies() / "overview" / "lab.yml")
    for to, refused in (("rs1", False), ("branch", False), ("security-nva", True), ("nobody", True)):
        change = SetExportPolicy("sdwan-nva", (ExportRule((to,), deny=True),))
        if refused:
            with pytest.raises(InvalidInput, match=f"sdwan-nva has no BGP session with {to}"):
                carry_out(lab, lab.azure, [change])
        else:
            for spelled in (to, to.upper()):
                after = carry_out(lab, lab.azure, [replace(change, exports=(ExportRule((spelled,), deny=True),))]).azure
                assert after.appliance["sdwan-nva"].exports == change.exports != ()
