"""Changes name objects in any case, or by their handles; what is made of them has the names of the model."""

from __future__ import annotations

from dataclasses import fields
from ipaddress import IPv4Address, IPv4Network

import pytest

from labkit.azure.changes.base import Change
from labkit.azure.changes.names import _KNOWN, as_known
from labkit.azure.changes.nics import SetIpForwarding
from labkit.azure.changes.outcome import carry_out
from labkit.azure.changes.registry import CHANGES
from labkit.azure.changes.route_servers import DeletePeer, PutPeer, SetRouteServerSettings
from labkit.azure.changes.route_tables import AssociateRouteTable, PutRouteTable
from labkit.azure.changes.virtual_networks import PutPeering
from labkit.azure.model import Azure, BgpPeer, Nic, RouteServer, RouteTable, Subnet, VirtualNetwork
from labkit.names import handle

HUB, SPOKE = "VNet_Hub.Prod", "vnet_spoke.prod"
FW = "NVA_Firewall.Prod-01"
ADDRESS = IPv4Address("10.1.1.4")
AZURE = Azure(
    (
        VirtualNetwork(HUB, (IPv4Network("10.1.0.0/16"),), (Subnet("Snet.Work_", IPv4Network("10.1.1.0/24")),)),
        VirtualNetwork(SPOKE, (IPv4Network("10.2.0.0/16"),)),
    ),
    route_tables=(RouteTable("RT.Work"),),
    nics=(Nic(FW, FW, "eth0", HUB, "Snet.Work_", ADDRESS, "00:0d:3a:00:00:01"),),
    route_servers=(
        RouteServer("RS_Hub", HUB, (IPv4Address("10.1.0.4"), IPv4Address("10.1.0.5")), (BgpPeer(FW, 65001, ADDRESS),)),
    ),
)


@pytest.mark.parametrize(
    ("change", "known"),
    [
        (SetRouteServerSettings("rs_hub", True), SetRouteServerSettings("RS_Hub", True)),
        (SetRouteServerSettings(handle("RS_Hub"), True), SetRouteServerSettings("RS_Hub", True)),
        (DeletePeer("RS_HUB", handle(FW)), DeletePeer("RS_Hub", FW)),
        (PutPeer("rs_hub", "Other", 65002, ADDRESS), PutPeer("RS_Hub", "Other", 65002, ADDRESS)),
        (PutPeering(HUB.lower(), handle(SPOKE)), PutPeering(HUB, SPOKE)),
        (AssociateRouteTable(HUB.upper(), "snet.work_", "rt.WORK"), AssociateRouteTable(HUB, "Snet.Work_", "RT.Work")),
        (AssociateRouteTable("nowhere", "snet.work_", "rt.x"), AssociateRouteTable("nowhere", "snet.work_", "rt.x")),
        (PutRouteTable("rt.work", True), PutRouteTable("RT.Work", True)),
        # A route table has no node, and so no handle that could be meant.
        (PutRouteTable(handle("RT.Work")), PutRouteTable(handle("RT.Work"))),
        (SetIpForwarding(FW.swapcase(), True), SetIpForwarding(FW, True)),
    ],
    ids=lambda each: type(each).__name__ if isinstance(each, Change) else "",
)
def test_names_are_the_models(change: Change, known: Change) -> None:
    assert as_known(change, AZURE) == known


def test_what_is_carried_out_is_of_the_object_that_is_meant() -> None:
    outcome = carry_out(AZURE, [PutRouteTable("rt.work", True), SetIpForwarding(handle(FW), True)])
    assert [each.title for each in outcome.done] == [
        "RT.Work: BGP propagation on → off",
        f"{FW}: IP forwarding off → on",
    ]
    assert [table.name for table in outcome.azure.route_tables] == ["RT.Work"]


def test_every_name_in_a_change_is_one_of_these() -> None:
    """The names in a new kind of change must be found by these, too."""
    texts = {field.name for change in CHANGES for field in fields(change) if field.type == "str"}  # type: ignore[arg-type]
    assert texts <= _KNOWN.keys()
