import pytest

from labkit.azure.model import (
    EffectiveRoute,
    NextHopType,
    Origin,
    PathAttributes,
    RouteServer,
    RouteSource,
    RouteState,
)
from labkit.azure.rules.gateway_policy import GatewayPath, PathSource
from labkit.azure.rules.rows import (
    advertised_rows,
    as_path_text,
    by_instance,
    effective_json,
    gateway_rows,
    learned_rows,
    next_hop_json,
)

from .builders import addr, er, net, nva, path, table, vpn_gateway

NVA = nva("nva", 65001, "10.10.1.4")
SERVER = RouteServer("rs", "v", (addr("10.10.0.68"), addr("10.10.0.69")), (NVA, er()))


def test_learned() -> None:
    # [route-listings]
    routes = table(path("10.40.0.0/16", NVA, "65001-65000"), path("10.9.0.0/16", er(), "12076"), path("9.0.0.0/8", NVA))
    rows = learned_rows(SERVER, 1, NVA, routes)
    assert [r["network"] for r in rows] == ["9.0.0.0/8", "10.40.0.0/16"]
    assert rows[1] == {
        "asPath": "65001-65000",
        "localAddress": "10.10.0.69",
        "network": "10.40.0.0/16",
        "nextHop": "10.10.1.4",
        "origin": "EBgp",
        "sourcePeer": "10.10.1.4",
        "weight": 32768,
    }
    assert [r["origin"] for r in learned_rows(SERVER, 0, er(), routes)] == ["IBgp"]


def test_a_gateway_with_another_asn_has_a_route_servers_routes_by_ebgp() -> None:
    # Its sessions with the route server are external ones [vpn-own-asn].
    held = GatewayPath(PathSource.ROUTE_SERVER, "rs", addr("10.10.0.68"), PathAttributes(addr("10.10.1.4"), (65001,)))
    for asn, origin in ((65515, "IBgp"), (65010, "EBgp")):
        gateway = vpn_gateway("vpn", "v", "10.10.9.4", "10.10.9.5", asn=asn)
        assert [r["origin"] for r in gateway_rows(gateway, 0, {net("10.40.0.0/16"): (held,)})] == [origin]


def test_advertised() -> None:
    # [route-listings, origin-kept]
    sent = PathAttributes(addr("10.10.0.68"), (65515, 65000))
    last = PathAttributes(addr("10.10.0.68"), (65515, 65000), Origin.INCOMPLETE)
    rows = advertised_rows(SERVER, 0, {net("10.50.0.0/16"): last, net("10.40.0.0/16"): sent})
    assert rows[0] == {
        "asPath": "65515-65000",
        "localAddress": "10.10.0.68",
        "network": "10.40.0.0/16",
        "nextHop": "10.10.0.68",
        "origin": "Igp",
        "weight": 0,
    }
    assert rows[1]["origin"] == "Incomplete"
    assert by_instance(rows, []) == {"RouteServiceRole_IN_0": rows, "RouteServiceRole_IN_1": []}


def test_effective() -> None:
    # JSON folds ECMP into one entry [multipath-entry].
    rows = [
        EffectiveRoute(
            RouteSource.VIRTUAL_NETWORK_GATEWAY,
            RouteState.ACTIVE,
            net("0.0.0.0/0"),
            NextHopType.VIRTUAL_NETWORK_GATEWAY,
            (addr("10.10.1.4"), addr("10.20.1.4")),
        ),
        EffectiveRoute(RouteSource.DEFAULT, RouteState.INVALID, net("10.0.0.0/8"), NextHopType.NONE),
    ]
    assert effective_json(rows) == {
        "value": [
            {
                "source": "VirtualNetworkGateway",
                "state": "Active",
                "addressPrefix": ["0.0.0.0/0"],
                "nextHopType": "VirtualNetworkGateway",
                "nextHopIpAddress": ["10.10.1.4", "10.20.1.4"],
            },
            {
                "source": "Default",
                "state": "Invalid",
                "addressPrefix": ["10.0.0.0/8"],
                "nextHopType": "None",
                "nextHopIpAddress": [],
            },
        ]
    }


def test_as_path_text() -> None:
    assert as_path_text(()) == ""
    assert as_path_text((65001, frozenset({65003, 65002}))) == "65001-{65002,65003}"


def entry(prefix: str, kind: NextHopType, *hops: str, source: RouteSource = RouteSource.DEFAULT) -> EffectiveRoute:
    return EffectiveRoute(source, RouteState.ACTIVE, net(prefix), kind, tuple(map(addr, hops)))


@pytest.mark.parametrize(
    ("row", "document"),
    [
        (None, ("", "None", "System Route")),
        (entry("10.1.0.0/16", NextHopType.VNET_LOCAL), ("", "VnetLocal", "System Route")),
        (
            entry("10.2.0.0/16", NextHopType.VIRTUAL_NETWORK_GATEWAY, "10.1.1.4", "10.1.1.5"),
            ("10.1.1.4", "VirtualNetworkGateway", "System Route"),
        ),
        (
            entry("0.0.0.0/0", NextHopType.VIRTUAL_APPLIANCE, "10.1.1.4", source=RouteSource.USER),
            ("10.1.1.4", "VirtualAppliance", "t"),
        ),
        (entry("10.3.0.0/16", NextHopType.NONE, source=RouteSource.USER), ("", "None", "t")),
    ],
)
def test_a_next_hop_as_network_watcher_has_it(row: EffectiveRoute | None, document: tuple[str, str, str]) -> None:
    """[next-hop-document]"""
    assert tuple(next_hop_json(row, "t").values()) == document
