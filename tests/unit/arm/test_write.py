"""Labs as ARM resources."""

from __future__ import annotations

from pathlib import Path

import pytest

from labkit.arm.resource import Bag
from labkit.arm.shape import as_arm, as_az, resources_of
from labkit.arm.write.bag import bag_of
from labkit.lab.load import load

TOPOLOGIES = Path(__file__).parents[3] / "topologies"
LABS = sorted(path.parent.name for path in TOPOLOGIES.glob("*/lab.yml"))


def bag(lab: str) -> Bag:
    return bag_of(load(TOPOLOGIES / lab / "lab.yml").azure, lab)


@pytest.mark.parametrize("lab", LABS)
def test_what_az_and_arm_show_of_a_lab_is_the_lab(lab: str) -> None:
    """But for the children of hubs, of which they show the ids, every resource is in the JSON of those on top."""
    whole = bag(lab)
    for show in (as_arm, as_az):
        shown = [show(whole, resource) for resource in whole.values() if "virtualHubs/" not in resource.id.type]
        found = Bag(each for body in shown for each in resources_of(body, "x.json"))
        assert found.keys() == {id_ for id_ in whole if "virtualHubs/" not in id_.type}
        for id_, resource in found.items():
            written = whole[id_].properties
            assert {key: resource.properties[key] for key in written} == written
            assert (resource.location, resource.extra) == (whole[id_].location, whole[id_].extra)


def test_a_route_server_as_az_shows_it() -> None:
    whole = bag("overview")
    (server,) = whole.of_type("Microsoft.Network/virtualHubs")
    shown = as_az(whole, server)
    assert {key: shown[key] for key in ("name", "sku", "virtualRouterAsn", "allowBranchToBranchTraffic")} == {
        "name": "rs1",
        "sku": "Standard",
        "virtualRouterAsn": 65515,
        "allowBranchToBranchTraffic": False,
    }
    peers = whole.children_of(server.id, "bgpConnections")
    assert [(peer.id.name, peer.properties["peerAsn"]) for peer in peers] == [
        ("sdwan-nva", 65001),
        ("security-nva", 65002),
    ]


def test_virtual_networks_with_a_global_peering_are_in_two_regions() -> None:
    networks = bag("dual-homed-expressroute").of_type("Microsoft.Network/virtualNetworks")
    regions = {network.id.name: network.location for network in networks}
    assert regions["vnet0"] == regions["vnet2"] != regions["vnet1"]
