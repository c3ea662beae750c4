"""Properties of the rules over random laboratories."""

from __future__ import annotations

import random
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

from hypothesis import given
from hypothesis import strategies as st

from labkit.azure.model import (
    AsPath,
    Azure,
    BgpPeer,
    HubRoutingPreference,
    InstanceRoutes,
    LearnedRoute,
    LearnedRoutes,
    NextHopType,
    Nic,
    OwnRangePolicy,
    PathAttributes,
    Peering,
    PeerKind,
    RouteServer,
    RouteSource,
    RouteState,
    RouteTable,
    Subnet,
    UserRoute,
    VirtualNetwork,
)
from labkit.azure.rules.acceptance import originated, rejection
from labkit.azure.rules.adjacency import local_and_adjacent_ranges, programming_server
from labkit.azure.rules.advertisement import advertised_to_peer, originated_routes
from labkit.azure.rules.communities import NO_ADVERTISE
from labkit.azure.rules.effective import (
    RESERVED_BLOCKS,
    active,
    effective_routes,
    effective_table,
    forwarding_key,
    lookup,
)
from labkit.azure.rules.selection import best_path

SPACES = tuple(IPv4Network(f"10.{i}.0.0/16") for i in range(1, 5))
NAMES = tuple(f"v{i}" for i in range(1, 5))
POOL = tuple(
    IPv4Network(p)
    for p in [
        "0.0.0.0/0",
        "0.0.0.0/1",
        "10.0.0.0/8",
        "10.1.0.0/16",
        "10.1.7.0/24",
        "10.2.0.0/15",
        "10.2.0.0/16",
        "10.3.9.0/24",
        "10.4.0.0/16",
        "10.4.4.4/32",
        "192.168.0.0/16",
        "192.168.7.0/24",
        "172.16.0.0/12",
        "203.0.113.0/24",
        "127.0.0.0/8",
    ]
)
PEERS = (
    *(BgpPeer(f"nva{i}", 65000 + i, IPv4Address(f"10.{i}.1.4")) for i in range(1, 5)),
    BgpPeer("er", 65515, IPv4Address("10.1.9.12"), PeerKind.EXPRESSROUTE_GATEWAY),
    BgpPeer("vpn", 65515, IPv4Address("10.1.9.4"), PeerKind.VPN_GATEWAY),
)

prefixes = st.sampled_from(POOL)
addresses = st.one_of(
    st.sampled_from(POOL).flatmap(
        lambda p: st.integers(int(p.network_address), int(p.broadcast_address)).map(IPv4Address)
    ),
    st.integers(0, 2**32 - 1).map(IPv4Address),
)
hops = st.sampled_from(("10.1.1.4", "10.1.1.5", "10.2.1.4", "10.3.1.4", "10.4.1.4", "172.30.0.1"))
as_numbers = st.sampled_from((65001, 65002, 65515, 12076, 0, 7))


@st.composite
def learned_route(draw: st.DrawFn) -> LearnedRoute:
    peer = draw(st.sampled_from(PEERS))
    tail: AsPath = tuple(draw(st.lists(st.one_of(as_numbers, st.frozensets(as_numbers, min_size=1)), max_size=3)))
    head: AsPath = (peer.asn,) if peer.kind is PeerKind.NVA else ()
    communities = draw(st.sampled_from(((), (NO_ADVERTISE,), ((65001, 1),))))
    attributes = PathAttributes(IPv4Address(draw(hops)), head + tail, communities=communities)
    return LearnedRoute(draw(prefixes), attributes, peer)


def accepted(azure: Azure, server: RouteServer, routes: list[LearnedRoute]) -> InstanceRoutes:
    """What an instance holds after hearing `routes`: the last path of each peer for each prefix that is kept."""
    mine = originated(azure, server.name)
    held: dict[IPv4Network, dict[str, LearnedRoute]] = {}
    for route in routes:
        if rejection(route, server, mine) is None:
            held.setdefault(route.prefix, {})[route.peer.name] = route
    return {prefix: tuple(paths.values()) for prefix, paths in held.items()}


@st.composite
def user_route(draw: st.DrawFn) -> UserRoute:
    kind = draw(st.sampled_from((NextHopType.NONE, NextHopType.INTERNET, NextHopType.VIRTUAL_APPLIANCE)))
    hop = IPv4Address(draw(hops)) if kind is NextHopType.VIRTUAL_APPLIANCE else None
    return UserRoute(draw(prefixes), kind, hop)


