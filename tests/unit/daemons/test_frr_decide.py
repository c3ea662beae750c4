"""FRR's habits as NVAs and sites have them: what they accept, choose and advertise. Real FRRs show it in every lab."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from labkit.azure.model import AsPath, ExportRule, Origin, PathAttributes, PathChanges
from labkit.azure.rules.communities import NO_ADVERTISE, NO_EXPORT
from labkit.daemons.frr import decide
from labkit.daemons.speaker import Best, CustomerSpeaker, Session, StaticRoute
from labkit.lab.load import load_text
from labkit.predict.customer_routers import routers
from tests.unit.azure.builders import addr, net

LAB = load_text(
    """
name: outside
virtual_networks:
  hub:
    address_space: 10.1.0.0/16
    subnets: {RouteServerSubnet: 10.1.0.0/26, GatewaySubnet: 10.1.255.0/27, nvas: 10.1.1.0/24}
route_servers:
  rs1: {virtual_network: hub, peers: [plain, far]}
gateways:
  ergw: {type: ExpressRoute, virtual_network: hub, connects_to: [circuit1]}
circuits:
  circuit1: {connects_to: [site]}
nvas:
  plain: {subnet: hub/nvas, asn: 65001, advertises: [10.9.0.0/16], prepend: 1, connects_to: [site], overlays: [far]}
  far: {subnet: hub/nvas, asn: 65002, connects_to: [site]}
sites:
  site: {asn: 65010, prefixes: [10.10.0.0/16], prepend: {plain: 2}}
