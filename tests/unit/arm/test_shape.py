"""Ids, and resources from both shapes of JSON and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.arm.ids import ResourceId
from labkit.arm.resource import Bag, Json, Resource
from labkit.arm.shape import UnknownType, as_arm, as_az, resources_of
from labkit.errors import InvalidInput

GROUP = "/subscriptions/0000/resourceGroups/rg"
NETWORK = f"{GROUP}/providers/Microsoft.Network"

RAW: dict[str, Json] = {
    "id": f"{NETWORK}/virtualNetworks/hub",
    "name": "hub",
    "type": "Microsoft.Network/virtualNetworks",
    "location": "westeurope",
    "etag": 'W/"1"',
    "tags": {"properties": "kept"},
    "properties": {
        "addressSpace": {"addressPrefixes": ["10.1.0.0/16"], "ipamPoolPrefixAllocations": None},
        "subnets": [
            {
                "name": "app",
                "properties": {"addressPrefix": "10.1.1.0/24", "routeTable": {"id": f"{NETWORK}/routeTables/t"}},
            }
        ],
        "virtualNetworkPeerings": [],
    },
}
FLAT: dict[str, Json] = {
    "id": f"{NETWORK}/virtualNetworks/hub",
    "name": "hub",
    "type": "Microsoft.Network/virtualNetworks",
    "location": "westeurope",
    "etag": 'W/"1"',
    "tags": {"properties": "kept"},
    "resourceGroup": "rg",
    "addressSpace": {"addressPrefixes": ["10.1.0.0/16"]},
    "ddosProtectionPlan": None,
    "subnets": [
        {
            "id": f"{NETWORK}/virtualNetworks/hub/subnets/app",
            "name": "app",
            "resourceGroup": "rg",
            "addressPrefix": "10.1.1.0/24",
            "routeTable": {"id": f"{NETWORK}/routeTables/t", "resourceGroup": "rg"},
            "delegations": [],
        }
    ],
    "virtualNetworkPeerings": None,
}


def test_an_id_reads_and_writes() -> None:
    text = f"{NETWORK}/virtualNetworks/hub/subnets/app"
    subnet = ResourceId.parse(text)
    assert (subnet.subscription, subnet.group, subnet.names) == ("0000", "rg", ("hub", "app"))
    assert str(subnet) == text
    assert subnet.parent == ResourceId.parse(f"{NETWORK}/virtualNetworks/hub")
    assert subnet.parent is not None
    assert subnet.parent.parent is None
    assert subnet.parent.child("subnets", "app") == subnet


def test_ids_ignore_case_and_known_types_have_azures_spelling() -> None:
    upper = ResourceId.parse(f"{NETWORK}/VIRTUALNETWORKS/Hub".replace("resourceGroups", "resourcegroups"))
    assert upper == ResourceId.parse(f"{NETWORK}/virtualNetworks/hub")
    assert len({upper, ResourceId.parse(f"{NETWORK}/virtualNetworks/hub")}) == 1
    assert upper.type == "Microsoft.Network/virtualNetworks"


@pytest.mark.parametrize(
    "text", ["", "/", "hub", GROUP, f"{NETWORK}/virtualNetworks", f"{NETWORK}/virtualNetworks/hub/subnets"]
)
def test_what_is_no_id_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="is not a resource id"):
        ResourceId.parse(text)


def test_both_shapes_give_the_same_resources() -> None:
    raw, flat = resources_of(RAW, "x.json"), resources_of(FLAT, "x.json")
    assert raw[0] == flat[0]
    assert raw[0].properties == {"addressSpace": {"addressPrefixes": ["10.1.0.0/16"]}}
    assert raw[0].tags == {"properties": "kept"}
    assert [str(r.id) for r in raw] == [str(r.id) for r in flat]
    assert raw[1].properties == {
        "addressPrefix": "10.1.1.0/24",
        "routeTable": {"id": f"{NETWORK}/routeTables/t"},
    }
    assert flat[1].properties == {**raw[1].properties, "delegations": []}


def test_children_are_shown_in_their_parents() -> None:
    bag = Bag(resources_of(RAW, "x.json"))
    hub = bag.of_type("Microsoft.Network/virtualNetworks")[0]
    body = as_arm(bag, hub)
    assert Bag(resources_of(body, "x.json")).keys() == bag.keys()
    flat = as_az(bag, hub)
    assert flat["resourceGroup"] == "rg"
    assert flat["addressSpace"] == {"addressPrefixes": ["10.1.0.0/16"]}
    assert isinstance(flat["subnets"], list)
    assert isinstance(flat["subnets"][0], dict)
    assert flat["subnets"][0]["addressPrefix"] == "10.1.1.0/24"


def test_a_hub_shows_the_ids_of_its_children_and_an_update_with_them_has_none() -> None:
    hub = ResourceId.parse(f"{NETWORK}/virtualHubs/rs1")
    peer = Resource(hub.child("bgpConnections", "nva"), properties={"peerIp": "10.1.1.4", "peerAsn": 65001})
    bag = Bag([Resource(hub, "westeurope"), peer])
    body = as_arm(bag, bag[hub])
    assert isinstance(body["properties"], dict)
    assert body["properties"]["bgpConnections"] == [{"id": str(peer.id)}]
    assert [r.id for r in resources_of(body, "x.json")] == [hub]


def test_spellings_of_older_clients() -> None:
    nic: Json = {
        "id": f"{NETWORK}/networkInterfaces/vm1",
        "enableIpForwarding": True,
        "ipConfigurations": [{"name": "a", "privateIpAddress": "10.1.1.4", "subnet": {"id": "s"}}],
    }
    assert resources_of(nic, "x.json")[0].properties == {
        "enableIPForwarding": True,
        "ipConfigurations": [{"name": "a", "properties": {"privateIPAddress": "10.1.1.4", "subnet": {"id": "s"}}}],
    }


def test_an_unknown_type_is_refused_by_its_name() -> None:
    with pytest.raises(UnknownType, match=r"x\.json: .*Microsoft\.Network/virtualWans"):
        resources_of({"id": f"{NETWORK}/virtualWans/w"}, "x.json")


def test_a_bag_keeps_children_when_their_parent_is_replaced_and_loses_them_with_it() -> None:
    bag = Bag(resources_of(RAW, "x.json"))
    hub = ResourceId.parse(f"{NETWORK}/virtualNetworks/HUB")
    assert len(bag.with_(Resource(hub)).children_of(hub, "subnets")) == 1
    assert len(bag.without(hub)) == 0
    assert len(bag.without(hub.child("subnets", "APP"))) == 1


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from([*RAW, *FLAT, "x", "ipConfigurations"]), inner),
    max_leaves=15,
)


@given(JSON, st.sampled_from(["virtualNetworks/v", "networkInterfaces/n", "virtualHubs/h", "expressRouteCircuits/c"]))
def test_any_json_is_taken_in_or_refused_with_its_place(body: Json, path: str) -> None:
    try:
        found = resources_of(body, "x.json", ResourceId.parse(f"{NETWORK}/{path}"))
    except InvalidInput as error:
        assert "x.json" in error.message or "resource id" in error.message  # noqa: PT017
    else:
        for resource in found:
            as_az(Bag(found), resource)
