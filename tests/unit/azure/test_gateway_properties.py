"""Properties of the rules of gateways and circuits over random networks of two hubs."""

from __future__ import annotations

import random
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

from hypothesis import given
from hypothesis import strategies as st

from labkit.azure.model import (
    AsPath,
    Azure,
    Circuit,
    Connection,
    Gateway,
    HubRoutingPreference,
    InstanceId,
    LocalNetworkGateway,
    OwnRangePolicy,
    PathAttributes,
    PeerKind,
    RouteServer,
    RouteTable,
)
from labkit.azure.rules.acceptance import originated_in
from labkit.azure.rules.asn import is_private
from labkit.azure.rules.circuits import best_in_circuit
from labkit.azure.rules.communities import RELAYED
from labkit.azure.rules.effective import active, effective_routes
from labkit.azure.rules.gateway_policy import PathSource, best_at_gateway
from labkit.azure.rules.gateways import instance_peer
from labkit.azure.rules.selection import best_path

from .builders import addr, azure, net, network, nic, nva, peered
from .speakers import Advertisements, SpeakersByName

HUBS = (1, 2)
POOL = tuple(
    map(
        net,
        (
            "0.0.0.0/0",
            "0.0.0.0/1",
            "10.0.0.0/8",
            "10.1.0.0/16",
            "10.1.7.0/24",
            "10.3.0.0/16",
            "10.2.0.0/15",
            "10.50.0.0/16",
            "10.60.0.0/16",
            "192.168.0.0/16",
        ),
    )
)
EDGES = {"c1": addr("172.30.1.1"), "c2": addr("172.30.2.1")}
CUSTOMERS = {"c1": 65021, "c2": 65022}
SITES = {"s1": 65031, "s2": 65032}

tails = st.lists(st.sampled_from((65001, 65099, 3320, 12076)), max_size=3)


def tag(name: str) -> tuple[int, int]:
    """A community that marks who advertised a route; nothing on the way takes it off."""
    return (1, ("nva1", "nva2", "c1", "c2", "s1", "s2").index(name))


@st.composite
def announced(draw: st.DrawFn, name: str, asn: int, next_hop: str) -> Advertisements:
    prefixes = draw(st.lists(st.sampled_from(POOL), unique=True, max_size=4))
    return {p: PathAttributes(addr(next_hop), (asn, *draw(tails)), communities=(tag(name),)) for p in prefixes}


@st.composite
def model(draw: st.DrawFn) -> Azure:
    servers, gateways, connections = [], [], []
    for i in HUBS:
        if draw(st.integers(0, 3)):
            servers.append(
                RouteServer(
                    f"rs{i}",
                    f"hub{i}",
                    (addr(f"10.{i}.0.4"), addr(f"10.{i}.0.5")),
                    (nva(f"nva{i}", 65000 + i, f"10.{i}.1.4"),),
                    draw(st.booleans()),
                    draw(st.sampled_from(HubRoutingPreference)),
                    draw(st.sampled_from(OwnRangePolicy)),
                )
            )
        if draw(st.integers(0, 3)):
            gateways.append(Gateway(f"er{i}", f"hub{i}", PeerKind.EXPRESSROUTE_GATEWAY, (addr(f"10.{i}.9.12"),)))
            circuits = draw(st.lists(st.sampled_from(("c1", "c2")), unique=True, max_size=2))
            connections += [Connection(f"er{i}-{c}", f"er{i}", c) for c in circuits]
        if draw(st.integers(0, 3)):
            instances = (addr(f"10.{i}.9.4"), addr(f"10.{i}.9.5"))
            asn = draw(st.sampled_from((65515, 65515, 300)))
            gateways.append(Gateway(f"vpn{i}", f"hub{i}", PeerKind.VPN_GATEWAY, instances, asn, active_active=True))
            sites = draw(st.lists(st.sampled_from(("s1", "s2")), unique=True, max_size=2))
            connections += [Connection(f"vpn{i}-{s}", f"vpn{i}", s) for s in sites]
    return azure(
        [network("hub1", "10.1.0.0/16", table="t"), network("hub2", "10.2.0.0/16"), network("spoke", "10.3.0.0/16")],
        peered("spoke", "hub1", urg=draw(st.booleans())),
        servers=servers,
        tables=[RouteTable("t", (), draw(st.integers(0, 4)) == 0)],
        nics=[nic("vm1", "hub1", "10.1.10.4"), nic("vm2", "hub2", "10.2.10.4"), nic("vm3", "spoke", "10.3.10.4")],
        gateways=gateways,
        circuits=[Circuit(c, asn) for c, asn in CUSTOMERS.items()],
        sites=[
            LocalNetworkGateway(s, s, tuple(draw(st.lists(st.sampled_from(POOL), unique=True, max_size=2))), asn)
            for s, asn in SITES.items()
        ],
        connections=connections,
    )


