"""Messages become values; nonsense is refused with a reason, and changes nothing."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from labkit.azure.model import NextHopType
from labkit.fabric.prefixes import parse_prefix
from labkit.fabric.state import Fabric
from labkit.feed.switch import PeeringPort
from labkit.feed.tables import NextHops

from .wire import follow

SNAPSHOT: dict[str, Any] = {
    "seq": 1,
    "type": "snapshot",
    "mac": "12:34:56:78:9a:bc",
    "seed": 7,
    "ports": {
        "vm1": {
            "type": "nic",
            "mac": "00:0d:3a:00:00:01",
            "address": "10.1.0.4",
            "ip_forwarding": False,
            "table": "t1",
        },
        "internet": {"type": "internet", "mac": "00:0d:3a:00:00:99"},
        "hub2": {"type": "peering", "neighbours": [["10.2.0.4", "00:0d:3a:00:00:02"]]},
    },
    "tables": {
        "t1": {
            "groups": {
                "1": {"type": "VnetLocal", "next_hops": []},
                "2": {"type": "VirtualAppliance", "next_hops": ["10.1.0.9"]},
            },
            "routes": {"10.1.0.0/16": 1, "0.0.0.0/0": 2},
        }
    },
}


def fabric() -> Fabric:
    return follow(None, SNAPSHOT)


def test_a_snapshot_is_read() -> None:
    read = fabric()
    assert read.reachable == {"10.1.0.4": "00:0d:3a:00:00:01", "10.2.0.4": "00:0d:3a:00:00:02"}
    assert read.nics == {"10.1.0.4": "00:0d:3a:00:00:01"}
    assert read.internet == "00:0d:3a:00:00:99"
    assert read.forwarding == {
        "00:0d:3a:00:00:01": "vm1",
        "00:0d:3a:00:00:02": "hub2",
        "00:0d:3a:00:00:99": "internet",
    }


def test_a_load_balancer_may_have_the_longest_name_of_azure() -> None:
    message = copy.deepcopy(SNAPSHOT)
    name = f"lbi_{'x' * 75}_"
    message["load_balancers"] = {name: {"address": "10.1.1.100", "backends": {}}}
    assert [*follow(None, message).load_balancers] == [name]


def test_what_is_beyond_a_nic_is_reached_by_it() -> None:
    message = copy.deepcopy(SNAPSHOT)
    message["ports"]["vm1"]["beyond"] = ["100.65.0.1"]
    assert follow(None, message).reachable["100.65.0.1"] == "00:0d:3a:00:00:01"


def test_a_delta_changes_what_it_names() -> None:
    before = fabric()
    after = follow(
        before,
        {
            "type": "delta",
            "ports": {"internet": None, "hub2": {"type": "peering", "neighbours": []}},
            "tables": {
                "t1": {
                    "groups": {"3": {"type": "None", "next_hops": []}},
                    "routes": {"10.9.0.0/16": 3},
                    "removed_routes": ["0.0.0.0/0"],
                    "removed_groups": [2],
                }
            },
            "new_tables": {"t2": {"groups": {}, "routes": {}}},
        },
    )
    assert after.ports.keys() == {"vm1", "hub2"}
    assert after.ports["hub2"] == PeeringPort(())
    assert after.tables["t1"].groups == {1: NextHops(NextHopType.VNET_LOCAL), 3: NextHops(NextHopType.NONE)}
    assert after.tables["t1"].routes == {parse_prefix("10.1.0.0/16"): 1, parse_prefix("10.9.0.0/16"): 3}
    assert after.tables["t2"].routes == {}
    assert before.tables["t1"].routes == fabric().tables["t1"].routes


def test_a_failover_does_not_flatten_the_table_again() -> None:
    before = fabric()
    flat = before.tables["t1"].intervals
    delta = {"groups": {"2": {"type": "VirtualAppliance", "next_hops": ["10.1.0.4"]}}, "routes": {}}
    after = follow(before, {"type": "delta", "ports": {}, "tables": {"t1": delta}})
    assert after.tables["t1"].intervals is flat
    assert str(after.tables["t1"].groups[2]) == "VirtualAppliance 10.1.0.4"


def test_a_local_nic_wins_over_a_peered_one() -> None:
    message = copy.deepcopy(SNAPSHOT)
    message["ports"]["hub2"]["neighbours"] = [["10.1.0.4", "00:0d:3a:00:00:77"]]
    assert follow(None, message).reachable["10.1.0.4"] == "00:0d:3a:00:00:01"


BREAKAGES = [
    (("mac",), "12-34", "MAC"),
    (("ports", "vm1", "mac"), "00:0D:3A:00:00:01", "MAC"),
    (("ports", "vm1", "address"), "10.1", "IPv4 address"),
    (("ports", "vm1", "beyond"), ["10.1"], "IPv4 address"),
    (("ports", "hub2", "sources"), ["10.2.0.1/16"], "host bits"),
    (("ports", "vm1", "table"), "t9", "does not exist"),
    (("ports", "vm1", "type"), "tap", "ports.vm1.type: expected one of nic, internet, peering"),
    (("ports", "a-name-of-16-char"), {"type": "peering", "neighbours": []}, "too long"),
    (("ports", 'x"; drop'), {"type": "peering", "neighbours": []}, "identifier"),
    (("tables", "t1", "routes", "10.0.0.1/8"), 1, "host bits"),
    (("tables", "t1", "routes", "10.0.0.0/8"), 9, "groups that do not exist"),
    (("tables", "t1", "groups", "1", "type"), "Teleport", "tables.t1.groups.1.type: expected one of"),
    (("tables", "t1", "groups", "1", "next_hops"), ["10.1.0.4"], "with next hops"),
    (("tables", "t1", "groups", "2", "next_hops"), [], "with next hops"),
    (("tables",), None, "tables: expected an object"),
    (("type",), "greeting", "type: expected one of snapshot, delta"),
]


@pytest.mark.parametrize(("path", "value", "reason"), BREAKAGES)
def test_nonsense_is_refused(path: tuple[str, ...], value: object, reason: str) -> None:
    message = copy.deepcopy(SNAPSHOT)
    place = message
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(ValueError, match=reason):
        follow(None, message)


def test_a_delta_needs_a_snapshot_first() -> None:
    with pytest.raises(ValueError, match="a delta where a snapshot is due"):
        follow(None, {"type": "delta", "ports": {}, "tables": {}})


def test_a_delta_of_an_unknown_table_is_refused() -> None:
    with pytest.raises(ValueError, match="there is no table 't7'"):
        follow(fabric(), {"type": "delta", "ports": {}, "tables": {"t7": {"groups": {}, "routes": {}}}})
