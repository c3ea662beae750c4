"""FRR's JSON, as FRR 10.3 printed it in a lab, as tables."""

from __future__ import annotations

import json
from ipaddress import IPv4Address
from typing import Any

import pytest

from labkit.azure.model import Origin, PathAttributes
from labkit.azure.rules.communities import NO_EXPORT
from labkit.daemons.frr import tables
from labkit.daemons.frr.tables import has_paths_of
from labkit.daemons.speaker import InternalAttributes
from labkit.daemons.tables import LOCAL, AdvertisedPath, BgpNeighbour, BgpPath
from tests.unit.azure.builders import addr, net

SUMMARY = """
{"routerId":"10.1.1.4","as":65001,"peers":{"10.1.0.4":{"remoteAs":65515,"localAs":65001,"msgRcvd":4,"msgSent":5,
 "peerUptimeMsec":15000,"pfxRcd":1,"state":"Established","desc":"rs1-0"},
"10.1.0.5":{"remoteAs":65515,"localAs":65001,"msgRcvd":0,"msgSent":0,"peerUptimeMsec":0,"state":"Active"}}}
"""
DETAIL = """
{"vrfName":"default","tableVersion":3,"routerId":"10.1.1.4","localAS":65001,"routes":{
"10.9.0.0/16":{"prefix":"10.9.0.0/16","paths":[
 {"aspath":{"string":"Local","segments":[],"length":0},"origin":"IGP","metric":0,"valid":true,"sourced":true,
  "bestpath":{"overall":true},"nexthops":[{"ip":"0.0.0.0","afi":"ipv4"}],"peer":{"peerId":"0.0.0.0"}}]},
"10.250.0.0/16":{"prefix":"10.250.0.0/16","paths":[
 {"aspath":{"string":"65515 {65010,65012}","segments":[{"type":"as-sequence","list":[65515]},
   {"type":"as-set","list":[65012,65010]}],"length":2},"origin":"incomplete","valid":true,
  "community":{"string":"65517:65517 no-export","list":["65517:65517","noExport"]},
  "nexthops":[{"ip":"10.1.0.5","afi":"ipv4"}],"peer":{"peerId":"10.1.0.5"}},
 {"aspath":{"string":"65515","segments":[{"type":"as-sequence","list":[65515]}],"length":1},"origin":"IGP","metric":0,
  "valid":true,"bestpath":{"overall":true},"nexthops":[{"ip":"10.1.0.4","afi":"ipv4"}],"peer":{"peerId":"10.1.0.4"}}]}
}}
"""
ADVERTISED = """
{"bgpTableVersion":3,"bgpLocalRouterId":"10.1.255.4","defaultLocPrf":100,"localAS":65515,"advertisedRoutes": {
"10.1.0.0/16":{"prefix":"10.1.0.0/16","version":1,"advertisedTo":{"100.65.0.1":{"hostname":"circuit1"}},"paths":[
 {"aspath":{"string":"Local","segments":[],"length":0},"origin":"IGP","metric":0,"weight":32768,"valid":true,
  "sourced":true,"local":true,"bestpath":{"overall":true,"selectionReason":"First path received"},
  "nexthops":[{"ip":"0.0.0.0","hostname":"ergw-0","afi":"ipv4","metric":0,"accessible":true,"used":true}],
  "peer":{"peerId":"0.0.0.0","routerId":"10.1.255.4"}}]},
"10.250.0.0/16":{"prefix":"10.250.0.0/16","version":3,"paths":[
 {"aspath":{"string":"65001 65011","segments":[{"type":"as-sequence","list":[65001,65011]}],"length":2},
  "origin":"IGP","nexthops":[{"ip":"0.0.0.0","afi":"ipv4"}],"peer":{"peerId":"10.1.0.5"}},
 {"aspath":{"string":"65001 {65010,65012}","segments":[{"type":"as-sequence","list":[65001]},
   {"type":"as-set","list":[65010,65012]}],"length":2},
  "origin":"incomplete","bestpath":{"overall":true},"nexthops":[{"ip":"10.1.1.4","afi":"ipv4"}],
  "peer":{"peerId":"10.1.0.4"}}]}},
"totalPrefixCounter":2,"filteredPrefixCounter":0}
"""


def test_the_whole_table() -> None:
    query = tables.table()
    assert query.lines == ("show bgp ipv4 unicast summary json", "show bgp ipv4 unicast detail json")
    table = query.read(SUMMARY + DETAIL)
    assert table.states == {addr("10.1.0.4"): "Established", addr("10.1.0.5"): "Active"}
    assert (table.is_established(addr("10.1.0.4")), table.is_established(addr("10.1.0.5"))) == (True, False)
    assert not table.is_established(addr("10.1.0.6"))
    far, near = table.paths
    relayed = PathAttributes(
        addr("10.1.0.5"),
        (65515, frozenset({65010, 65012})),
        Origin.INCOMPLETE,
        communities=(*sorted((NO_EXPORT, (65517, 65517))),),
    )
    assert far == BgpPath(net("10.250.0.0/16"), addr("10.1.0.5"), relayed, best=False)
    assert (far.as_path, near.as_path) == ((65515, 65010, 65012), (65515,))
    assert table.loc_rib == {net("10.250.0.0/16")}
    assert table.adj_rib_in(addr("10.1.0.5")) == {net("10.250.0.0/16"): relayed}
    assert table.adj_rib_in(addr("10.1.0.6")) == {}


