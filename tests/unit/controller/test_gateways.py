"""What the platform knows of gateways."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

from labkit.azure.model import InstanceId, PathAttributes
from labkit.azure.rules.gateway_policy import PathSource
from labkit.controller.gateways import GatewayNeighbour, Gateways
from labkit.lab.load import load
from labkit.resources import topologies

LAB = load(topologies() / "expressroute" / "lab.yml")
VNET, ONPREM, BRANCH = map(IPv4Network, ("10.1.0.0/16", "10.2.0.0/16", "10.250.0.0/16"))
EDGES = IPv4Address("10.1.255.6"), IPv4Address("10.1.255.7")
NEXT_HOP = IPv4Address("100.65.0.1")
"""Of the first edge, on NICs [edge-addresses]."""
SERVER, NVA = IPv4Address("10.1.0.4"), IPv4Address("10.1.1.4")
FIRST, SECOND = InstanceId("ergw", 0), InstanceId("ergw", 1)
FROM_CIRCUIT = PathAttributes(EDGES[0], (12076, 65020))
RELAYED = PathAttributes(NVA, (65001, 65010), communities=((65517, 65517),))


def made() -> Gateways:
    gateways = Gateways(LAB)
    gateways.came_up(FIRST)
    gateways.announce(FIRST, EDGES[0], FROM_CIRCUIT, [ONPREM])
    gateways.announce(FIRST, SERVER, RELAYED, [BRANCH, ONPREM])
    return gateways


def test_who_has_sessions_with_whom() -> None:
    neighbours = Gateways(LAB).neighbours
    assert neighbours[FIRST] == {
        SERVER: GatewayNeighbour("rs1-0", "rs1", PathSource.ROUTE_SERVER, 65515),
        SERVER + 1: GatewayNeighbour("rs1-1", "rs1", PathSource.ROUTE_SERVER, 65515),
        EDGES[0]: GatewayNeighbour("circuit1", "circuit1", PathSource.ON_PREMISES, 12076),
    }
    assert EDGES[1] in neighbours[SECOND]
    assert EDGES[0] not in neighbours[SECOND]
    assert (FIRST.node, SECOND.node) == ("ergw-0", "ergw-1")


def test_a_table_has_its_own_and_every_neighbours_paths() -> None:
    table = made().table(LAB.azure, FIRST)
    assert {prefix: [path.sender for path in paths] for prefix, paths in table.items()} == {
        VNET: ["ergw"],
        ONPREM: ["rs1", "circuit1"],
        BRANCH: ["rs1"],
    }
    assert made().table(LAB.azure, SECOND) == {}, "it is down"


def test_which_instances_have_nothing_of_a_circuit_with_two_edges() -> None:
    """[edge-by-instance]"""
    lab = load(topologies() / "expressroute-vpn" / "lab.yml")
    gateways, both = Gateways(lab), {("ergw-0", "circuit1"), ("ergw-1", "circuit1")}
    assert {*gateways.idle()} == both, "none runs"
    gateways.came_up(FIRST)
    assert {*gateways.idle()} == both
    gateways.announce(FIRST, IPv4Address("10.100.0.68"), RELAYED, [BRANCH])
    assert {*gateways.idle()} == both, "a route server is no edge"
    gateways.announce(FIRST, IPv4Address("10.100.0.198"), FROM_CIRCUIT, [ONPREM])
    assert {*gateways.idle()} == {("ergw-1", "circuit1")}, "either edge will do"
    gateways.forget(FIRST, IPv4Address("10.100.0.198"))
    assert {*gateways.idle()} == both
    assert {*Gateways(LAB).idle()} == set(), "lines to an only edge are no other instance's"


def test_only_what_is_from_on_premises_counts_for_machines() -> None:
    routes = made().routes(LAB.azure)
    assert {p: [r.attributes for r in paths] for p, paths in routes["ergw"].items()} == {
        ONPREM: [replace(FROM_CIRCUIT, next_hop=NEXT_HOP)]
    }


def test_what_came_by_a_deleted_connection_counts_no_longer() -> None:
    deleted = replace(LAB.azure, connections=())
    assert [path.sender for path in made().table(deleted, FIRST)[ONPREM]] == ["rs1"]
    assert made().routes(deleted) == {"ergw": {}}


def test_withdrawn_and_forgotten() -> None:
    gateways = made()
    gateways.withdraw(FIRST, EDGES[0], [ONPREM, BRANCH])
    assert [p.sender for p in gateways.table(LAB.azure, FIRST)[ONPREM]] == ["rs1"]
    gateways.forget(FIRST, SERVER)
    assert gateways.table(LAB.azure, FIRST).keys() == {VNET}
    assert gateways.running[FIRST].routes == {}


def test_an_announcement_replaces_the_one_before_it() -> None:
    gateways = made()
    longer = replace(FROM_CIRCUIT, as_path=(12076, 65020, 65020))
    gateways.announce(FIRST, EDGES[0], longer, [ONPREM])
    (path,) = gateways.routes(LAB.azure)["ergw"][ONPREM]
    assert path.attributes == replace(longer, next_hop=NEXT_HOP)


def test_one_that_comes_up_again_has_nothing() -> None:
    gateways = made()
    gateways.came_up(FIRST)
    assert gateways.table(LAB.azure, FIRST).keys() == {VNET}


def test_a_strangers_routes_are_received_and_not_listed() -> None:
    gateways = made()
    gateways.announce(FIRST, IPv4Address("192.0.2.1"), FROM_CIRCUIT, [IPv4Network("10.9.0.0/16")])
    assert IPv4Network("10.9.0.0/16") not in gateways.routes(LAB.azure)["ergw"]
