import itertools
from dataclasses import replace

import pytest

from labkit.azure.model import Connection, Edge, Gateway, LearnedRoute, Origin, PathAttributes, RouteServer
from labkit.azure.rules.acceptance import Originated, RejectionReason
from labkit.azure.rules.communities import NO_ADVERTISE, NO_EXPORT, RELAYED
from labkit.azure.rules.gateway_policy import (
    GatewayPath,
    PathSource,
    advertised_on_premises,
    advertised_to_route_server,
    best_at_gateway,
    gateway_rejection,
    learned_from_gateway,
    own_paths,
    programmed_by_gateway,
    resolved,
    used_at_gateway,
)
from labkit.azure.rules.gateways import instance_peer

from .builders import addr, as_path, azure, connected, er_gateway, net, network, peered, site, vpn_gateway

ER = er_gateway("er", "hub", "10.1.9.12", "10.1.9.13")
VPN = vpn_gateway("vpn", "hub", "10.1.9.4", "10.1.9.5")
OLD_VPN = replace(VPN, asn=300)
SERVER = RouteServer("rs1", "hub", (addr("10.1.0.4"), addr("10.1.0.5")), branch_to_branch=True)
MINE = Originated((net("10.1.0.0/16"),), (net("10.2.0.0/16"),))
P = net("10.250.0.0/16")
ZERO = net("0.0.0.0/0")

Communities = tuple[tuple[int, int], ...]


def learned(
    source: PathSource, text: str, *, sender: str = "s1", address: str = "172.30.0.1", communities: Communities = ()
) -> GatewayPath:
    attributes = PathAttributes(addr("172.30.0.9"), as_path(text), Origin.INCOMPLETE, 7, communities)
    return GatewayPath(source, sender, addr(address), attributes)


def with_origin(path: GatewayPath, origin: Origin) -> GatewayPath:
    return replace(path, attributes=replace(path.attributes, origin=origin))


def on_premises(text: str = "65020", **more: str) -> GatewayPath:
    return learned(PathSource.ON_PREMISES, text, **more)  # type: ignore[arg-type]


def test_next_hops_on_nics() -> None:
    # Microsoft's question 82788, and the beds of 4-general [edge-addresses, single-instance-next-hop].
    edge, public = Edge(addr("172.30.0.9"), addr("10.2.146.52")), (addr("198.51.100.7"), addr("198.51.100.8"))
    model = replace(TestOwnPaths.MODEL, connections=(Connection("c", "er", "circuit", edges=(edge,)),))
    path = on_premises("12076-65020")

    def programmed(gateway: Gateway) -> list[str]:
        (route,) = programmed_by_gateway(model, gateway, 0, P, [path])
        sent = learned_from_gateway(gateway, 0, P, path)
        assert sent is not None
        return [str(route.attributes.next_hop), str(sent.attributes.next_hop)]

    assert programmed(ER) == ["10.2.146.52", "172.30.0.9"]
    assert programmed(replace(VPN, public_addresses=public)) == ["10.1.9.4", "10.1.9.4"]
    alone = replace(VPN, instances=VPN.instances[:1], public_addresses=public[:1])
    assert programmed(alone) == ["198.51.100.7", "10.1.9.4"]
    assert [*programmed_by_gateway(model, ER, 0, P, [exported()])] == []


def test_the_connection_with_the_highest_weight() -> None:
    # [connection-weight]: before the length of the path, on NICs too.
    light, heavy = on_premises("12076", address="172.30.0.1"), on_premises("12076-65020-65020", address="172.30.0.5")
    heavy = replace(heavy, weight=100)
    assert best_at_gateway(ER, [light, heavy]) == heavy
    assert used_at_gateway(ER, [light, heavy]) == (heavy,)
    routes = programmed_by_gateway(TestOwnPaths.MODEL, ER, 0, P, [light, heavy])
    assert [len(route.attributes.as_path) for route in routes] == [3]


def exported(text: str = "65001", address: str = "10.1.0.4") -> GatewayPath:
    return learned(PathSource.ROUTE_SERVER, text, sender="rs1", address=address)


