"""Where BIRD's habits are not FRR's. Real BIRDs show it in tests/e2e/test_bird.py."""

from __future__ import annotations

from dataclasses import replace

from labkit.azure.model import ExportRule, PathAttributes, PathChanges
from labkit.daemons.bird import decide
from labkit.daemons.frr import decide as frr
from labkit.daemons.speaker import Best, CustomerSpeaker, Session
from labkit.lab.load import load_text
from labkit.predict.converge import CustomerRouters, everything_up
from labkit.predict.customer_routers import routers
from tests.unit.azure.builders import addr, net

TEXT = """
name: bird
virtual_networks:
  hub: {address_space: 10.1.0.0/16, subnets: {RouteServerSubnet: 10.1.0.0/26, nvas: 10.1.1.0/24}}
route_servers: {rs1: {virtual_network: hub, peers: [fw]}}
nvas: {fw: {subnet: hub/nvas, asn: 65001, daemon: bird, advertises: [10.9.0.0/16], connects_to: [one, two]}}
sites: {one: {asn: 65010, prefixes: [10.10.0.0/16]}, two: {asn: 65020, prefixes: [10.20.0.0/16]}}
"""
LAB = load_text(TEXT, "bird")
FW = routers(LAB, LAB.azure)["fw"].speaker
PREFIX = net("10.30.0.0/16")
RELAYING = replace(FW, exports=(ExportRule(changes=PathChanges(as_override=True)),))


def session(neighbour: str, speaker: CustomerSpeaker = FW) -> Session:
    return next(s for s in speaker.sessions if s.neighbour.name == neighbour)


def path(*as_path: int) -> PathAttributes:
    return PathAttributes(addr("192.0.2.1"), as_path)


def test_equal_paths_of_several_ases_share_packets() -> None:
    table = {session("one"): {PREFIX: path(65010, 65030)}, session("two"): {PREFIX: path(65020, 65030)}}
    assert decide.loc_rib(FW, table)[PREFIX].sessions == (session("one"), session("two"))
    assert frr.loc_rib(FW, table)[PREFIX].sessions == (session("one"),)


def test_a_longer_path_shares_nothing() -> None:
    table = {session("one"): {PREFIX: path(65010, 65030, 65031)}, session("two"): {PREFIX: path(65020, 65030)}}
    assert decide.loc_rib(FW, table)[PREFIX].sessions == (session("two"),)


def test_what_has_a_next_hop_that_is_on_no_link_is_not_accepted_over_one() -> None:
    """FRR accepts it, shows it as best where a route leads there, and does not use it."""
    one, rs = session("one").neighbour, session("rs1-0").neighbour
    near, far = replace(path(65010), next_hop=addr("10.1.1.9")), replace(path(65010), next_hop=addr("10.1.2.9"))
    for neighbour, attributes, accepts in ((one, near, True), (one, far, False), (rs, far, True)):
        assert (PREFIX in decide.import_policy(FW, neighbour, {PREFIX: attributes})) is accepts
        assert FW.uses(neighbour, attributes.next_hop) is accepts
    assert PREFIX in frr.import_policy(FW, one, {PREFIX: far})
    assert frr.loc_rib(FW, {session("one"): {PREFIX: far}})[PREFIX].sessions == (session("one"),)


def test_what_it_originates_is_better_and_has_no_med() -> None:
    assert decide.loc_rib(FW, {session("one"): {net("10.9.0.0/16"): path(65010)}}) == {
        net("10.9.0.0/16"): Best(PathAttributes(addr("0.0.0.0")), ())
    }


def test_an_instances_path_goes_to_the_other_instance_alone() -> None:
    both = {session(name): {PREFIX: path(65515, 65030)} for name in ("rs1-0", "rs1-1")}
    loc_rib = decide.loc_rib(RELAYING, both)
    advertised = {
        name: set(decide.advertises(RELAYING, session(name), loc_rib, RELAYING.sessions)) - set(FW.networks)
        for name in ("rs1-0", "rs1-1", "one")
    }
    assert advertised == {"rs1-0": set(), "rs1-1": {PREFIX}, "one": {PREFIX}}
    assert PREFIX in frr.advertises(RELAYING, session("rs1-0"), loc_rib, RELAYING.sessions), "FRR's update group"


def test_without_a_policy_nothing_is_advertised() -> None:
    silent = replace(FW, requires_policy=True)
    assert decide.advertises(silent, session("one"), decide.loc_rib(silent, {}), silent.sessions) == {}


def test_without_multihop_it_has_no_session_with_a_route_server() -> None:
    lab = load_text(TEXT.replace("daemon: bird", "daemon: bird, ebgp_multihop: false"), "bird")
    customers = CustomerRouters(lab, lab.azure)
    up = customers.established(lab.azure, everything_up(lab, lab.azure), customers.sessions)
    assert {s.neighbour.name for s in up if s.router == "fw"} == {"one", "two"}
