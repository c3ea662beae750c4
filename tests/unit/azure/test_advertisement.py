from dataclasses import replace
from ipaddress import IPv4Network

import pytest

from labkit.azure.model import (
    Assumptions,
    BgpPeer,
    HubRoutingPreference,
    LearnedRoute,
    Origin,
    OwnRangePolicy,
    PathAttributes,
    RouteServer,
)
from labkit.azure.rules.acceptance import Originated
from labkit.azure.rules.advertisement import advertised_to_peer, originated_routes
from labkit.azure.rules.communities import NO_ADVERTISE, NO_EXPORT, RELAYED, SPOKE

from .builders import addr, er, net, nva, path, vpn

NVA1, NVA2 = nva("nva1", 65001, "10.1.1.4"), nva("nva2", 65002, "10.1.2.4")
ER, VPN, OLD_VPN = er(), vpn(), replace(vpn("old"), asn=65004)
ON = RouteServer(
    "rs1", "hub", (addr("10.1.0.4"), addr("10.1.0.5")), (NVA1, NVA2, ER, VPN, OLD_VPN), branch_to_branch=True
)
OFF = replace(ON, branch_to_branch=False)
MINE = Originated((net("10.1.0.0/16"),), (net("10.2.0.0/16"),))
P = "10.250.0.0/16"


def told(server: RouteServer, peer: BgpPeer, *paths: LearnedRoute, instance: int = 0) -> PathAttributes | None:
    prefix: IPv4Network = paths[0].prefix
    return advertised_to_peer(server, instance, peer, MINE, prefix, paths)


@pytest.mark.parametrize(
    ("source", "target", "exported"),
    [
        (NVA1, NVA2, True),
        (NVA1, ER, True),
        (NVA1, VPN, True),
        (ER, NVA1, True),
        (ER, VPN, True),
        (VPN, NVA1, True),
        (VPN, ER, True),
        (ER, er("er2", "10.1.9.13"), True),  # [instances-exchange]
        (VPN, vpn("vpn2", "10.1.9.5"), True),  # [instances-exchange]
        (NVA1, NVA1, False),
    ],
)
def test_matrix(source: BgpPeer, target: BgpPeer, exported: bool) -> None:
    # [nva-to-nva, nva-to-gateway, branch-routes-to-nvas]; with b2b off nothing is exported at all.
    route = path(P, source, "12076" if source is ER else None)
    assert (told(ON, target, route) is not None) is exported
    assert told(OFF, target, route) is None


@pytest.mark.parametrize("instance", [0, 1])
def test_ebgp_attributes(instance: int) -> None:
    # [ebgp-next-hop, prepends-65515, origin-kept]
    attributes = PathAttributes(
        addr("10.1.1.99"), (65001, 65010), Origin.INCOMPLETE, 50, ((65001, 7),), ((1, 2, 3),), ((99, 0xC0, b"x"),)
    )
    got = told(ON, NVA2, LearnedRoute(net(P), attributes, NVA1), instance=instance)
    assert got == PathAttributes(
        ON.instances[instance],
        (65515, 65001, 65010),
        Origin.INCOMPLETE,
        None,
        ((65001, 7), RELAYED),
        ((1, 2, 3),),
        ((99, 0xC0, b"x"),),
    )


def test_ibgp_attributes() -> None:
    # Next hop and path unchanged [ibgp-next-hop], 65517:65517 on what came from an NVA [relay-community].
    got = told(ON, ER, path(P, NVA1, "65001-65010"))
    assert got == PathAttributes(NVA1.address, (65001, 65010), communities=(RELAYED,))
    # FAB-C: the VPN gateway learns 10.1.34.0/25 with path 12076-65020 and the ER side's next hop.
    from_er = path("10.1.34.0/25", ER, "12076-65020", next_hop="10.100.0.199")
    got = advertised_to_peer(ON, 0, VPN, Originated((net("10.100.0.0/23"),)), from_er.prefix, (from_er,))
    assert got == PathAttributes(addr("10.100.0.199"), (12076, 65020))


def test_a_gateway_with_another_asn_is_ebgp() -> None:
    # MDD, MHK and AZC have the path "65515 300 200" [vpn-own-asn].
    got = told(ON, OLD_VPN, path(P, NVA1))
    assert got is not None
    assert got.as_path == (65515, 65001)
    assert got.next_hop == ON.instances[0]


def test_gateway_learned_routes_reach_nvas() -> None:
    # With b2b on, the NVA gets `65515 12076 <onprem2>` [branch-routes-to-nvas, relay-community].
    got = told(ON, NVA1, path(P, ER, "12076-65020"))
    assert got == PathAttributes(ON.instances[0], (65515, 12076, 65020), communities=(RELAYED,))


@pytest.mark.parametrize(
    ("preference", "as_path"),
    [
        (HubRoutingPreference.EXPRESSROUTE, (65515, 12076, 65020)),
        (HubRoutingPreference.VPN_GATEWAY, (65515, 65002)),
        (HubRoutingPreference.AS_PATH, (65515, 65002)),
    ],
)
def test_what_is_preferred_is_advertised(preference: HubRoutingPreference, as_path: tuple[int, ...]) -> None:
    # To a third party, the best of an ExpressRoute path and a shorter NVA path [one-best-path, hub-routing-preference].
    server = replace(ON, hub_routing_preference=preference)
    got = told(server, NVA1, path(P, NVA2), path(P, ER, "12076-65020"))
    assert got is not None
    assert got.as_path == as_path


