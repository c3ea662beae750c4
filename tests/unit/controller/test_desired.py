"""What an operator may change of a route server, and what is kept of it."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest

from labkit.azure.model import HubRoutingPreference, RouteServer
from labkit.controller import desired
from labkit.controller.desired import ServerSettings, parse_settings
from labkit.errors import InvalidInput
from labkit.lab.load import load
from labkit.resources import topologies

SERVER = RouteServer("rs1", "hub", (IPv4Address("10.1.0.4"), IPv4Address("10.1.0.5")))
AS_PATH = HubRoutingPreference("ASPath")


@pytest.mark.parametrize(
    ("said", "settings"),
    [
        ({"allowBranchToBranchTraffic": True}, ServerSettings(True, SERVER.hub_routing_preference)),
        ({"hubRoutingPreference": "ASPath"}, ServerSettings(False, AS_PATH)),
        (
            {"allowBranchToBranchTraffic": False, "hubRoutingPreference": "VpnGateway"},
            ServerSettings(False, HubRoutingPreference("VpnGateway")),
        ),
    ],
)
def test_what_is_not_said_stays(said: dict[str, object], settings: ServerSettings) -> None:
    assert parse_settings(SERVER, said) == settings


@pytest.mark.parametrize(
    ("said", "text"),
    [
        ({}, "no settings of a route server"),
        ([], "no settings of a route server"),
        (None, "no settings of a route server"),
        ({"branchToBranch": True}, "no settings of a route server"),
        ({"allowBranchToBranchTraffic": "on"}, "either on or off"),
        ({"allowBranchToBranchTraffic": 1}, "either on or off"),
        ({"hubRoutingPreference": "expressroute"}, "expressroute is no hub routing preference"),
        ({"hubRoutingPreference": None}, "None is no hub routing preference"),
        ({"hubRoutingPreference": ["ASPath"]}, "is no hub routing preference"),
    ],
)
def test_what_can_t_be_is_refused(said: Any, text: str) -> None:
    with pytest.raises(InvalidInput, match=text):
        parse_settings(SERVER, said)


def test_changes_in_words() -> None:
    assert list(desired.changes(SERVER, SERVER)) == []
    other = replace(SERVER, branch_to_branch=True, hub_routing_preference=AS_PATH)
    assert list(desired.changes(SERVER, other)) == ["branch-to-branch on", "hub routing preference ASPath"]
    assert list(desired.changes(other, replace(other, branch_to_branch=False))) == ["branch-to-branch off"]


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    file = tmp_path / "desired.json"
    assert desired.load(file) == desired.Kept()
    azure = load(topologies() / "expressroute" / "lab.yml").azure
    desired.save(file, desired.kept(azure))
    assert desired.load(file) == desired.kept(azure)
    assert desired.load(file).route_servers["rs1"].branch_to_branch is False
