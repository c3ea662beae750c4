from typing import Any

import pytest

from labkit.agent.feed_table import FeedTable, Hop, prefix_bytes, prefix_text
from labkit.azure.model import ON_LINK, NextHopType
from labkit.feed.codec import from_json
from labkit.feed.tables import VIA, ForwardingTable, TableDelta

TABLE = {
    "groups": {"1": {"type": "VirtualAppliance", "next_hops": ["10.1.1.4"]}, "2": {"type": "None", "next_hops": []}},
    "routes": {"10.250.0.0/16": 1, "0.0.0.0/0": 2},
}
BRANCH = prefix_bytes("10.250.0.0/16")
NOTHING: dict[str, Any] = {"groups": {}, "routes": {}, "removed_routes": [], "removed_groups": []}


def test_knows_every_next_hop_type() -> None:
    assert ON_LINK | VIA | {NextHopType.INTERNET, NextHopType.NONE} == set(NextHopType)


def test_prefix_there_and_back() -> None:
    assert bytes([10, 250, 0, 0, 16]) == BRANCH
    for text in ("0.0.0.0/0", "10.250.0.0/16", "203.0.113.255/32"):
        assert prefix_text(prefix_bytes(text)) == text


@pytest.mark.parametrize("text", ["", "10.0.0.0", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/08", "ten/8", "::/0"])
def test_what_is_no_prefix(text: str) -> None:
    with pytest.raises(ValueError, match="is no IPv4 prefix"):
        prefix_bytes(text)


def test_snapshot() -> None:
    table = FeedTable.of(from_json(ForwardingTable, TABLE))
    assert table.groups == {1: Hop(NextHopType.VIRTUAL_APPLIANCE, (bytes([10, 1, 1, 4]),)), 2: Hop(NextHopType.NONE)}
    assert table.routes == {BRANCH: 1, bytes(5): 2}


def test_delta_has_what_was_before() -> None:
    table = FeedTable.of(from_json(ForwardingTable, TABLE))
    group = {"type": "VirtualAppliance", "next_hops": ["10.1.1.5", "10.1.1.6", "10.1.1.5"]}
    delta = {
        "groups": {"3": group},
        "routes": {"10.250.0.0/16": 3, "10.9.0.0/16": 3},
        "removed_routes": ["0.0.0.0/0", "10.8.0.0/16"],
        "removed_groups": [1, 2],
    }
    before = table.apply(from_json(TableDelta, delta))
    assert before == {BRANCH: 1, prefix_bytes("10.9.0.0/16"): None, bytes(5): 2, prefix_bytes("10.8.0.0/16"): None}
    assert table.routes == {BRANCH: 3, prefix_bytes("10.9.0.0/16"): 3}
    assert table.groups == {3: Hop(NextHopType.VIRTUAL_APPLIANCE, (bytes([10, 1, 1, 5]), bytes([10, 1, 1, 6])))}


@pytest.mark.parametrize(
    ("delta", "words"),
    [
        ({"routes": {"10.9.0.0/16": 7}}, "unknown groups"),
        ({"removed_groups": [1]}, "unknown groups"),
        ({"groups": {"2": {"type": "Moon", "next_hops": []}}}, "groups.2.type: expected one of"),
        ({"groups": {"2": {"type": "Internet", "next_hops": ["10.1.1.4"]}}}, "with next hops"),
        ({"groups": {"2": {"type": "VirtualAppliance", "next_hops": []}}}, "with next hops"),
        (
            {"groups": {"2": {"type": "VirtualAppliance", "next_hops": ["10.1"]}}},
            "groups.2.next_hops.0: expected an IPv4 address",
        ),
        ({"routes": {"10.9.0.0/16": 1}, "removed_routes": ["nonsense"]}, "is no IPv4 prefix"),
    ],
)
def test_a_bad_delta_changes_nothing(delta: dict[str, Any], words: str) -> None:
    table = FeedTable.of(from_json(ForwardingTable, TABLE))
    with pytest.raises(ValueError, match=words):
        table.apply(from_json(TableDelta, NOTHING | delta))
    assert table == FeedTable.of(from_json(ForwardingTable, TABLE))