class TestNextHops:
    """Which paths a gateway may use [gateway-next-hop]."""

    MODEL = azure(
        [network("hub", "10.1.0.0/16"), network("other", "10.2.0.0/16")], peered("hub", "other"), gateways=[VPN]
    )
    EDGE = addr("100.65.0.1")

    @pytest.mark.parametrize(
        ("next_hop", "kept"),
        [("10.1.1.4", True), ("10.2.1.4", True), ("100.65.0.1", True), ("100.64.0.2", False), ("10.9.0.1", False)],
    )
    def test_of_the_route_server(self, next_hop: str, kept: bool) -> None:
        path = exported()
        moved = replace(path, attributes=replace(path.attributes, next_hop=addr(next_hop)))
        assert bool(resolved(self.MODEL, VPN, {P: (moved,)}, [self.EDGE])) is kept

    def test_a_neighbour_on_premises_is_the_next_hop_itself(self) -> None:
        path = on_premises()
        assert resolved(self.MODEL, VPN, {P: (path,)}, ()) == {}
        own = replace(path, attributes=replace(path.attributes, next_hop=path.address))
        assert resolved(self.MODEL, VPN, {P: (own, path)}, ()) == {P: (own,)}

    def test_by_way_of_another_path_and_never_of_itself(self) -> None:
        path, site = exported(), on_premises()
        there = replace(path, attributes=replace(path.attributes, next_hop=addr("10.250.0.1")))
        own = replace(site, attributes=replace(site.attributes, next_hop=site.address))
        far = net("10.9.0.0/16")
        assert resolved(self.MODEL, VPN, {far: (there,), P: (own,)}, ()) == {far: (there,), P: (own,)}
        assert resolved(self.MODEL, VPN, {far: (there,), P: (there,)}, ()) == {}


class TestOwnPaths:
    """What gateways originate, static prefixes among it [gateways-originate, static-prefixes]."""

    MODEL = azure(
        [network("hub", "10.1.0.0/16", "10.9.0.0/24"), network("urg", "10.2.0.0/16"), network("plain", "10.3.0.0/16")],
        peered("urg", "hub", urg=True),
        peered("plain", "hub"),
        gateways=[ER, VPN],
        sites=[site("s1", "10.200.0.0/24", "10.2.0.0/16"), site("s2", "10.200.0.0/24", asn=65020)],
        connections=[connected("vpn", "s1"), connected("vpn", "s2")],
    )

    def test_ranges_of_the_network_and_of_urg_spokes(self) -> None:
        own = own_paths(self.MODEL, ER, 1)
        assert list(map(str, own)) == ["10.1.0.0/16", "10.9.0.0/24", "10.2.0.0/16"]
        assert set(own.values()) == {
            GatewayPath(PathSource.VIRTUAL_NETWORK, "er", addr("10.1.9.13"), PathAttributes(addr("10.1.9.13")))
        }

    def test_static_prefixes_of_sites_with_and_without_bgp(self) -> None:
        own = own_paths(self.MODEL, VPN, 0)
        assert own[net("10.200.0.0/24")] == GatewayPath(
            PathSource.STATIC, "s1", addr("10.1.9.4"), PathAttributes(addr("10.1.9.4"))
        )
        assert own[net("10.2.0.0/16")].source is PathSource.VIRTUAL_NETWORK

    def test_an_instance_without_a_tunnel_has_no_static_prefix(self) -> None:
        model = replace(self.MODEL, connections=(Connection("c", "vpn", "s1", frozenset({1})),))
        assert net("10.200.0.0/24") not in own_paths(model, VPN, 0)
        assert own_paths(model, VPN, 1)[net("10.200.0.0/24")].address == addr("10.1.9.5")

    def test_without_bgp_two_gateways_have_the_ranges_of_each_others_networks(self) -> None:
        # [vnet-to-vnet-without-bgp]
        far = vpn_gateway("far", "there", "10.7.9.4")
        ends = (Connection("c", "vpn", "far", bgp=False), Connection("d", "far", "vpn", bgp=False))
        networks = (*self.MODEL.virtual_networks, network("there", "10.7.0.0/16"))
        model = replace(self.MODEL, virtual_networks=networks, gateways=(VPN, far), connections=ends)
        assert own_paths(model, VPN, 1)[net("10.7.0.0/16")] == GatewayPath(
            PathSource.STATIC, "far", addr("10.1.9.5"), PathAttributes(addr("10.1.9.5"))
        )
        # Its own, and those of the other network, without spokes of that.
        assert [(str(p), path.source) for p, path in own_paths(model, far, 0).items()] == [
            ("10.1.0.0/16", PathSource.STATIC),
            ("10.9.0.0/24", PathSource.STATIC),
            ("10.7.0.0/16", PathSource.VIRTUAL_NETWORK),
        ]
        with_bgp = replace(model, connections=tuple(replace(c, bgp=True) for c in ends))
        assert {path.source for path in own_paths(with_bgp, far, 0).values()} == {
            PathSource.NEIGHBOUR,
            PathSource.VIRTUAL_NETWORK,
        }


