from dataclasses import replace

import pytest

from labkit.azure.model import (
    Azure,
    Circuit,
    Connection,
    Gateway,
    NextHopType,
    RouteServer,
    RouteTable,
    Subnet,
    UserRoute,
    VirtualNetwork,
)
from labkit.azure.rules.gateway_validation import gateway_warnings
from labkit.azure.rules.validation import Code, problems, warnings

from .builders import addr, azure, connected, er_gateway, net, network, peered, site, vpn_gateway

ER = er_gateway("er", "hub", "10.1.9.12", "10.1.9.13")
VPN = vpn_gateway("vpn", "hub", "10.1.9.4", "10.1.9.5")
SERVER = RouteServer("rs1", "hub", (addr("10.1.0.4"), addr("10.1.0.5")), branch_to_branch=True)
APPLIANCE = NextHopType.VIRTUAL_APPLIANCE


def hub(*routes: UserRoute, name: str = "hub", space: str = "10.1.0.0/16") -> VirtualNetwork:
    first = net(space).network_address
    subnets = (
        Subnet("RouteServerSubnet", net(f"{first}/26")),
        Subnet("GatewaySubnet", net(f"{first + 9 * 256}/27"), "t" if routes else None),
    )
    return VirtualNetwork(name, (net(space),), subnets)


def lab(*routes: UserRoute, disable: bool = False) -> Azure:
    return azure(
        [hub(*routes), network("spoke", "10.2.0.0/16")],
        peered("spoke", "hub", urg=True),
        servers=[SERVER],
        tables=[RouteTable("t", routes, disable)],
        gateways=[ER, VPN],
        circuits=[Circuit("circuit", 65020)],
        sites=[site("s1", "10.200.0.0/24"), site("s2", asn=65021)],
        connections=[connected("er", "circuit"), connected("vpn", "s1"), connected("vpn", "s2")],
    )


def user(prefix: str, kind: NextHopType = APPLIANCE) -> UserRoute:
    return UserRoute(net(prefix), kind, addr("10.1.1.4") if kind is APPLIANCE else None)


def texts(model: Azure, code: Code) -> list[str]:
    found = problems(model)
    assert {p.code for p in found} == {code}
    return [p.text for p in found]


def test_a_sound_model() -> None:
    assert problems(lab()) == ()
    assert warnings(lab()) == ()


def test_one_of_each_kind() -> None:
    second = er_gateway("er2", "hub", "10.1.9.20")
    assert texts(replace(lab(), gateways=(ER, VPN, second)), Code.GATEWAY_SECOND) == [
        "virtual network hub already has a gateway of this kind, er"
    ]


def test_gateway_subnet() -> None:
    # The exact name, as with RouteServerSubnet.
    model = replace(lab(), virtual_networks=(replace(hub(), subnets=hub().subnets[:1]), lab().virtual_networks[1]))
    assert texts(model, Code.GATEWAY_SUBNET) == [
        "virtual network hub has no GatewaySubnet for er",
        "virtual network hub has no GatewaySubnet for vpn",
    ]


@pytest.mark.parametrize(
    ("gateway", "text"),
    [
        (replace(ER, instances=()), "gateway er has 0 instances, it must have one or two"),
        (
            replace(ER, instances=tuple(addr(f"10.1.9.{i}") for i in (10, 11, 12))),
            "gateway er has 3 instances, it must have one or two",
        ),
        (replace(VPN, active_active=False), "gateway vpn is not active-active but has 2 instance addresses"),
        (replace(VPN, instances=VPN.instances[:1]), "gateway vpn is active-active but has 1 instance addresses"),
        (
            replace(ER, instances=(addr("10.1.9.3"),)),
            "10.1.9.3 of gateway er is not a usable address of GatewaySubnet 10.1.9.0/27",
        ),
        (
            replace(ER, instances=(addr("10.1.8.4"),)),
            "10.1.8.4 of gateway er is not a usable address of GatewaySubnet 10.1.9.0/27",
        ),
    ],
)
def test_instances(gateway: Gateway, text: str) -> None:
    model = replace(lab(), route_servers=(), gateways=(*(g for g in (ER, VPN) if g.name != gateway.name), gateway))
    assert texts(model, Code.GATEWAY_INSTANCES) == [text]


def test_an_address_is_one_instances() -> None:
    twice = replace(ER, instances=(addr("10.1.9.4"),))
    assert texts(replace(lab(), gateways=(twice, VPN)), Code.GATEWAY_INSTANCES) == [
        "10.1.9.4 of gateway er is another gateway instance's too",
        "10.1.9.4 of gateway vpn is another gateway instance's too",
    ]


def test_asns() -> None:
    # An ExpressRoute gateway is 65515, a VPN gateway need not be [msee-asns, vpn-own-asn].
    assert texts(replace(lab(), gateways=(replace(ER, asn=300), VPN)), Code.GATEWAY_ASN) == [
        "ExpressRoute gateway er has ASN 300, it can only be 65515"
    ]
    assert texts(replace(lab(), gateways=(ER, replace(VPN, asn=12076))), Code.GATEWAY_ASN) == [
        "ASN 12076 is reserved by Azure"
    ]
    assert problems(replace(lab(), gateways=(ER, replace(VPN, asn=300)))) == ()


def test_route_tables_on_gateway_subnet() -> None:
    # "Never on GatewaySubnet" (UDR) [gateway-subnet-propagation, gateway-subnet-default].
    harmless = user("10.2.0.0/16")
    assert problems(lab(harmless)) == ()
    assert texts(lab(harmless, disable=True), Code.GATEWAY_PROPAGATION) == [
        "route table t disables BGP route propagation, which GatewaySubnet of hub needs"
    ]
    assert texts(lab(user("0.0.0.0/0")), Code.GATEWAY_DEFAULT_ROUTE) == [
        "route table t has a route for 0.0.0.0/0, which GatewaySubnet of hub can't have"
    ]
    assert problems(lab(user("0.0.0.0/1"), user("128.0.0.0/1"))) == ()