""",
    "outside",
)
ROUTERS = routers(LAB, LAB.azure)
PLAIN, SITE = ROUTERS["plain"].speaker, ROUTERS["site"].speaker
PREFIX = net("10.20.0.0/16")


def session(speaker: CustomerSpeaker, neighbour: str) -> Session:
    return next(s for s in speaker.sessions if s.neighbour.name == neighbour)


def path(*as_path: int, **changes: object) -> PathAttributes:
    return replace(PathAttributes(addr("192.0.2.1"), as_path), **changes)  # type: ignore[arg-type]


def advertised(
    speaker: CustomerSpeaker, to: str, attributes: PathAttributes, by: str | None = None
) -> PathAttributes | None:
    """What a router advertises to a neighbour of a path that it has from another one, or originates."""
    sessions = () if by is None else (session(speaker, by),)
    return decide.advertises(speaker, session(speaker, to), {PREFIX: Best(attributes, sessions)}, speaker.sessions).get(
        PREFIX
    )


def test_sessions() -> None:
    assert [s.neighbour.name for s in PLAIN.sessions] == ["rs1-0", "rs1-1", "site", "far"]
    assert [s.neighbour.name for s in SITE.sessions] == ["plain", "far", "circuit1"]
    back = ROUTERS["site"].by_address[session(PLAIN, "site").neighbour.own]
    assert (back.neighbour.name, back.neighbour.own) == ("plain", session(PLAIN, "site").neighbour.address)


def test_import_policy_drops_loops() -> None:
    there = {PREFIX: path(65010, 65020), net("10.21.0.0/16"): path(65010, 65001), net("10.22.0.0/16"): path(65010)}
    there[net("10.22.0.0/16")] = replace(path(), as_path=(65010, frozenset({65001, 65003})))
    assert set(decide.import_policy(PLAIN, session(PLAIN, "site").neighbour, there)) == {PREFIX}
    assert decide.import_policy(replace(PLAIN, requires_policy=True), session(PLAIN, "site").neighbour, there) == {}


@pytest.mark.parametrize(
    ("paths", "best"),
    [
        ({"site": (65010, 65020), "far": (65002,)}, ["far"]),
        ({"site": (65010,), "far": (65002,)}, ["far"]),  # the lower identifier: an NVA's NIC, a site's first LAN
        ({"rs1-0": (65515, 65002), "far": (65002, 65515)}, ["rs1-0"]),
        ({"rs1-1": (65515,), "rs1-0": (65515,)}, ["rs1-0", "rs1-1"]),
        ({"rs1-1": (65515,), "rs1-0": (65515, 65002)}, ["rs1-1"]),
        ({"rs1-0": (65515, frozenset({1, 2})), "far": (65002, 65020, 65021)}, ["rs1-0"]),
    ],
)
def test_which_path_is_best(paths: dict[str, AsPath], best: list[str]) -> None:
    adj_rib_in = {session(PLAIN, name): {PREFIX: replace(path(), as_path=as_path)} for name, as_path in paths.items()}
    for order in (adj_rib_in, dict(reversed(adj_rib_in.items()))):
        found = decide.loc_rib(PLAIN, order)[PREFIX]
        assert [s.neighbour.name for s in found.sessions] == best
        assert found.attributes.as_path == paths[best[0]]


def test_the_origin_decides_between_equal_lengths_and_its_own_comes_first() -> None:
    adj_rib_in = {
        session(PLAIN, "far"): {PREFIX: path(65002, origin=Origin.INCOMPLETE), net("10.9.0.0/16"): path(65002)},
        session(PLAIN, "site"): {PREFIX: path(65010)},
    }
    best = decide.loc_rib(PLAIN, adj_rib_in)
    assert [s.neighbour.name for s in best[PREFIX].sessions] == ["site"]
    assert best[net("10.9.0.0/16")].sessions == ()


def test_the_med_decides_among_paths_of_one_as_alone() -> None:
    def best(one: PathAttributes, other: PathAttributes) -> list[str]:
        adj_rib_in = {session(PLAIN, "rs1-0"): {PREFIX: one}, session(PLAIN, "rs1-1"): {PREFIX: other}}
        return [s.neighbour.name for s in decide.loc_rib(PLAIN, adj_rib_in)[PREFIX].sessions]

    assert best(path(65515, med=5), path(65515)) == ["rs1-1"], "a missing one is 0"
    assert best(path(65515, med=5), path(65515, med=5)) == ["rs1-0", "rs1-1"]
    far, site = path(65002, med=9), path(65010, med=1)
    adj_rib_in = {session(PLAIN, "far"): {PREFIX: far}, session(PLAIN, "site"): {PREFIX: site}}
    assert decide.loc_rib(PLAIN, adj_rib_in)[PREFIX].attributes == far, "the lower identifier, of two ASes"


def test_a_path_needs_a_next_hop_to_which_a_route_leads() -> None:
    """A site has no default route; another neighbour's path may lead there."""
    plain, far = session(SITE, "plain"), session(SITE, "far")
    kept = replace(path(65001), next_hop=addr("10.77.0.1"))
    assert PREFIX not in decide.loc_rib(SITE, {plain: {PREFIX: kept}})
    way = replace(path(65002), next_hop=far.neighbour.address)
    there = {plain: {PREFIX: kept}, far: {net("10.77.0.0/16"): way}}
    assert decide.loc_rib(SITE, there)[PREFIX].sessions == (plain,)
    assert not SITE.uses(plain.neighbour, kept.next_hop)
    there[far] = {net("10.77.0.0/16"): replace(way, next_hop=addr("10.77.0.9"))}
    assert not {PREFIX, net("10.77.0.0/16")} & decide.loc_rib(SITE, there).keys(), "a route does not lead to itself"


def test_a_third_partys_next_hop_stays_on_a_link_too() -> None:
    """That of a static route to the site is the site itself; of what it has from the sender, nobody else's counts."""
    site = session(PLAIN, "site").neighbour
    exported = advertised(PLAIN, "site", path(next_hop=site.address))
    assert exported is not None
    assert exported.next_hop == site.address
    assert decide.import_policy(SITE, ROUTERS["site"].by_address[site.own].neighbour, {PREFIX: exported}) == {}
    echo = advertised(PLAIN, "site", path(65010, next_hop=site.address), "site")
    assert echo is not None
    assert echo.next_hop == site.own


def test_a_static_route_that_is_redistributed() -> None:
    via = addr("10.1.1.9")
    static = replace(PLAIN, redistributed=(StaticRoute(PREFIX, via), StaticRoute(PLAIN.networks[0], via)))
    best = decide.loc_rib(static, {session(PLAIN, "site"): {PREFIX: path(65010)}})
    assert best[PREFIX] == Best(PathAttributes(via, origin=Origin.INCOMPLETE, med=0), ())
    assert best[PLAIN.networks[0]].attributes.origin == Origin.IGP, "what it originates by itself comes first"
    exported = advertised(static, "rs1-0", best[PREFIX].attributes)
    assert exported == PathAttributes(session(PLAIN, "rs1-0").neighbour.own, (65001, 65001), Origin.INCOMPLETE, 0)