@st.composite
def laboratory(draw: st.DrawFn) -> tuple[Azure, LearnedRoutes]:
    """Four networks with random peerings, a route server in the first, random routes at each instance."""
    peerings = []
    for a in range(4):
        for b in range(a + 1, 4):
            kind = draw(st.sampled_from(("none", "plain", "urg", "half")))
            if kind != "none":
                urg = kind == "urg"
                peerings.append(Peering(NAMES[b], NAMES[a], use_remote_gateways=urg, is_global=draw(st.booleans())))
                if kind != "half":
                    peerings.append(Peering(NAMES[a], NAMES[b], allow_gateway_transit=urg))
    routes = draw(st.lists(user_route(), max_size=4, unique_by=lambda r: r.prefix))
    table = RouteTable("t", tuple(routes), draw(st.booleans()))
    tables = draw(st.tuples(*[st.sampled_from((None, "t"))] * 4))
    networks = tuple(
        VirtualNetwork(n, (s,), (Subnet("w", next(s.subnets(new_prefix=17)), t),))
        for n, s, t in zip(NAMES, SPACES, tables, strict=True)
    )
    server = RouteServer(
        "rs",
        "v1",
        (IPv4Address("10.1.0.4"), IPv4Address("10.1.0.5")),
        PEERS,
        draw(st.booleans()),
        draw(st.sampled_from(HubRoutingPreference)),
        draw(st.sampled_from(OwnRangePolicy)),
    )
    nics = tuple(
        Nic(f"{name}-{i}", f"{name}-{i}", "eth0", name, "w", space.network_address + 260 + i, "")
        for name, space in zip(NAMES, SPACES, strict=True)
        for i in range(2)
    )
    azure = Azure(networks, tuple(peerings), (table,), nics, (server,))
    first, second = (
        None if draw(st.integers(0, 4)) == 0 else accepted(azure, server, draw(st.lists(learned_route(), max_size=12)))
        for _ in range(2)
    )
    return azure, {"rs": (first, second)}


@given(laboratory(), st.lists(learned_route(), max_size=12))
def test_nothing_kept_was_to_be_dropped(lab: tuple[Azure, LearnedRoutes], routes: list[LearnedRoute]) -> None:
    azure, _ = lab
    server = azure.route_servers[0]
    mine = originated(azure, "rs")
    for prefix, paths in accepted(azure, server, routes).items():
        if server.own_ranges is OwnRangePolicy.DROP:
            assert not any(prefix.subnet_of(r) for r in (*mine.own, *mine.spokes))
        for path in paths:
            flat = {a for hop in path.attributes.as_path for a in (hop if isinstance(hop, frozenset) else (hop,))}
            assert not flat & {0, 65515}
            assert path.prefix == prefix


@given(laboratory())
def test_at_most_one_active_row_for_a_prefix(lab: tuple[Azure, LearnedRoutes]) -> None:
    azure, learned = lab
    for nic in azure.nic:
        rows = [r.prefix for r in active(effective_routes(azure, nic, learned))]
        assert len(rows) == len(set(rows))


@given(laboratory())
def test_an_invalid_row_has_an_active_user_row_above_it(lab: tuple[Azure, LearnedRoutes]) -> None:
    azure, learned = lab
    for nic in azure.nic:
        rows = effective_routes(azure, nic, learned)
        users = {r.prefix for r in rows if r.source is RouteSource.USER}
        for row in rows:
            assert (row.state is RouteState.INVALID) == (row.source is not RouteSource.USER and row.prefix in users)


@given(laboratory(), addresses)
def test_lookup_is_longest_prefix_by_brute_force(lab: tuple[Azure, LearnedRoutes], address: IPv4Address) -> None:
    azure, learned = lab
    for nic in azure.nic:
        rows = effective_routes(azure, nic, learned)
        by_prefix = {r.prefix: r for r in rows if r.state is RouteState.ACTIVE}
        lengths = (IPv4Network((address, length), strict=False) for length in range(32, -1, -1))
        expected = next((by_prefix[p] for p in lengths if p in by_prefix), None)
        assert lookup(rows, address) == expected
        assert expected is not None  # there is always some 0/0


@given(laboratory(), st.randoms(use_true_random=False))
def test_the_order_of_arrival_never_matters(lab: tuple[Azure, LearnedRoutes], rng: random.Random) -> None:
    azure, learned = lab

    def shuffled(routes: InstanceRoutes | None) -> InstanceRoutes | None:
        if routes is None:
            return None
        items = [(prefix, tuple(rng.sample(paths, len(paths)))) for prefix, paths in routes.items()]
        rng.shuffle(items)
        return dict(items)

    first, second = learned["rs"]
    other = {"rs": (shuffled(first), shuffled(second))}
    for nic in azure.nic:
        assert effective_routes(azure, nic, learned) == effective_routes(azure, nic, other)


@given(laboratory())
def test_bgp_rows_are_never_inside_what_is_known_without_bgp(lab: tuple[Azure, LearnedRoutes]) -> None:
    azure, learned = lab
    mine = originated(azure, "rs")
    for nic in azure.nics:
        known = (*local_and_adjacent_ranges(azure, nic.virtual_network), *mine.own, *mine.spokes)
        for row in effective_routes(azure, nic.name, learned):
            if row.source is RouteSource.VIRTUAL_NETWORK_GATEWAY:
                assert not any(row.prefix.subnet_of(k) for k in known)