def test_connections() -> None:
    wrong = (Connection("c1", "er", "s1"), Connection("c2", "vpn", "circuit"))
    assert texts(replace(lab(), connections=wrong), Code.CONNECTION_REMOTE) == [
        "connection c1 of er needs an ExpressRoute circuit; s1 is not one",
        "connection c2 of vpn needs a local network gateway or another VPN gateway; circuit is not one",
    ]
    twice = (*lab().connections, Connection("again", "er", "circuit"))
    assert texts(replace(lab(), connections=twice), Code.CONNECTION_DUPLICATE) == [
        "there are 2 connections from er to circuit"
    ]


def test_ends_of_a_connection_with_bgp_have_two_asns() -> None:
    # [connection-asns]
    far = replace(VPN, name="far", virtual_network="other", asn=65005)
    networks = (*lab().virtual_networks, replace(hub(), name="other"))
    gateways, connections = (replace(VPN, asn=65005), far), (Connection("c", "vpn", "far"),)
    model = replace(lab(), virtual_networks=networks, gateways=gateways, connections=connections)
    assert texts(model, Code.CONNECTION_ASN) == ["vpn and far both have ASN 65005"]
    assert problems(replace(model, connections=(Connection("c", "vpn", "far", bgp=False),))) == ()
    device = replace(model, local_network_gateways=(site("d", asn=65005),), connections=(Connection("c", "vpn", "d"),))
    assert texts(device, Code.CONNECTION_ASN) == ["vpn and d both have ASN 65005"]
    assert problems(replace(device, local_network_gateways=(site("d"),))) == ()


def test_on_premises_asns() -> None:
    # [no-65515-on-premises]
    model = replace(lab(), local_network_gateways=(site("s1", asn=65515), site("s2", asn=65021)))
    assert texts(model, Code.REMOTE_ASN) == ["ASN 65515 is the route server's own"]
    assert texts(replace(lab(), circuits=(Circuit("circuit", 12076),)), Code.REMOTE_ASN) == [
        "ASN 12076 is reserved by Azure"
    ]


class TestRemoteGateways:
    """One remote gateway for a virtual network, none if it has its own [one-remote-gateway]."""

    def test_a_hub_with_a_gateway_alone_will_do(self) -> None:
        assert problems(replace(lab(), route_servers=())) == ()

    def test_a_hub_with_neither_will_not(self) -> None:
        bare = replace(lab(), route_servers=(), gateways=(), connections=())
        assert [p.code for p in problems(bare)] == [Code.URG_NO_SERVER]

    def test_not_beside_an_own_gateway(self) -> None:
        networks = (hub(), hub(name="spoke", space="10.2.0.0/16"))
        own = er_gateway("own", "spoke", "10.2.9.12")
        model = replace(lab(), virtual_networks=networks, gateways=(ER, VPN, own))
        assert texts(model, Code.URG_OWN_GATEWAY) == [
            "peering spoke to hub can't use remote gateways: spoke has a gateway of its own"
        ]


@pytest.mark.parametrize("asn", [65515, 300])
def test_with_a_route_server_a_vpn_gateway_is_active_active(asn: int) -> None:
    # [vpn-standby]
    model = replace(lab(), gateways=(ER, vpn_gateway("vpn", "hub", "10.1.9.4", asn=asn)))
    text = "gateway vpn is not active-active, as it must be in the virtual network of rs1"
    assert [(p.code, p.text) for p in problems(model)] == [(Code.GATEWAY_STANDBY, text)]
    assert problems(replace(model, route_servers=(), peerings=())) == ()


class TestWarnings:
    def test_transit(self) -> None:
        # [vpn-asn-of-transit]
        model = replace(lab(), gateways=(ER, replace(VPN, asn=300)))
        assert problems(model) == ()
        text = "gateway vpn has ASN 300 instead of 65515, so transit through rs1 is not supported"
        assert [(p.code, p.text) for p in warnings(model)] == [(Code.GATEWAY_NO_TRANSIT, text)]
        assert warnings(replace(model, route_servers=())) == ()

    @pytest.mark.parametrize(
        ("routes", "cut_off"),
        [
            ([user("10.1.0.0/16")], True),
            ([user("10.1.0.0/24", NextHopType.NONE)], True),
            ([user("10.1.0.5/32")], True),
            ([user("10.0.0.0/8")], False),  # the system route is longer
            ([user("10.1.1.0/24")], False),
            ([user("10.1.0.0/16"), user("10.1.0.0/26", NextHopType.VNET_LOCAL)], False),  # the exempting route
            ([user("10.1.0.0/26", NextHopType.VNET_LOCAL), user("10.1.0.4/32")], True),
        ],
    )
    def test_a_route_that_takes_the_route_server(self, routes: list[UserRoute], cut_off: bool) -> None:
        # [spare-route-server-subnet]
        found = [p for p in gateway_warnings(lab(*routes)) if p.code is Code.GATEWAY_CUT_OFF]
        assert len(found) == 2 * cut_off
        if cut_off:
            assert found[0].text.startswith("route table t diverts traffic of er to 10.1.0.")
        off = replace(lab(*routes), route_servers=(replace(SERVER, branch_to_branch=False),))
        assert Code.GATEWAY_CUT_OFF not in [p.code for p in gateway_warnings(off)]