def test_what_an_nva_advertises() -> None:
    from_site = path(65010, med=5, communities=((7, 7),))
    nic = LAB.azure.nic["plain"].address
    for to, next_hop in (("rs1-0", nic), ("far", session(PLAIN, "far").neighbour.own)):
        assert advertised(PLAIN, to, from_site, "site") == PathAttributes(
            next_hop, (65001, 65001, 65010), communities=((7, 7),)
        )
    assert advertised(PLAIN, "rs1-0", path(med=0)) == PathAttributes(nic, (65001, 65001), med=0), (
        "its own, with the MED"
    )
    back = advertised(PLAIN, "site", from_site, "site")
    assert back is not None
    assert decide.import_policy(SITE, SITE.neighbours[0], {PREFIX: back}) == {}, "its own ASN is in the path"
    assert advertised(replace(PLAIN, requires_policy=True), "rs1-0", from_site, "site") is None


def towards(peer: str, **changes: object) -> CustomerSpeaker:
    """The plain NVA with a rule for a peer in front of its others."""
    rule = ExportRule((peer,), changes=PathChanges(1, **changes))  # type: ignore[arg-type]
    return replace(PLAIN, exports=(rule, *PLAIN.exports))


def test_what_has_the_route_servers_asn_in_its_path() -> None:
    """Route server instances get back what one advertises, also where only that one is there: they drop it."""
    echo = path(65515, 12076)
    assert advertised(PLAIN, "site", echo, "rs1-0") is not None
    for speaker, wanted in (
        (PLAIN, (65001, 65001, 65515, 12076)),
        (towards("rs1", as_override=True), (65001, 65001, 65001, 12076)),
        (towards("rs1", strip=(65515,)), (65001, 65001, 12076)),
    ):
        for to in ("rs1-0", "rs1-1"):
            exported = advertised(speaker, to, echo, "rs1-0")
            assert exported is not None
            assert exported.as_path == wanted
        alone = [session(speaker, "rs1-0")]
        best = {PREFIX: Best(echo, (session(speaker, "rs1-0"),))}
        assert decide.advertises(speaker, session(speaker, "rs1-0"), best, alone)[PREFIX].as_path == wanted
        mixed = advertised(speaker, "rs1-0", replace(path(), as_path=(7, frozenset({8, 65515}))), "site")
        assert mixed is not None
        member = {PLAIN.exports: {65515}, towards("rs1", strip=(65515,)).exports: set()}.get(speaker.exports, {65001})
        assert mixed.as_path[-1] == frozenset({8} | member)


def test_what_only_routes_to_route_servers_get() -> None:
    other = IPv4Address("10.1.1.100")
    nva = towards("rs1", communities=((9, 9), (1, 1)), next_hop=other)
    exported, to_site = (
        advertised(nva, "rs1-0", path(65002, communities=((5, 5),)), "far"),
        advertised(nva, "site", path(65002), "far"),
    )
    assert exported is not None
    assert to_site is not None
    assert (exported.next_hop, exported.communities) == (other, ((1, 1), (5, 5), (9, 9)))
    assert (to_site.next_hop, to_site.communities) == (session(PLAIN, "site").neighbour.own, ())


@pytest.mark.parametrize("community", [NO_EXPORT, NO_ADVERTISE])
def test_well_known_communities_stop_a_route_where_it_is_received(community: tuple[int, int]) -> None:
    assert advertised(PLAIN, "rs1-0", path(65010, communities=(community,)), "site") is None
    assert advertised(towards("rs1", communities=(community,)), "rs1-0", path(65010), "site") is not None


def test_what_a_site_advertises() -> None:
    exported, circuit = advertised(SITE, "plain", path(65002), "far"), advertised(SITE, "circuit1", path(65002), "far")
    assert exported is not None
    assert circuit is not None
    assert (exported.as_path, circuit.as_path) == ((65010, 65010, 65010, 65002), (65010, 65002))
    assert advertised(SITE, "circuit1", path(65002, 12076), "far") is None, "an edge router would take it"
    assert advertised(SITE, "plain", path(12076), "circuit1") is not None
