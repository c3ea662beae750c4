"""What gateways put into NICs, with route servers and without them [gateways-program-nics]."""

from dataclasses import replace
from typing import ClassVar

import pytest

from labkit.azure.model import (
    Assumptions,
    Azure,
    Gateway,
    GatewayRoutes,
    HubRoutingPreference,
    InstanceRoutes,
    LearnedRoutes,
    NextHopType,
    RouteServer,
    RouteTable,
    UserRoute,
)
from labkit.azure.model.problem import Code
from labkit.azure.rules.effective import effective_routes, lookup
from labkit.azure.rules.gateways import instance_peer
from labkit.azure.rules.validation import warnings

from .builders import addr, azure, er_gateway, net, network, nic, nva, path, peered, printed, table, vpn_gateway

NVA = nva("nva", 65001, "10.1.1.4")
SERVER = RouteServer("rs1", "hub", (addr("10.1.0.4"), addr("10.1.0.5")), (NVA,))
ER = er_gateway("er", "hub", "10.1.9.12", "10.1.9.13")
VPN = vpn_gateway("vpn", "hub", "10.1.9.4", "10.1.9.5")
ER_PEER, VPN_PEERS = instance_peer(ER, 0), (instance_peer(VPN, 0), instance_peer(VPN, 1))
P = "10.250.0.0/16"

FROM_ER: InstanceRoutes = table(path(P, ER_PEER, "12076-65020", "172.30.0.1"))
FROM_VPN: InstanceRoutes = table(*(path(P, peer, "65020") for peer in VPN_PEERS))
BY_ER, BY_VPN, BY_NVA = "172.30.0.1", "10.1.9.4 10.1.9.5", "10.1.1.4"


def lab(*, server: RouteServer | None = SERVER, propagation: bool = True) -> Azure:
    return azure(
        [
            network("hub", "10.1.0.0/16", table="t"),
            network("urg", "10.2.0.0/16"),
            network("plain", "10.3.0.0/16"),
        ],
        peered("urg", "hub", urg=True),
        peered("plain", "hub"),
        servers=[] if server is None else [server],
        tables=[RouteTable("t", (), not propagation)],
        nics=[nic("vm", "hub", "10.1.10.4"), nic("vm-urg", "urg", "10.2.0.4"), nic("vm-plain", "plain", "10.3.0.4")],
        gateways=[ER, VPN],
    )


def both(routes: InstanceRoutes) -> LearnedRoutes:
    return {"rs1": (routes, routes)}


def leads(model: Azure, learned: LearnedRoutes, gateways: GatewayRoutes, where: str = "vm", prefix: str = P) -> str:
    """The next hops of a prefix's BGP row, "" without one."""
    rows = printed(effective_routes(model, where, learned, gateways))
    start = f"VirtualNetworkGateway {prefix} VirtualNetworkGateway "
    return next((row.removeprefix(start) for row in rows if row.startswith(start)), "")


@pytest.mark.parametrize(("where", "hops"), [("vm", BY_VPN), ("vm-urg", BY_VPN), ("vm-plain", "")])
@pytest.mark.parametrize("server", [None, SERVER, replace(SERVER, branch_to_branch=True)])
def test_own_and_urg_networks_whatever_b2b_is(server: RouteServer | None, where: str, hops: str) -> None:
    # [gateways-program-nics]; both instances of an active-active VPN gateway [active-active-next-hops].
    assert leads(lab(server=server), both({}), {"vpn": FROM_VPN}, where) == hops


def test_propagation_off_removes_them_too() -> None:
    # Both gateway and route server routes [propagation-off].
    for server in (None, SERVER):
        assert leads(lab(server=server, propagation=False), both({}), {"vpn": FROM_VPN}) == ""


def test_a_route_server_with_both_instances_down_does_not_take_them_along() -> None:
    assert leads(lab(), {"rs1": (None, None)}, {"vpn": FROM_VPN}) == BY_VPN


@pytest.mark.parametrize(
    ("gateways", "hops"),
    [
        ((VPN,), f"VirtualNetworkGateway {BY_VPN}"),
        ((), "None"),
        ((ER,), "None"),
        ((ER, VPN), "None"),
    ],
    ids=["vpn", "none", "expressroute", "both"],
)
def test_user_routes_lead_to_a_vpn_gateway_that_is_alone(gateways: tuple[Gateway, ...], hops: str) -> None:
    """Without propagation, too; from the hub and from spokes that use its gateways [route-to-gateway]."""
    table = RouteTable("t", (UserRoute(net(P), NextHopType.VIRTUAL_NETWORK_GATEWAY),), True)
    urg, plain = (network(name, space, table="t") for name, space in (("urg", "10.2.0.0/16"), ("plain", "10.3.0.0/16")))
    model = replace(lab(server=None), gateways=gateways, route_tables=(table,))
    model = replace(model, virtual_networks=(model.virtual_networks[0], urg, plain))
    for where, expected in (("vm", hops), ("vm-urg", hops), ("vm-plain", "None")):
        assert f"User {P} {expected}" in printed(effective_routes(model, where, {}, {"vpn": FROM_VPN})), where
    found = [problem.text for problem in warnings(model) if problem.code is Code.ROUTE_TO_NO_GATEWAY]
    where = "plain" if gateways == (VPN,) else "hub"
    why = "Azure has no such routes with an ExpressRoute gateway" if ER in gateways else "there is no VPN gateway"
    assert found == [f"route {P} of route table t is None in subnet w of {where}: {why}"]