def test_no_advertise() -> None:
    # To nobody [no-advertise].
    route = path(P, NVA1)
    route = replace(route, attributes=replace(route.attributes, communities=(NO_ADVERTISE,)))
    assert [told(ON, peer, route) for peer in ON.peers] == [None] * 5


def test_no_advertise_on_the_best_path_hides_the_others_too() -> None:
    route = path(P, NVA1)
    quiet = replace(route, attributes=replace(route.attributes, communities=(NO_ADVERTISE,)))
    assert told(ON, ER, quiet, path(P, NVA2, "65002-65002")) is None


def test_no_export_stays_inside_the_as() -> None:
    route = path(P, NVA1)
    route = replace(route, attributes=replace(route.attributes, communities=(NO_EXPORT,)))
    assert told(ON, NVA2, route) is None
    assert told(ON, ER, route) is not None


def test_a_route_server_that_ignores_no_export() -> None:
    # [no-export]; no-advertise counts in any case [no-advertise].
    deaf = replace(ON, assumptions=Assumptions(honours_no_export=False))
    route = path(P, NVA1)
    marked = replace(route, attributes=replace(route.attributes, communities=(NO_EXPORT,)))
    got = told(deaf, NVA2, marked)
    assert got is not None
    assert NO_EXPORT in got.communities, "passed on like any other community"
    assert told(deaf, ER, marked) is not None
    quiet = replace(route, attributes=replace(route.attributes, communities=(NO_ADVERTISE, NO_EXPORT)))
    assert [told(deaf, peer, quiet) for peer in ON.peers] == [None] * 5


@pytest.mark.parametrize("assumed", [True, False])
def test_the_community_from_nva_to_nva(assumed: bool) -> None:
    # [relay-community-nvas]; towards and from gateways it is no assumption [relay-community].
    server = replace(ON, assumptions=Assumptions(nva_relay_community=assumed))

    def marked(source: BgpPeer, target: BgpPeer) -> bool:
        got = told(server, target, path(P, source))
        assert got is not None
        return RELAYED in got.communities

    assert marked(NVA1, NVA2) is assumed
    assert marked(NVA1, ER)
    assert marked(NVA1, OLD_VPN)
    assert marked(VPN, NVA1)


@pytest.mark.parametrize(("assumed", "communities"), [(True, (SPOKE,)), (False, ())])
def test_the_community_of_spokes(assumed: bool, communities: tuple[tuple[int, int], ...]) -> None:
    # [spoke-community]
    server = replace(ON, assumptions=Assumptions(spoke_community=assumed))
    got = originated_routes(server, 0, NVA1, MINE)
    assert [got[net(p)].communities for p in ("10.1.0.0/16", "10.2.0.0/16")] == [(), communities]


def test_never_back_to_the_supplier_of_the_best_path() -> None:
    # Nothing of 10.5.x to csr1, csr1's path to csr2 [no-return].
    short, long = path(P, NVA1, "65001-65005"), path(P, NVA2, "65002-65005-65005")
    assert told(ON, NVA1, long, short) is None
    got = told(ON, NVA2, long, short)
    assert got is not None
    assert got.as_path == (65515, 65001, 65005)


def test_of_tied_paths_one_is_advertised() -> None:
    # [one-best-path]
    tied = path(P, NVA2), path(P, NVA1)
    assert told(ON, NVA1, *tied) is None
    got = told(ON, NVA2, *tied)
    assert got is not None
    assert got.as_path == (65515, 65001)


@pytest.mark.parametrize("prefix", ["10.1.0.0/16", "10.1.3.0/24", "10.2.0.0/16", "10.2.0.1/32"])
def test_own_ranges_are_not_relayed_even_where_they_are_kept(prefix: str) -> None:
    # [own-ranges-withheld]
    assert [told(ON, peer, path(prefix, NVA1)) for peer in ON.peers] == [None] * 5


@pytest.mark.parametrize("prefix", ["10.1.0.0/16", "10.1.3.0/24", "10.2.0.0/16"])
def test_in_the_era_that_keeps_them_circuits_receive_own_ranges(prefix: str) -> None:
    # FAB-E has 10.101.3.0/24 at the circuit's edge [own-ranges-withheld].
    old = replace(ON, own_ranges=OwnRangePolicy.KEEP)
    got = {peer.name for peer in old.peers if told(old, peer, path(prefix, NVA1)) is not None}
    assert got == {"er"}


def test_nothing_without_paths() -> None:
    assert advertised_to_peer(ON, 0, NVA1, MINE, net(P), ()) is None


@pytest.mark.parametrize("server", [ON, OFF])
@pytest.mark.parametrize("instance", [0, 1])
def test_originated_towards_nvas(server: RouteServer, instance: int) -> None:
    # Always [own-ranges-to-nvas, spoke-ranges-to-nvas].
    own = PathAttributes(server.instances[instance], (65515,))
    assert originated_routes(server, instance, NVA1, MINE) == {
        net("10.1.0.0/16"): own,
        net("10.2.0.0/16"): replace(own, communities=(SPOKE,)),
    }


@pytest.mark.parametrize("peer", [ER, VPN, OLD_VPN])
def test_gateways_originate_for_themselves(peer: BgpPeer) -> None:
    # [gateways-originate]
    assert originated_routes(ON, 0, peer, MINE) == {}