@given(laboratory())
def test_bgp_rows_exist_exactly_where_a_listened_instance_has_them(lab: tuple[Azure, LearnedRoutes]) -> None:
    azure, learned = lab
    mine = originated(azure, "rs")
    for nic in azure.nics:
        key = forwarding_key(azure, nic.name, learned)
        rows = effective_routes(azure, nic.name, learned)
        got = {r.prefix for r in rows if r.source is RouteSource.VIRTUAL_NETWORK_GATEWAY}
        if key.instance is None:
            assert not got
            continue
        assert programming_server(azure, nic.virtual_network) is not None
        routes = learned["rs"][key.instance]
        assert routes is not None
        known = (*local_and_adjacent_ranges(azure, nic.virtual_network), *mine.own, *mine.spokes)
        assert got == {p for p in routes if not any(p.subnet_of(k) for k in known)}


@given(laboratory())
def test_next_hops_are_adjacent_and_sorted(lab: tuple[Azure, LearnedRoutes]) -> None:
    azure, learned = lab
    gateways = {
        p.attributes.next_hop
        for routes in learned["rs"]
        for paths in (routes or {}).values()
        for p in paths
        if p.peer.kind is not PeerKind.NVA
    }
    for nic in azure.nics:
        near = tuple(local_and_adjacent_ranges(azure, nic.virtual_network))
        for row in effective_routes(azure, nic.name, learned):
            assert list(row.next_hops) == sorted(set(row.next_hops))
            for hop in row.next_hops:
                assert hop in gateways or any(hop in n for n in near)
            carries = row.next_hop_type in (NextHopType.VIRTUAL_APPLIANCE, NextHopType.VIRTUAL_NETWORK_GATEWAY)
            assert bool(row.next_hops) == carries


@given(laboratory())
def test_reserved_blocks_are_listed_while_the_default_is(lab: tuple[Azure, LearnedRoutes]) -> None:
    azure, learned = lab
    for nic in azure.nic:
        rows = effective_routes(azure, nic, learned)
        blocks = [r for r in rows if r.source is RouteSource.DEFAULT and r.next_hop_type is NextHopType.NONE]
        zero = [r for r in active(rows) if r.prefix.prefixlen == 0]
        listed = zero[0].source is RouteSource.DEFAULT or (
            zero[0].source is RouteSource.USER
            and zero[0].next_hop_type is NextHopType.NONE
            and any(r.source is RouteSource.DEFAULT and r.prefix.prefixlen == 0 for r in rows)
        )
        assert bool(blocks) == listed
        assert {b.prefix for b in blocks} <= set(RESERVED_BLOCKS)


@given(laboratory())
def test_equal_keys_give_equal_tables(lab: tuple[Azure, LearnedRoutes]) -> None:
    azure, learned = lab
    for nic in azure.nic:
        key = forwarding_key(azure, nic, learned)
        assert effective_table(azure, key, learned) == effective_routes(azure, nic, learned)


@given(laboratory())
def test_what_is_advertised(lab: tuple[Azure, LearnedRoutes]) -> None:
    azure, learned = lab
    server = azure.route_servers[0]
    mine = originated(azure, "rs")
    for instance, routes in enumerate(learned["rs"]):
        for peer in server.peers:
            originates = originated_routes(server, instance, peer, mine)
            for prefix, paths in (routes or {}).items():
                got = advertised_to_peer(server, instance, peer, mine, prefix, paths)
                if got is None:
                    continue
                chosen = best_path(paths, server.hub_routing_preference)
                assert chosen is not None
                assert chosen.peer.name != peer.name
                assert server.branch_to_branch
                assert NO_ADVERTISE not in chosen.attributes.communities
                assert prefix not in originates
                assert set(chosen.attributes.communities) <= set(got.communities)
                if peer.asn != 65515:
                    assert got.next_hop == server.instances[instance]
                    assert got.as_path == (65515, *chosen.attributes.as_path)
                else:
                    assert replace(got, communities=()) == replace(chosen.attributes, communities=())


@given(laboratory())
def test_what_a_route_server_sends_it_would_not_take_back(lab: tuple[Azure, LearnedRoutes]) -> None:
    azure, learned = lab
    server = azure.route_servers[0]
    mine = originated(azure, "rs")
    target = PEERS[0]
    for instance, routes in enumerate(learned["rs"]):
        sent = originated_routes(server, instance, target, mine)
        for prefix, paths in (routes or {}).items():
            got = advertised_to_peer(server, instance, target, mine, prefix, paths)
            if got is not None:
                sent[prefix] = got
        for prefix, attributes in sent.items():
            echo = replace(attributes, as_path=(target.asn, *attributes.as_path), next_hop=target.address)
            assert rejection(LearnedRoute(prefix, echo, target), server, mine) is not None
