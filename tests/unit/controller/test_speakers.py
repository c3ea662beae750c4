"""The configurations that instances receive."""

from __future__ import annotations

from labkit.azure.model import InstanceId
from labkit.controller.platform import Platform
from labkit.controller.speakers import instance_config
from labkit.lab.load import load
from labkit.resources import topologies

LAB = load(topologies() / "expressroute" / "lab.yml")


def test_gateways_may_come_before_branch_to_branch_lets_them() -> None:
    """Whoever is not expected is refused until ExaBGP has read its file again; the setting changes at run time."""
    assert not LAB.azure.route_server["rs1"].branch_to_branch
    config = instance_config(Platform(LAB), InstanceId("rs1", 0))
    assert [peer.name for peer in config.neighbours] == ["sdwan-nva", "ergw-0", "ergw-1"]
    assert [peer.name for peer in config.server.peers] == ["sdwan-nva"]