class TestRejection:
    @pytest.mark.parametrize(
        ("gateway", "server", "source", "dropped"),
        [
            (ER, SERVER, PathSource.ON_PREMISES, True),
            (ER, None, PathSource.ON_PREMISES, False),  # "Without ARS the filter is off"
            (ER, SERVER, PathSource.ROUTE_SERVER, False),
            (VPN, SERVER, PathSource.ON_PREMISES, False),
        ],
    )
    def test_relayed_routes_from_the_circuit(
        self, gateway: Gateway, server: RouteServer | None, source: PathSource, dropped: bool
    ) -> None:
        # [circuit-relay-filter]
        attributes = PathAttributes(addr("172.30.0.1"), (12076, 12076, 65001), communities=(RELAYED,))
        found = gateway_rejection(gateway, server, source, attributes)
        assert (found is not None) is dropped
        if found is not None:
            assert found.reason is RejectionReason.RELAYED

    def test_own_asn(self) -> None:
        looped = PathAttributes(addr("172.30.0.1"), (65020, frozenset({65515, 7})))
        found = gateway_rejection(VPN, None, PathSource.ON_PREMISES, looped)
        assert found is not None
        assert found.reason is RejectionReason.LOOP
        assert gateway_rejection(OLD_VPN, None, PathSource.ON_PREMISES, looped) is None


class TestBest:
    @pytest.mark.parametrize(
        ("gateway", "winner", "loser"),
        [
            # FAB-C's weights: a circuit's long path beats what the route server has [gateway-preference].
            (ER, on_premises("12076-65020-65020"), exported("65001")),
            (VPN, exported("65001"), on_premises("65020-65020")),
            # eBGP before iBGP (MDD).
            (VPN, on_premises("65020", address="172.30.0.1"), exported("65001", address="10.1.0.4")),
            # RFC 4271 §9.1.2.2: after the length of the path, before where it is from.
            (VPN, with_origin(exported("65001"), Origin.IGP), on_premises("65020")),
            (VPN, on_premises("65020"), with_origin(exported("65001-65001"), Origin.IGP)),
            # Of two instances with the same, the lower address (CASC) [lowest-address].
            (VPN, exported(address="10.1.0.4"), exported(address="10.1.0.5")),
            (VPN, on_premises(address="10.9.0.9"), on_premises(address="10.9.0.10")),
            # Origin Network.
            (VPN, learned(PathSource.STATIC, ""), on_premises("65020")),
            (ER, learned(PathSource.VIRTUAL_NETWORK, ""), on_premises("12076")),
            (VPN, learned(PathSource.VIRTUAL_NETWORK, ""), learned(PathSource.STATIC, "")),
        ],
    )
    def test_order(self, gateway: Gateway, winner: GatewayPath, loser: GatewayPath) -> None:
        assert best_at_gateway(gateway, [winner, loser]) == winner
        assert best_at_gateway(gateway, [loser, winner]) == winner

    def test_nothing_from_nothing(self) -> None:
        assert best_at_gateway(ER, ()) is None

    def test_equal_paths_share_packets(self) -> None:
        # Microsoft's question 96515: the second device of a customer is a standby only by a longer path [gateway-ecmp].
        first, second = on_premises(address="172.30.0.1"), on_premises("65021", sender="s2", address="172.30.0.2")
        longer = on_premises("65020-65020", sender="s2", address="172.30.0.2")
        assert used_at_gateway(VPN, [second, first]) == (first, second)
        assert used_at_gateway(VPN, [longer, first]) == (first,)
        assert used_at_gateway(VPN, [first, with_origin(second, Origin.IGP)]) == (with_origin(second, Origin.IGP),)
        assert used_at_gateway(VPN, [exported(), exported(address="10.1.0.5")]) == (exported(),)
        assert used_at_gateway(VPN, []) == ()

    def test_any_order(self) -> None:
        paths = [on_premises(), exported(), exported("65001-65001"), on_premises("65020", sender="s2")]
        for gateway in (ER, VPN):
            assert len({best_at_gateway(gateway, p) for p in itertools.permutations(paths)}) == 1


