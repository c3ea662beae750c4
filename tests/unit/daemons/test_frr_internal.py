"""FRR's habits between appliances that peer with each other: internal BGP, reflection, next hops."""

from __future__ import annotations

from dataclasses import replace

import pytest

from labkit.azure.model import Origin, PathAttributes
from labkit.azure.rules.communities import NO_ADVERTISE, NO_EXPORT
from labkit.daemons.frr import decide
from labkit.daemons.speaker import Best, CustomerSpeaker, InternalAttributes, Session
from labkit.lab.load import load_text
from labkit.predict.customer_routers import routers
from tests.unit.azure.builders import addr, net

LAB = load_text(
    """
name: relay
virtual_networks:
  hub:
    address_space: 10.1.0.0/16
    subnets: {RouteServerSubnet: 10.1.0.0/26, nodes: 10.1.1.0/24, more: 10.1.2.0/24}
route_servers:
  rs1: {virtual_network: hub, peers: [relay]}
nvas:
  relay:
    subnet: hub/nodes
    asn: 65001
    prepend: 1
    next_hop: unchanged
    exports:
      - {to: kept, set: {next_hop: unchanged, prepend: 1}}
      - {to: [plain, client2], prefix: 10.66.0.0/16, deny: true}
      - {to: [plain, client2], prefix: 10.67.0.0/16, set: {next_hop: 10.1.1.200, communities: 9:9, med: 3, prepend: 1}}
    connects_to: [site]
    peers_with:
      - client1: {route_reflector_client: true}
      - client2: {route_reflector_client: true, next_hop_self: true}
      - plain: {next_hop_self: true}
      - other
      - near
      - far
      - kept
      - selfish: {next_hop_self: true}
  client1: {subnet: hub/nodes, asn: 65001}
  client2: {subnet: hub/nodes, asn: 65001}
  plain: {subnet: hub/nodes, asn: 65001}
  other: {subnet: hub/more, asn: 65001}
  near: {subnet: hub/nodes, asn: 65002}
  far: {subnet: hub/more, asn: 65003}
  kept: {subnet: hub/more, asn: 65003}
  selfish: {subnet: hub/nodes, asn: 65002}
sites:
  site: {asn: 65010, prefixes: [10.10.0.0/16]}
""",
    "relay",
)
ROUTERS = routers(LAB, LAB.azure)
RELAY = ROUTERS["relay"].speaker
PREFIX = net("10.20.0.0/16")
OWN, CLIENT1 = LAB.azure.nic["relay"].address, LAB.azure.nic["client1"].address
NODES = [addr(f"10.1.1.{n}") for n in (100, 101)]
"""Addresses of others in the relay's subnet."""


def session(neighbour: str, speaker: CustomerSpeaker = RELAY) -> Session:
    return next(s for s in speaker.sessions if s.neighbour.name == neighbour)


def internal(*as_path: int, **changes: object) -> InternalAttributes:
    return replace(InternalAttributes(NODES[0], as_path), **changes)  # type: ignore[arg-type]


def advertised(to: str, attributes: PathAttributes, by: str | None) -> PathAttributes | None:
    """What the relay advertises to a neighbour of a path that it has from another one, or (None) originates."""
    best = Best(attributes, (session(by),) if by is not None else ())
    return decide.advertises(RELAY, session(to), {PREFIX: best}, RELAY.sessions).get(PREFIX)


@pytest.mark.parametrize(
    ("by", "to"),
    [
        ("client1", {"client1", "client2", "plain", "other", "near", "far", "kept", "selfish", "rs1-0", "site"}),
        ("plain", {"client1", "client2", "near", "far", "kept", "selfish", "rs1-0", "site"}),
        ("near", {"client1", "client2", "plain", "other", "near", "far", "kept", "selfish", "rs1-0", "site"}),
        (None, {"client1", "client2", "plain", "other", "near", "far", "kept", "selfish", "rs1-0", "site"}),
    ],
)
def test_internal_routes_are_reflected_from_clients_and_to_clients_only(by: str | None, to: set[str]) -> None:
    """What goes back to its sender, that drops it: it is its originator, or has its own ASN in the path."""
    path = internal() if by in {"client1", "plain"} else PathAttributes(NODES[0], (65002,))
    assert {n.name for n in RELAY.neighbours if advertised(n.name, path, by) is not None} - {"rs1-1"} == to


def test_export_rules_change_nothing_of_what_is_reflected_but_may_deny_it() -> None:
    """FRR without `bgp route-reflector allow-outbound-policy`."""
    denied, changed = net("10.66.0.0/16"), net("10.67.0.0/16")
    reflected, external = internal(), PathAttributes(NODES[0], (65002,))
    by_client, by_near = (session("client1"),), (session("near"),)
    best = {denied: Best(reflected, by_client), changed: Best(reflected, by_client)}
    found = decide.advertises(RELAY, session("plain"), best, RELAY.sessions)
    assert found == {changed: replace(reflected, originator_id=CLIENT1, cluster_list=(OWN,))}
    best = {denied: Best(external, by_near), changed: Best(external, by_near)}
    set_by_rule = {"next_hop": addr("10.1.1.200"), "communities": ((9, 9),), "med": 3, "as_path": (65001, 65002)}
    found = decide.advertises(RELAY, session("plain"), best, RELAY.sessions)
    assert found == {changed: internal(65002, **set_by_rule)}
    plain = ROUTERS["plain"].speaker
    assert decide.import_policy(plain, plain.neighbours[0], found) == {}, "its own ASN is in the path"


