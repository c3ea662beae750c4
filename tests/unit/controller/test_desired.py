"""What operators make of a lab survives the controller."""

from __future__ import annotations

from pathlib import Path

from labkit.controller import desired, requests
from labkit.lab.file.load import load
from labkit.resources import topologies


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    file = tmp_path / "desired.json"
    assert desired.load(file) is None
    azure = load(topologies() / "expressroute" / "lab.yml").azure
    server = azure.route_server["rs1"]
    after = requests.server_settings(azure, server, {"allowBranchToBranchTraffic": True}).azure
    desired.save(file, after)
    assert desired.load(file) == after
