"""Changes as values: their JSON, that a Put made twice is one, and a difference leads from model to model."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from ipaddress import IPv4Network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.azure.changes.base import UNCHANGED, Change
from labkit.azure.changes.difference import difference
from labkit.azure.changes.gateways import CreateGateway
from labkit.azure.changes.nics import SetIpForwarding
from labkit.azure.changes.registry import CHANGES, from_json, to_json
from labkit.azure.changes.route_servers import CreateRouteServer, PutPeer, SetRouteServerSettings
from labkit.azure.changes.route_tables import PutRoute
from labkit.azure.changes.virtual_networks import SetAddressSpace, SyncPeering
from labkit.azure.model import (
    Azure,
    BgpPeer,
    HubRoutingPreference,
    NextHopType,
    Peering,
    RouteServer,
    RouteTable,
    UserRoute,
)
from labkit.errors import InvalidInput
from tests.unit.azure.builders import addr, azure, net, network, nic

NAMES = st.sampled_from(("a", "b", "c"))
PREFIXES = st.sampled_from(("10.9.0.0/16", "10.8.0.0/16", "0.0.0.0/0")).map(IPv4Network)
ADDRESSES = st.ip_addresses(v=4)

st.register_type_strategy(PutPeer, st.builds(PutPeer, peer_asn=st.integers(1, (1 << 32) - 1)))
st.register_type_strategy(IPv4Network, PREFIXES)
st.register_type_strategy(SetAddressSpace, st.builds(SetAddressSpace, NAMES, st.lists(PREFIXES, min_size=1).map(tuple)))
st.register_type_strategy(
    CreateGateway,
    st.builds(CreateGateway, NAMES, ip_addresses=st.lists(ADDRESSES, min_size=1, max_size=2).map(tuple)),
)
ANY_CHANGE = st.one_of([st.from_type(change) for change in CHANGES])


@given(st.lists(ANY_CHANGE, max_size=4))
def test_json_round_trip(changes: list[Change]) -> None:
    document = json.loads(json.dumps(to_json(changes)))
    assert from_json(document) == tuple(changes)
    for item, change in zip(document, changes, strict=True):
        assert item["change"] == type(change).__name__
        given_fields = [field.name for field in fields(change) if getattr(change, field.name) is not None]  # type: ignore[arg-type]
        assert len(item) == 1 + len(given_fields), "what is left as it is is not in the JSON"


def test_azures_names() -> None:
    """As `az network routeserver`, `vnet` and `route-table` print them."""
    instances = (addr("10.1.0.4"), addr("10.1.0.5"))
    assert to_json(
        [
            SetRouteServerSettings("rs1", True, HubRoutingPreference.AS_PATH),
            CreateRouteServer("rs1", "hub", instances),
            PutPeer("rs1", "nva", 65001, addr("10.1.1.4")),
            SetAddressSpace("hub", (net("10.1.0.0/16"),)),
            SyncPeering("hub", "spoke"),
            SetIpForwarding("nva", True),
            PutRoute("t", net("0.0.0.0/0"), NextHopType.VIRTUAL_APPLIANCE, addr("10.1.1.4")),
        ]
    ) == [
        {
            "change": "SetRouteServerSettings",
            "routeServer": "rs1",
            "allowBranchToBranchTraffic": True,
            "hubRoutingPreference": "ASPath",
        },
        {
            "change": "CreateRouteServer",
            "routeServer": "rs1",
            "virtualNetwork": "hub",
            "virtualRouterIps": ["10.1.0.4", "10.1.0.5"],
        },
        {"change": "PutPeer", "routeServer": "rs1", "name": "nva", "peerAsn": 65001, "peerIp": "10.1.1.4"},
        {"change": "SetAddressSpace", "virtualNetwork": "hub", "addressPrefixes": ["10.1.0.0/16"]},
        {"change": "SyncPeering", "virtualNetwork": "hub", "remoteVirtualNetwork": "spoke"},
        {"change": "SetIpForwarding", "nic": "nva", "enableIPForwarding": True},
        {
            "change": "PutRoute",
            "routeTable": "t",
            "addressPrefix": "0.0.0.0/0",
            "nextHopType": "VirtualAppliance",
            "nextHopIpAddress": "10.1.1.4",
        },
    ]


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({}, "this is not a list of changes."),
        (["DeletePeer"], "change 1: has no valid `change`."),
        ([{"routeServer": "rs1"}], "change 1: has no valid `change`."),
        ([{"change": "Explode"}], "change 1: Explode does not exist."),
        ([{"change": "DeleteRouteServer"}], "change 1: DeleteRouteServer.routeServer: field required."),
        ([{"change": "DeleteRouteServer", "routeServer": 1}], "change 1: DeleteRouteServer.routeServer: "),
        ([{"change": "DeleteRouteServer", "routeServer": "a", "x": 1}], "change 1: DeleteRouteServer.x: "),
        (
            [
                {"change": "DeleteRouteServer", "routeServer": "a"},
                {"change": "SetRouteServerSettings", "routeServer": "a", "allowBranchToBranchTraffic": "on"},
            ],
            "change 2: SetRouteServerSettings.allowBranchToBranchTraffic: ",
        ),
        (
            [{"change": "SetRouteServerSettings", "routeServer": "a", "hubRoutingPreference": "expressroute"}],
            "change 1: SetRouteServerSettings.hubRoutingPreference: ",
        ),
        *(
            ([{"change": "PutPeer", "routeServer": "a", "name": "b", "peerIp": ip, "peerAsn": asn}], message)
            for ip, asn, message in (
                ("10.1.1", 65001, "change 1: PutPeer.peerIp: "),
                (7, 65001, "change 1: PutPeer.peerIp: "),
                ("10.1.1.4", "65001", "change 1: PutPeer.peerAsn: "),
                ("10.1.1.4", True, "change 1: PutPeer.peerAsn: "),
                ("10.1.1.4", 0, "change 1: PutPeer.peerAsn: "),
                ("10.1.1.4", 1 << 32, "change 1: PutPeer.peerAsn: "),
            )
        ),
        (
            [{"change": "SetAddressSpace", "virtualNetwork": "a", "addressPrefixes": []}],
            "change 1: SetAddressSpace.addressPrefixes: ",
        ),
        (
            [{"change": "SetAddressSpace", "virtualNetwork": "a", "addressPrefixes": ["10.1.0.1/16"]}],
            "change 1: SetAddressSpace.addressPrefixes.0: ",
        ),
    ],
)
def test_what_is_not_a_change_is_refused(document: Any, message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        from_json(document)
    assert caught.value.message.startswith(message)
    assert caught.value.remedy


@st.composite
def models(draw: st.DrawFn) -> Azure:
    """Models of one lab: the same networks and route servers, everything that changes can make otherwise."""
    tables = [
        RouteTable(name, tuple(UserRoute(p, NextHopType.NONE) for p in draw(st.sets(PREFIXES))), draw(st.booleans()))
        for name in draw(st.sets(st.sampled_from(("t", "u"))))
    ]
    table = draw(st.sampled_from([None, *(t.name for t in tables)]))
    peers = [BgpPeer(name, 65001, addr(f"10.1.1.{i}")) for i, name in enumerate("xyz", draw(st.integers(4, 5)))]
    servers = [
        RouteServer(
            "rs1",
            "hub",
            (addr("10.1.0.4"), addr("10.1.0.5")),
            tuple(peer for peer in peers if draw(st.booleans())),
            draw(st.booleans()),
            draw(st.sampled_from(HubRoutingPreference)),
        )
        for _ in range(draw(st.integers(0, 1)))
    ]
    sides = draw(st.sets(st.sampled_from((("hub", "spoke"), ("spoke", "hub")))))
    peerings = [Peering(*ends, draw(st.booleans()), draw(st.booleans()), draw(st.booleans())) for ends in sorted(sides)]
    ranges = ["10.2.0.0/16", *draw(st.sets(st.sampled_from(("10.20.0.0/16", "10.21.0.0/16"))))]
    networks = [network("hub", "10.1.0.0/16", table=table), network("spoke", *ranges)]
    nics = [replace(nic("x", "hub", "10.1.1.4"), ip_forwarding=draw(st.booleans()))]
    return replace(azure(networks, servers=servers, tables=tables, nics=nics), peerings=tuple(peerings))


def unordered(model: Azure) -> object:
    return (
        set(model.virtual_networks),
        set(model.peerings),
        model.nics,
        {(t.name, frozenset(t.routes), t.disable_bgp_route_propagation) for t in model.route_tables},
        {
            (s.name, frozenset(s.peers), s.branch_to_branch, s.hub_routing_preference, s.instances)
            for s in model.route_servers
        },
    )


@given(models(), models())
def test_a_difference_makes_one_model_of_the_other(before: Azure, after: Azure) -> None:
    made = before
    for change in difference(before, after):
        assert change.describe(made)
        made = change.apply(made)
    assert unordered(made) == unordered(after)
    assert difference(made, after) == ()


@given(models(), models())
def test_what_is_put_twice_is_put_once(before: Azure, after: Azure) -> None:
    made = before
    for change in difference(before, after):
        made = change.apply(made)
        if change.never_refused or type(change).__name__.startswith(("Create", "DeleteRouteTable")):
            continue
        assert change.apply(made) == made
        assert change.describe(made).partition(":")[0] == UNCHANGED