@st.composite
def azure_speakers(draw: st.DrawFn) -> SpeakersByName:
    return SpeakersByName(
        draw(model()),
        nvas={f"nva{i}": draw(announced(f"nva{i}", 65000 + i, f"10.{i}.1.4")) for i in HUBS},
        customers={c: draw(announced(c, asn, "192.168.34.17")) for c, asn in CUSTOMERS.items()},
        sites={s: draw(announced(s, asn, "172.31.0.1")) for s, asn in SITES.items()},
        edges=EDGES,
    )


def flat(as_path: AsPath) -> list[int]:
    return [asn for hop in as_path for asn in (hop if isinstance(hop, frozenset) else (hop,))]


def kind(speakers: SpeakersByName, name: str) -> PeerKind:
    return speakers.azure.gateway[name].kind


@given(azure_speakers())
def test_customers_see_12076_and_no_private_asn(speakers: SpeakersByName) -> None:
    for circuit in CUSTOMERS:
        for attributes in speakers.advertised_to_customer(circuit).values():
            assert attributes.as_path[0] == 12076
            assert not any(is_private(asn) for asn in flat(attributes.as_path))


@given(azure_speakers())
def test_no_circuit_receives_any_circuits_customers_routes(speakers: SpeakersByName) -> None:
    customers = {tag(c) for c in CUSTOMERS}
    for circuit in CUSTOMERS:
        for attributes in speakers.advertised_to_customer(circuit).values():
            assert not customers & set(attributes.communities)


@given(azure_speakers())
def test_what_vpn_gateways_withhold(speakers: SpeakersByName) -> None:
    for instance in speakers.at_gateway:
        name = instance.name
        if kind(speakers, name) is not PeerKind.VPN_GATEWAY:
            continue
        mine = originated_in(speakers.azure, speakers.azure.gateway[name].virtual_network)
        for site in SITES:
            told = speakers.advertised_by_gateway(name, instance.index, site)
            assert net("0.0.0.0/0") not in told
            inside = {p for p in told if any(p.subnet_of(r) for r in (*mine.own, *mine.spokes))}
            assert inside == {*mine.own, *mine.spokes}


@given(azure_speakers())
def test_gateways_always_originate_their_networks(speakers: SpeakersByName) -> None:
    for instance in speakers.at_gateway:
        name = instance.name
        mine = originated_in(speakers.azure, speakers.azure.gateway[name].virtual_network)
        asn = speakers.azure.gateway[name].asn
        for neighbour in (*SITES, *CUSTOMERS):
            told = speakers.advertised_by_gateway(name, instance.index, neighbour)
            assert {told[p].as_path for p in (*mine.own, *mine.spokes)} == {(asn,)}


@given(azure_speakers())
def test_route_servers_advertise_to_a_gateway_s_instance_what_they_have_from_the_other_one(
    speakers: SpeakersByName,
) -> None:
    """And nothing of its own [instances-exchange]."""
    for server in speakers.servers.values():
        for peer in server.peers:
            if peer.kind is PeerKind.NVA:
                continue
            for instance in (0, 1):
                for prefix in speakers.advertised_by_server(server.name, instance, peer):
                    paths = speakers.at_server[InstanceId(server.name, instance)][prefix]
                    best = best_path(paths, server.hub_routing_preference)
                    assert best is not None
                    assert best.peer != peer