class TestRouteServerSide:
    """What a route server receives and what NICs are programmed with [ibgp-next-hop, vpn-own-asn]."""

    def test_expressroute_keeps_next_hop_and_path(self) -> None:
        path = on_premises("12076-65020")
        assert advertised_to_route_server(ER, 1, P, path) == path.attributes
        assert learned_from_gateway(ER, 1, P, path) == LearnedRoute(P, path.attributes, instance_peer(ER, 1))

    def test_vpn_is_its_own_next_hop(self) -> None:
        static = own_paths(TestOwnPaths.MODEL, VPN, 1)[net("10.200.0.0/24")]
        assert advertised_to_route_server(VPN, 1, P, static) == PathAttributes(addr("10.1.9.5"))
        bgp = on_premises("65020")
        assert advertised_to_route_server(VPN, 0, P, bgp) == replace(bgp.attributes, next_hop=addr("10.1.9.4"))

    def test_another_asn_is_ebgp(self) -> None:
        # Path `65515 300 200` at an NVA (MDD) [vpn-own-asn].
        bgp = on_premises("200")
        assert advertised_to_route_server(OLD_VPN, 0, P, bgp) == replace(
            bgp.attributes, next_hop=addr("10.1.9.4"), as_path=(300, 200), med=None
        )

    @pytest.mark.parametrize("path", [exported(), learned(PathSource.VIRTUAL_NETWORK, "")])
    @pytest.mark.parametrize("gateway", [ER, VPN, OLD_VPN])
    def test_on_premises_routes_only(self, gateway: Gateway, path: GatewayPath) -> None:
        assert advertised_to_route_server(gateway, 0, P, path) is None
        assert learned_from_gateway(gateway, 0, P, path) is None

    @pytest.mark.parametrize(
        ("gateway", "community", "told"),
        [(VPN, NO_ADVERTISE, False), (VPN, NO_EXPORT, True), (OLD_VPN, NO_EXPORT, False)],
    )
    def test_well_known_communities(self, gateway: Gateway, community: tuple[int, int], told: bool) -> None:
        path = learned(PathSource.ON_PREMISES, "65020", communities=(community,))
        assert (advertised_to_route_server(gateway, 0, P, path) is not None) is told
        assert learned_from_gateway(gateway, 0, P, path) is not None  # machines have it all the same [no-advertise]


def told(gateway: Gateway, path: GatewayPath, prefix: str = "10.250.0.0/16", neighbour: str = "n") -> str | None:
    """The AS path that a neighbour on-premises gets."""
    sent = advertised_on_premises(gateway, 0, MINE, neighbour, net(prefix), path)
    return None if sent is None else "-".join(map(str, sent.as_path))


class TestOnPremises:
    def test_attributes(self) -> None:
        # An incomplete ORIGIN reaches the circuit [origin-kept]; communities stay [relay-community-to-sites].
        path = learned(PathSource.ROUTE_SERVER, "65001-65010", communities=(RELAYED,))
        assert advertised_on_premises(ER, 1, MINE, "circuit", P, path) == PathAttributes(
            addr("10.1.9.13"), (65515, 65001, 65010), Origin.INCOMPLETE, None, (RELAYED,)
        )

    @pytest.mark.parametrize(
        ("gateway", "path", "as_path"),
        [
            # To whom what is advertised [vpn-to-on-premises].
            (ER, learned(PathSource.VIRTUAL_NETWORK, ""), "65515"),
            (VPN, learned(PathSource.VIRTUAL_NETWORK, ""), "65515"),
            (OLD_VPN, learned(PathSource.VIRTUAL_NETWORK, ""), "300"),
            (ER, exported(""), "65515"),  # FAB-C: static prefixes of the VPN gateway at the circuit
            (ER, on_premises(sender="other"), None),  # no circuit-to-circuit (ERV)
            (ER, on_premises(sender="n"), None),
            (ER, exported("12076-65020"), None),  # of the other instance's circuits
            (VPN, exported("12076-65020"), "65515-12076-65020"),
            (VPN, learned(PathSource.STATIC, "", sender="other"), "65515"),  # VPNF
            (VPN, learned(PathSource.STATIC, "", sender="n"), None),
            (VPN, on_premises(sender="other"), "65515-65020"),
            (VPN, on_premises(sender="n"), None),
        ],
    )
    def test_by_source(self, gateway: Gateway, path: GatewayPath, as_path: str | None) -> None:
        assert told(gateway, path) == as_path

    @pytest.mark.parametrize(
        ("prefix", "by_vpn"),
        [
            ("0.0.0.0/0", False),  # [vpn-withholds-default]
            ("0.0.0.0/1", True),
            ("128.0.0.0/1", True),
            ("10.1.0.0/16", False),
            ("10.1.3.0/24", False),
            ("10.2.3.0/24", False),
            ("10.0.0.0/8", True),  # a covering prefix passes
            ("10.3.0.0/16", True),
        ],
    )
    def test_prefixes_that_a_vpn_gateway_withholds(self, prefix: str, by_vpn: bool) -> None:
        for path in (exported(), on_premises(sender="other"), learned(PathSource.STATIC, "", sender="other")):
            assert (told(VPN, path, prefix) is not None) is by_vpn
        assert told(ER, exported(), prefix) is not None  # 0/0 reaches the circuit (DML)

    def test_a_vpn_gateway_takes_the_default_route_itself(self) -> None:
        # It is accepted, and reported for its own network [vpn-takes-default].
        path = on_premises()
        assert gateway_rejection(VPN, SERVER, path.source, path.attributes) is None
        assert learned_from_gateway(VPN, 0, ZERO, path) is not None

    @pytest.mark.parametrize("community", [NO_ADVERTISE, NO_EXPORT])
    def test_well_known_communities(self, community: tuple[int, int]) -> None:
        assert told(ER, learned(PathSource.ROUTE_SERVER, "65001", communities=(community,))) is None