def test_a_reflected_path_keeps_everything_and_has_whence_it_came() -> None:
    learned = internal(65002, med=7, local_pref=150, communities=((1, 1),))
    once = replace(learned, originator_id=CLIENT1, cluster_list=(OWN,))
    assert advertised("plain", learned, "client1") == once, "and its next hop, although next_hop_self is set"
    twice = replace(once, originator_id=addr("10.9.9.9"), cluster_list=(OWN, addr("10.9.9.8")))
    assert advertised("client2", replace(twice, cluster_list=twice.cluster_list[1:]), "other") == twice


@pytest.mark.parametrize(
    ("to", "attributes", "by", "next_hop"),
    [
        ("other", PathAttributes(NODES[0], (65002,), med=5), "near", NODES[0]),
        ("plain", PathAttributes(NODES[0], (65002,), med=5), "near", OWN),
        ("other", PathAttributes(addr("10.10.0.1"), (65010,), med=5), "site", addr("10.10.0.1")),
        ("other", PathAttributes(addr("0.0.0.0"), med=5), None, OWN),
    ],
)
def test_what_internal_neighbours_get_of_external_routes(
    to: str, attributes: PathAttributes, by: str | None, next_hop: object
) -> None:
    """The path and its MED as they are, without the own ASN; the next hop too, if not self."""
    found = advertised(to, attributes, by)
    assert found == InternalAttributes(next_hop, attributes.as_path, med=5, local_pref=100)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("to", "next_hop", "by", "wanted"),
    [
        ("near", NODES[1], "client1", NODES[1]),  # in the same subnet as both: a third party
        ("selfish", NODES[1], "client1", OWN),
        ("far", NODES[1], "client1", OWN),
        ("kept", NODES[1], "client1", NODES[1]),
        ("kept", addr("0.0.0.0"), None, OWN),
        ("near", addr("10.1.2.50"), "other", OWN),
        ("rs1-0", NODES[1], "client1", NODES[1]),
        ("rs1-0", addr("0.0.0.0"), None, OWN),
        ("site", NODES[1], "client1", session("site").neighbour.own),
    ],
)
def test_the_next_hops_that_external_neighbours_get(to: str, next_hop: object, by: str | None, wanted: object) -> None:
    path = internal(65020, originator_id=CLIENT1, cluster_list=(OWN,), next_hop=next_hop, local_pref=150)
    found = advertised(to, path, by)
    assert found == PathAttributes(wanted, (65001, 65001, 65020))  # type: ignore[arg-type]


@pytest.mark.parametrize(("community", "to"), [(NO_EXPORT, {"plain"}), (NO_ADVERTISE, set())])
def test_well_known_communities_stop_a_route_where_they_should(community: tuple[int, int], to: set[str]) -> None:
    path = internal(communities=(community,))
    assert {name for name in ("plain", "near") if advertised(name, path, "client1") is not None} == to


def test_without_a_policy_external_sessions_alone_are_without_routes() -> None:
    wary = replace(RELAY, requires_policy=True)
    best = {PREFIX: Best(internal(), (session("client1"),))}
    there = {n.name for n in wary.neighbours if decide.advertises(wary, session(n.name), best, wary.sessions)}
    assert there == {"client1", "client2", "plain", "other"}
    assert decide.import_policy(wary, session("client1").neighbour, {PREFIX: internal()}) == {PREFIX: internal()}
    assert decide.import_policy(wary, session("near").neighbour, {PREFIX: internal()}) == {}


@pytest.mark.parametrize(
    "returned",
    [
        internal(originator_id=OWN),
        internal(originator_id=CLIENT1, cluster_list=(CLIENT1, OWN)),
        internal(next_hop=OWN),
        internal(65020, 65001),
    ],
)
def test_what_is_back_where_it_was_is_dropped(returned: InternalAttributes) -> None:
    near = ROUTERS["near"].speaker
    assert decide.import_policy(RELAY, session("client1").neighbour, {PREFIX: returned}) == {}
    assert decide.import_policy(near, near.neighbours[0], {PREFIX: returned}) == {PREFIX: returned}


@pytest.mark.parametrize(
    ("paths", "best"),
    [
        ({"plain": internal(1, 2, local_pref=101), "other": internal()}, ["plain"]),
        ({"plain": internal(1), "near": PathAttributes(NODES[0], (65002,))}, ["near"]),
        ({"plain": internal(), "near": PathAttributes(NODES[0], (65002,))}, ["plain"]),
        ({"plain": internal(1, origin=Origin.INCOMPLETE), "other": internal(1)}, ["other"]),
        ({"plain": internal(1), "other": internal(1)}, ["plain", "other"]),
        ({"plain": internal(1), "other": internal(2)}, ["plain"]),
        ({"plain": internal(1, originator_id=addr("10.1.3.1")), "other": internal(1)}, ["other", "plain"]),
        (
            {
                "plain": internal(1, originator_id=CLIENT1, cluster_list=(OWN, NODES[0])),
                "other": internal(1, originator_id=CLIENT1, cluster_list=(OWN,)),
            },
            ["other", "plain"],
        ),
        (
            {"near": PathAttributes(NODES[0], (65002,)), "selfish": PathAttributes(NODES[1], (65002,))},
            ["near", "selfish"],
        ),
    ],
)
def test_which_path_is_best(paths: dict[str, PathAttributes], best: list[str]) -> None:
    adj_rib_in = {session(name): {PREFIX: attributes} for name, attributes in paths.items()}
    for order in (adj_rib_in, dict(reversed(adj_rib_in.items()))):
        found = decide.loc_rib(RELAY, order)[PREFIX]
        assert [s.neighbour.name for s in found.sessions] == best
        assert found.attributes == paths[best[0]]