def test_user_routes_lead_to_the_instances_that_have_routes() -> None:
    user = RouteTable("t", (UserRoute(net("0.0.0.0/0"), NextHopType.VIRTUAL_NETWORK_GATEWAY),))
    model = replace(lab(server=None), gateways=(VPN,), route_tables=(user,))
    for routes, hops in ((FROM_VPN, BY_VPN), (table(path(P, VPN_PEERS[1], "65020")), "10.1.9.5"), ({}, BY_VPN)):
        rows = printed(effective_routes(model, "vm", {}, {"vpn": routes}))
        assert f"User 0.0.0.0/0 VirtualNetworkGateway {hops}" in rows
        assert "Invalid Default 0.0.0.0/0 Internet" in rows


class TestPreference:
    """The hub routing preference over everything that competes for a NIC [hub-routing-preference]."""

    NVA_SHORT: ClassVar[LearnedRoutes] = both(table(path(P, NVA, "65001")))
    NVA_LONG: ClassVar[LearnedRoutes] = both(table(path(P, NVA, "65001-65010")))

    @pytest.mark.parametrize("b2b", [False, True])
    @pytest.mark.parametrize(
        ("preference", "gateways", "hops"),
        [
            (HubRoutingPreference.EXPRESSROUTE, {"er": FROM_ER}, BY_ER),
            (HubRoutingPreference.VPN_GATEWAY, {"er": FROM_ER}, BY_NVA),
            (HubRoutingPreference.AS_PATH, {"er": FROM_ER}, BY_NVA),
            (HubRoutingPreference.EXPRESSROUTE, {"er": FROM_ER, "vpn": FROM_VPN}, BY_ER),
            (HubRoutingPreference.VPN_GATEWAY, {"er": FROM_ER, "vpn": FROM_VPN}, f"{BY_NVA} {BY_VPN}"),
            (HubRoutingPreference.AS_PATH, {"vpn": FROM_VPN}, f"{BY_NVA} {BY_VPN}"),  # a tie [vpn-nva-tie]
        ],
    )
    def test_between_gateways_and_an_nva(
        self, preference: HubRoutingPreference, gateways: GatewayRoutes, hops: str, b2b: bool
    ) -> None:
        server = replace(SERVER, hub_routing_preference=preference, branch_to_branch=b2b)
        assert leads(lab(server=server), self.NVA_SHORT, gateways) == hops

    def test_between_vpn_and_nva_the_shorter_path(self) -> None:
        assert leads(lab(), self.NVA_LONG, {"vpn": FROM_VPN}) == BY_VPN

    @pytest.mark.parametrize(("b2b", "hops"), [(False, BY_ER), (True, BY_NVA)])
    def test_the_switch_for_the_older_documentation(self, b2b: bool, hops: str) -> None:
        # [preference-needs-b2b]
        server = replace(
            SERVER,
            branch_to_branch=b2b,
            hub_routing_preference=HubRoutingPreference.VPN_GATEWAY,
            assumptions=Assumptions(preference_needs_branch_to_branch=True),
        )
        assert leads(lab(server=server), self.NVA_SHORT, {"er": FROM_ER}) == hops

    def test_gateways_alone(self) -> None:
        assert leads(lab(server=None), {}, {"er": FROM_ER, "vpn": FROM_VPN}) == BY_ER

    def test_expressroute_uses_one_connection_beside_a_route_server_only(self) -> None:
        # [one-expressroute-connection]
        twice = {"er": table(path(P, ER_PEER, "12076", "172.30.0.5"), path(P, ER_PEER, "12076", "172.30.0.1"))}
        assert leads(lab(server=None), {}, twice) == "172.30.0.1 172.30.0.5"
        assert leads(lab(), both({}), twice) == "172.30.0.1"


def test_what_a_route_server_received_from_a_gateway_counts_once() -> None:
    server = replace(SERVER, branch_to_branch=True)
    for fresh, hops in ((FROM_VPN, BY_VPN), (table(path(P, VPN_PEERS[1], "65020")), "10.1.9.5"), ({}, "")):
        assert leads(lab(server=server), both(FROM_VPN), {"vpn": fresh}) == hops
    # The routes of a gateway that has not reported itself come through the route server.
    assert leads(lab(server=server), both(FROM_VPN), {"er": {}}) == BY_VPN
    assert leads(lab(server=server), both(FROM_VPN), {}) == BY_VPN


@pytest.mark.parametrize("prefix", ["10.1.0.0/16", "10.1.7.0/24", "10.2.0.0/24", "10.3.0.0/16"])
def test_suppressed_like_those_of_a_route_server(prefix: str) -> None:
    # [near-ranges-not-programmed]
    gateways = {"vpn": table(path(prefix, VPN_PEERS[0], "65020"))}
    assert leads(lab(server=None), {}, gateways, prefix=prefix) == ""


def test_the_default_route_of_a_vpn_neighbour() -> None:
    # The gateway programs its own network with it [vpn-takes-default, default-replaced].
    gateways = {"vpn": table(path("0.0.0.0/0", VPN_PEERS[0], "65020"))}
    rows = effective_routes(lab(server=None), "vm", {}, gateways)
    found = lookup(rows, addr("198.51.100.1"))
    assert found is not None
    assert found.next_hops == (addr("10.1.9.4"),)
    assert "Default 0.0.0.0/0 Internet" not in printed(rows)