INTERNAL = """
{"routes":{"10.199.1.0/24":[
 {"aspath":{"string":"Local","segments":[],"length":0},"origin":"IGP","metric":0,"locPrf":120,"valid":true,
  "bestpath":{"overall":true},"originatorId":"10.56.0.6","clusterList":{"list":["10.56.0.4","10.56.0.5"]},
  "nexthops":[{"ip":"10.56.0.6","afi":"ipv4"}],
  "peer":{"peerId":"10.56.0.4","routerId":"10.56.0.4","hostname":"relay","type":"internal"}}],
"10.199.6.0/24":[
 {"aspath":{"string":"63411","segments":[{"type":"as-sequence","list":[63411]}],"length":1},"origin":"IGP","metric":0,
  "locPrf":100,"valid":true,"bestpath":{"overall":true},"nexthops":[{"ip":"10.56.0.10","afi":"ipv4"}],
  "peer":{"peerId":"10.56.0.4","routerId":"10.56.0.4","type":"internal"}}]}}
"""


def test_paths_of_internal_neighbours_have_what_reflectors_add() -> None:
    reflected, external = tables.table().read(SUMMARY + INTERNAL).paths
    clusters = (addr("10.56.0.4"), addr("10.56.0.5"))
    assert reflected.attributes == InternalAttributes(
        addr("10.56.0.6"), med=0, local_pref=120, originator_id=addr("10.56.0.6"), cluster_list=clusters
    )
    assert external.attributes == InternalAttributes(addr("10.56.0.10"), (63411,), med=0)


def test_what_is_not_a_table_is_refused() -> None:
    with pytest.raises(ValueError, match="Expecting value"):
        tables.table().read("% Unknown command")


def test_the_paths_for_a_prefix_begin_with_the_best() -> None:
    document = json.dumps(json.loads(DETAIL)["routes"]["10.250.0.0/16"])
    best, other = tables.paths("10.250.0.0/16").read(document)
    assert (best.neighbour, best.rejected) == (addr("10.1.0.4"), "")
    assert (other.neighbour, other.rejected) == (addr("10.1.0.5"), "its AS path is longer")
    (own,) = tables.paths("10.9.0.0/16").read(json.dumps(json.loads(DETAIL)["routes"]["10.9.0.0/16"]))
    assert (own.neighbour, own.attributes.as_path) == (LOCAL, ())
    assert tables.paths("10.7.0.0/16").read("{}") == tables.paths("10.7.0.0/16").read("") == ()


def test_the_adj_rib_out() -> None:
    assert tables.adj_rib_out("10.1.0.4").read(ADVERTISED) == (
        AdvertisedPath(net("10.1.0.0/16"), (), None, Origin.IGP),
        AdvertisedPath(
            net("10.250.0.0/16"), (65001, frozenset({65010, 65012})), IPv4Address("10.1.1.4"), Origin.INCOMPLETE
        ),
    )
    assert tables.adj_rib_out("10.1.0.9").read('{"bgpNoSuchNeighbor":true}') == ()


def test_the_neighbours() -> None:
    first, second = tables.neighbours().read(SUMMARY)
    assert first == BgpNeighbour(addr("10.1.0.4"), 65515, "Established", 15.0, 4, 5, 1)
    assert (second.state, second.routes) == ("Active", 0)
    assert tables.neighbours().read("{}") == ()


def test_whether_a_peer_has_paths() -> None:
    routes = {"10.2.0.0/16": [{"peerId": "10.1.0.4"}, {"peerId": "100.65.0.1"}], "10.3.0.0/16": [{}]}
    output = json.dumps({"routes": routes})
    assert has_paths_of(output, {"10.1.0.4"})
    assert not has_paths_of(output, {"10.1.0.5"})
    assert not has_paths_of("{}", {"10.1.0.4"})


def frr(length: int, **more: Any) -> dict[str, Any]:
    hop = {"ip": "10.1.0.4", "afi": "ipv4"}
    return {"valid": True, "aspath": {"length": length}, "origin": "IGP", "nexthops": [hop], **more}


BEST = {"overall": True, "selectionReason": "Neighbor IP"}


@pytest.mark.parametrize(
    ("path", "because"),
    [
        (frr(2, multipath=True), ""),
        (frr(1, valid=False), "its next hop can't be reached"),
        (frr(1), "its weight is lower"),
        (frr(1, weight=9, locPrf=50), "its local preference is lower"),
        (frr(3, weight=9), "its AS path is longer"),
        (frr(2, weight=9), "FRR decides by Neighbor IP"),
    ],
)
def test_why_frr_does_not_use_a_path(path: dict[str, Any], because: str) -> None:
    best = frr(2, bestpath=BEST, weight=9)
    first, other = tables.paths("10.2.0.0/16").read(json.dumps({"paths": [path, best]}))
    assert (first.best, first.rejected) == (True, "")
    assert (other.best, other.rejected) == (False, because)
