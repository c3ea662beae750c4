"""When a deleted route server's nodes have no part in their virtual network any more."""

from __future__ import annotations

from labkit.azure.changes.route_servers import DeleteRouteServer
from labkit.azure.model import InstanceId
from labkit.controller.platform import Platform
from labkit.lab.load import read
from labkit.lab.running import carry_out
from labkit.resources import topologies

LAB = read(topologies() / "overview" / "lab.yml").lab
HERE, OFF = InstanceId("rs1", 0), InstanceId("rs1", 1)


def test_an_instance_stays_until_its_sessions_are_closed_and_one_that_is_off_does_not() -> None:
    platform = Platform(LAB)
    platform.came_up(HERE)
    assert platform.gone == frozenset()
    platform.azure = carry_out(LAB, LAB.azure, [DeleteRouteServer("rs1")]).azure
    assert platform.gone == {OFF.node}
    platform.alone.add(HERE)
    assert platform.gone == {HERE.node, OFF.node}


def test_an_instance_that_ends_before_its_sessions_are_closed() -> None:
    platform = Platform(LAB)
    platform.came_up(HERE)
    platform.azure = carry_out(LAB, LAB.azure, [DeleteRouteServer("rs1")]).azure
    platform.went_down(HERE)
    assert platform.gone == {HERE.node, OFF.node}