@given(azure_speakers())
def test_with_b2b_off_nothing_passes_between_branches(speakers: SpeakersByName) -> None:
    off = tuple(replace(s, branch_to_branch=False) for s in speakers.azure.route_servers)
    quiet = replace(speakers, azure=replace(speakers.azure, route_servers=off))
    for instance, table in quiet.at_gateway.items():
        assert PathSource.ROUTE_SERVER not in {p.source for paths in table.values() for p in paths}, instance
    for server in quiet.servers.values():
        assert all(p.kind is PeerKind.NVA for p in server.peers)
        for peer in server.peers:
            mine = originated_in(quiet.azure, server.virtual_network)
            assert set(quiet.advertised_by_server(server.name, 0, peer)) == {*mine.own, *mine.spokes}


@given(azure_speakers())
def test_a_gateway_beside_a_route_server_holds_nothing_relayed_from_a_circuit(speakers: SpeakersByName) -> None:
    for instance, table in speakers.at_gateway.items():
        gateway = speakers.azure.gateway[instance.name]
        beside = any(
            s.branch_to_branch and s.virtual_network == gateway.virtual_network for s in speakers.azure.route_servers
        )
        for paths in table.values():
            for path in paths:
                if beside and path.source is PathSource.ON_PREMISES and path.sender in CUSTOMERS:
                    assert RELAYED not in path.attributes.communities
                assert gateway.asn not in flat(path.attributes.as_path)


@given(azure_speakers())
def test_what_nics_get_does_not_depend_on_the_sessions_that_carry_it_too(speakers: SpeakersByName) -> None:
    # No double counting: what a route server has from gateways adds nothing to what they report themselves.
    routes = speakers.gateway_routes
    alone = {
        server: tuple(
            {p: tuple(r for r in paths if r.peer.kind is PeerKind.NVA) for p, paths in table.items()}
            for table in tables
            if table is not None
        )
        for server, tables in speakers.learned.items()
    }
    learned = {server: (tables[0], tables[1]) for server, tables in alone.items()}
    for name in speakers.azure.nic:
        rows = effective_routes(speakers.azure, name, speakers.learned, routes)
        assert rows == effective_routes(speakers.azure, name, learned, routes)
        prefixes = [r.prefix for r in active(rows)]
        assert len(prefixes) == len(set(prefixes))


@given(azure_speakers())
def test_gateway_routes_reach_own_and_urg_networks_only(speakers: SpeakersByName) -> None:
    without = replace(speakers.azure, route_servers=())
    for name, virtual_network in (("vm1", "hub1"), ("vm2", "hub2"), ("vm3", "spoke")):
        silenced = {
            g: routes
            for g, routes in speakers.gateway_routes.items()
            if without.gateway[g].virtual_network not in (virtual_network, "hub1" if virtual_network == "spoke" else "")
        }
        assert effective_routes(without, name, {}, silenced) == effective_routes(without, name, {})


@given(azure_speakers(), st.randoms(use_true_random=False))
def test_the_order_of_arrival_never_matters(speakers: SpeakersByName, rng: random.Random) -> None:
    for instance, table in speakers.at_gateway.items():
        gateway = speakers.azure.gateway[instance.name]
        for paths in table.values():
            assert best_at_gateway(gateway, rng.sample(paths, len(paths))) == best_at_gateway(gateway, paths)
    for held in speakers.at_edge.values():
        for several in held.values():
            assert best_in_circuit(rng.sample(several, len(several))) == best_in_circuit(several)
    shuffled = {
        name: {p: tuple(rng.sample(paths, len(paths))) for p, paths in routes.items()}
        for name, routes in reversed(list(speakers.gateway_routes.items()))
    }
    for nic_name in speakers.azure.nic:
        first = effective_routes(speakers.azure, nic_name, speakers.learned, speakers.gateway_routes)
        assert effective_routes(speakers.azure, nic_name, speakers.learned, shuffled) == first


@given(azure_speakers())
def test_reported_next_hops(speakers: SpeakersByName) -> None:
    for name, routes in speakers.gateway_routes.items():
        gateway = speakers.azure.gateway[name]
        peers = [instance_peer(gateway, i) for i in range(len(gateway.instances))]
        allowed: set[IPv4Address] = (
            set(gateway.instances) if gateway.kind is PeerKind.VPN_GATEWAY else set(EDGES.values())
        )
        for prefix, paths in routes.items():
            assert isinstance(prefix, IPv4Network)
            assert {p.attributes.next_hop for p in paths} <= allowed
            assert all(p.peer in peers and p.prefix == prefix for p in paths)
