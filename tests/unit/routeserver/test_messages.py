"""The feed's forms, held against pydantic, which the controller uses."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from labkit.azure.model import (
    Assumptions,
    BgpPeer,
    HubRoutingPreference,
    Origin,
    OwnRangePolicy,
    PathAttributes,
    PeerKind,
    RouteServer,
    VpnNvaTie,
)
from labkit.azure.rules.acceptance import Originated
from labkit.feed.attributes import attributes_from_json, attributes_to_json
from labkit.routeserver.messages import config_from_json
from labkit.routeserver.policy import Config

asns = st.integers(1, 2**32 - 1)
halves = st.integers(0, 2**16 - 1)
attributes = st.builds(
    PathAttributes,
    next_hop=st.ip_addresses(v=4).map(IPv4Address),
    as_path=st.lists(asns | st.frozensets(asns, min_size=1, max_size=3), max_size=5).map(tuple),
    origin=st.sampled_from(Origin),
    med=st.none() | st.integers(0, 2**32 - 1),
    communities=st.lists(st.tuples(halves, halves), max_size=3).map(tuple),
    large_communities=st.lists(st.tuples(asns, asns, asns), max_size=3).map(tuple),
    unknown=st.lists(st.tuples(st.integers(0, 255), st.integers(0, 255), st.binary(max_size=9)), max_size=3).map(tuple),
)


@given(attributes)
def test_attributes_come_back(value: PathAttributes) -> None:
    assert attributes_from_json(attributes_to_json(value)) == value


@given(attributes)
def test_attributes_have_pydantics_form_but_for_bytes(value: PathAttributes) -> None:
    written = attributes_to_json(value)
    assert written.pop("unknown") == [[code, flags, data.hex()] for code, flags, data in value.unknown]
    read = TypeAdapter(PathAttributes).validate_python(written)
    assert read == PathAttributes(
        value.next_hop, value.as_path, value.origin, value.med, value.communities, value.large_communities
    )


peers = st.builds(
    BgpPeer,
    name=st.text(min_size=1, max_size=9),
    asn=asns,
    address=st.ip_addresses(v=4).map(IPv4Address),
    kind=st.sampled_from(PeerKind),
)
servers = st.builds(
    RouteServer,
    name=st.text(min_size=1, max_size=9),
    virtual_network=st.text(min_size=1, max_size=9),
    instances=st.tuples(*[st.ip_addresses(v=4).map(IPv4Address)] * 2),
    peers=st.lists(peers, max_size=3).map(tuple),
    branch_to_branch=st.booleans(),
    hub_routing_preference=st.sampled_from(HubRoutingPreference),
    own_ranges=st.sampled_from(OwnRangePolicy),
    routes_per_peer=st.integers(1, 10_000),
    total_prefixes=st.integers(1, 10_000),
    assumptions=st.builds(
        Assumptions,
        spoke_community=st.booleans(),
        nva_relay_community=st.booleans(),
        honours_no_export=st.booleans(),
        expressroute_wins_ties=st.booleans(),
        vpn_nva_tie=st.sampled_from(VpnNvaTie),
    ),
)


@given(servers, st.integers(0, 1))
def test_configurations_are_read_as_pydantic_writes_them(server: RouteServer, instance: int) -> None:
    message = {
        "type": "config",
        "instance": instance,
        "server": TypeAdapter(RouteServer).dump_python(server, mode="json"),
        "originated": {"own": ["10.1.0.0/16"], "spokes": ["10.2.0.0/16"]},
    }
    originated = Originated((IPv4Network("10.1.0.0/16"),), (IPv4Network("10.2.0.0/16"),))
    assert config_from_json(message) == Config(instance, server, originated)
