from dataclasses import replace

from labkit.azure.model import (
    Assumptions,
    Azure,
    BgpPeer,
    NextHopType,
    Peering,
    RouteServer,
    RouteTable,
    Subnet,
    UserRoute,
    VirtualNetwork,
)
from labkit.azure.rules.validation import Code, Problem, peer_reachable, problems

from .builders import addr, azure, er, net, network, nva, peered


def hub(name: str = "hub", space: str = "10.1.0.0/16", table: str | None = None) -> VirtualNetwork:
    return VirtualNetwork(
        name, (net(space),), (Subnet("RouteServerSubnet", next(net(space).subnets(new_prefix=26)), table),)
    )


def server(*peers: BgpPeer, name: str = "rs1", where: str = "hub") -> RouteServer:
    return RouteServer(name, where, (addr("10.1.0.4"), addr("10.1.0.5")), peers)


def codes(model: Azure) -> list[Code]:
    return [p.code for p in problems(model)]


def test_a_sound_model_has_no_problems() -> None:
    model = azure(
        [hub(), network("spoke", "10.2.0.0/16"), network("twin", "10.1.0.0/16")],
        peered("spoke", "hub", urg=True),
        servers=[server(nva("a", 65001, "10.1.1.4"), nva("b", 65002, "10.2.0.4"), er(address="10.1.9.4"))],
    )
    assert problems(model) == ()


def test_peers_in_the_network_or_a_directly_peered_one() -> None:
    # [peer-adjacent]
    model = azure(
        [hub(), network("near", "10.2.0.0/16"), network("far", "10.3.0.0/16")],
        peered("near", "hub"),
        peered("far", "near"),
        servers=[server()],
    )
    assert peer_reachable(model, server(), nva("a", 65001, "10.1.1.4")) is None
    assert peer_reachable(model, server(), nva("a", 65001, "10.2.1.4")) is None
    found = peer_reachable(model, server(), nva("a", 65001, "10.3.1.4"))
    assert found == Problem(
        Code.PEER_UNREACHABLE,
        "peer a (10.3.1.4) is neither in hub, the virtual network of rs1, nor in one directly peered with it",
        ("rs1", "a"),
    )


def test_the_newer_rule_of_peers_in_peered_networks() -> None:
    # [peered-peer-remote-gateways]
    newer = replace(server(), assumptions=Assumptions(peers_need_remote_gateways=True))
    networks = [hub(), network("user", "10.2.0.0/16"), network("plain", "10.3.0.0/16")]
    model = azure(networks, peered("user", "hub", urg=True), peered("plain", "hub"), servers=[newer])
    assert peer_reachable(model, newer, nva("a", 65001, "10.1.1.4")) is None
    assert peer_reachable(model, newer, nva("a", 65001, "10.2.1.4")) is None
    outside = nva("a", 65001, "10.3.1.4")
    assert peer_reachable(model, server(), outside) is None
    assert peer_reachable(model, newer, outside) == Problem(
        Code.PEER_NO_REMOTE_GATEWAYS,
        "peer a (10.3.1.4) is in plain, which doesn't use the gateways of hub",
        ("rs1", "a"),
    )


def test_peer_problems() -> None:
    nine = [nva(f"n{i}", 65001 + i, f"10.1.1.{4 + i}") for i in range(9)]
    assert codes(azure([hub()], servers=[server(*nine)])) == [Code.PEERS_TOO_MANY]
    twins = server(nva("a", 65001, "10.1.1.4"), nva("b", 65002, "10.1.1.4"))
    assert codes(azure([hub()], servers=[twins])) == [Code.PEER_DUPLICATE]
    assert codes(azure([hub()], servers=[server(nva("a", 65515, "10.1.1.4"))])) == [Code.PEER_ASN]


def test_route_server_problems() -> None:
    # [route-server-subnet-name, one-route-server, no-route-table]
    assert codes(azure([network("hub", "10.1.0.0/16")], servers=[server()])) == [Code.SERVER_SUBNET]
    with_table = azure([hub(table="t")], servers=[server()], tables=[RouteTable("t")])
    assert codes(with_table) == [Code.SERVER_SUBNET]
    assert codes(azure([hub()], servers=[server(), server(name="rs2")])) == [Code.SERVER_SECOND]


def test_overlaps() -> None:
    within = azure([network("a", "10.0.0.0/8", "10.1.0.0/16")])
    assert codes(within) == [Code.OVERLAP_WITHIN]
    direct = azure([network("a", "10.0.0.0/8"), network("b", "10.1.0.0/16")], peered("a", "b"))
    assert codes(direct) == [Code.OVERLAP_PEERED]
    networks = [network("a", "10.1.0.0/16"), network("b", "10.1.0.0/16"), network("hub", "10.2.0.0/16")]
    through = azure(networks, peered("a", "hub"), peered("b", "hub"))
    assert [p.text for p in problems(through)] == [
        "10.1.0.0/16 of a and 10.1.0.0/16 of b overlap, but hub must reach both"
    ]
    assert problems(azure(networks)) == ()
    # A side without the other counts too, whichever is missing.
    for missing in through.peerings:
        half = replace(through, peerings=tuple(side for side in through.peerings if side != missing))
        assert codes(half) == [Code.OVERLAP_PEERED, Code.PEERING_ONE_SIDED]


def test_peering_problems() -> None:
    # [one-remote-gateway, half-peering]
    base = azure(
        [hub(), hub("hub2", "10.9.0.0/16"), network("s", "10.2.0.0/16")],
        servers=[server(), server(name="rs2", where="hub2")],
    )
    urg, transit = peered("s", "hub", urg=True)
    cases: dict[Code, tuple[Peering, ...]] = {
        Code.PEERING_SELF: (Peering("s", "s"),),
        Code.PEERING_ONE_SIDED: (Peering("s", "hub"),),
        Code.PEERING_DUPLICATE: (urg, urg, transit),
        Code.URG_NO_TRANSIT: (urg, replace(transit, allow_gateway_transit=False)),
        Code.URG_TWICE: (urg, transit, *peered("s", "hub2", urg=True)),
        Code.URG_OWN_SERVER: peered("hub2", "hub", urg=True),
        Code.URG_NO_SERVER: peered("hub", "s", urg=True),
    }
    for code, peerings in cases.items():
        assert code in codes(replace(base, peerings=peerings)), code


def test_route_conflict() -> None:
    # [route-conflict]
    route = UserRoute(net("0.0.0.0/0"), NextHopType.INTERNET)
    conflict = azure([], tables=[RouteTable("t", (route, replace(route, next_hop_type=NextHopType.NONE)))])
    assert [p.text for p in problems(conflict)] == ["route table t has 2 routes for 0.0.0.0/0"]
