"""Every message comes back as it was, and nonsense is refused with the place where it is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network
from typing import Any, get_args, get_origin, get_type_hints, is_typeddict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from labkit.azure.model import Azure, PathAttributes, RouteServer
from labkit.azure.rules.decision import Decision
from labkit.azure.rules.rows import EffectiveTable, LearnedTable
from labkit.feed.bgp import GATEWAY, ROUTE_SERVER, RibSnapshot, SessionState
from labkit.feed.channel import HELLO, Channel
from labkit.feed.codec import Codec, Undecodable, from_json, to_json
from labkit.feed.state import PlatformModel, PlatformState
from labkit.feed.status import LabEvent, PlatformStatus
from labkit.feed.switch import FABRIC, FabricDelta, NicPort, PeeringPort
from labkit.feed.tables import AGENT, VIA, ForwardingTable, NextHops
from labkit.lab.load import load
from labkit.resources import topologies

CHANNELS: tuple[Channel[Any, Any], ...] = (AGENT, FABRIC, ROUTE_SERVER, GATEWAY)
NUMBERED: list[Codec[Any]] = [channel.down for channel in CHANNELS]
CODECS = [HELLO, *NUMBERED, *(channel.up for channel in CHANNELS)]

AZURE = load(topologies() / "overview" / "lab.yml").azure

TEXTS = st.text(max_size=5)
HOPS = st.builds(
    lambda kind, addresses: NextHops(kind, tuple(sorted(addresses)) if kind in VIA else ()),
    st.sampled_from(get_type_hints(NextHops)["type"]),
    st.sets(st.ip_addresses(v=4), min_size=1, max_size=3),
)


def values(kind: Any) -> st.SearchStrategy[Any]:
    """Any value of a field's type. Numbers, addresses and prefixes are as large as they get."""
    if kind is NextHops:
        return HOPS
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is Azure:
        return st.just(AZURE)
    if origin is tuple and arguments[-1] is Ellipsis:
        return st.lists(values(arguments[0]), max_size=3).map(tuple)
    if origin is list:
        return st.lists(values(arguments[0]), max_size=3)
    if is_typeddict(kind):
        return st.fixed_dictionaries({name: values(hint) for name, hint in get_type_hints(kind).items()})
    if origin is tuple:
        return st.tuples(*map(values, arguments))
    if origin is frozenset:
        return st.frozensets(values(arguments[0]), max_size=3)
    if origin is Mapping or (isinstance(origin, type) and issubclass(origin, Mapping)):
        keys = st.integers(0, 2**32) if arguments[0] is int else TEXTS
        return st.dictionaries(keys, values(arguments[1]), max_size=3)
    if arguments:
        return st.one_of(*map(values, arguments))
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        made: Any = kind
        return st.builds(made, **{field.name: values(hints[field.name]) for field in fields(kind)})
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return st.sampled_from(kind)
    plain: dict[Any, st.SearchStrategy[Any]] = {
        str: TEXTS,
        int: st.integers(-(2**40), 2**40),
        float: st.floats(allow_nan=False, allow_infinity=False),
        bool: st.booleans(),
        type(None): st.none(),
        bytes: st.binary(max_size=5),
        IPv4Address: st.ip_addresses(v=4),
        IPv4Network: st.ip_addresses(v=4).map(lambda address: IPv4Network((int(address) >> 8 << 8, 24))),
    }
    return plain[kind]


ANSWERS = (PlatformStatus, LabEvent, PlatformState, PlatformModel, Decision, LearnedTable)
"""What the controller's API answers, but for what `labkit.azure.changes` has."""


@pytest.mark.parametrize("kind", ANSWERS)
@settings(max_examples=25)
@given(data=st.data())
def test_every_answer_comes_back(kind: type, data: st.DataObject) -> None:
    answer = data.draw(values(kind))
    assert from_json(kind, json.loads(json.dumps(to_json(kind, answer)))) == answer


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ({}, "is missing"),
        ({"value": [], "next": ""}, "next: is unknown"),
        ({"value": {}}, "value: expected an array"),
        ([], "expected an object"),
        ({"value": [{}]}, "value.0.addressPrefix: is missing"),
    ],
)
def test_a_table_of_azure_has_all_its_keys_and_no_others(content: object, problem: str) -> None:
    with pytest.raises(Undecodable, match=problem):
        from_json(EffectiveTable, content)


EVERY_MESSAGE = [pytest.param(codec, kind, id=kind.__name__) for codec in CODECS for kind in codec.kinds]


@pytest.mark.parametrize(("codec", "kind"), EVERY_MESSAGE)
@settings(max_examples=25)
@given(data=st.data())
def test_every_message_comes_back(codec: Codec[Any], kind: type, data: st.DataObject) -> None:
    message = data.draw(values(kind))
    assert codec.decode(codec.encode(message)) == message
    if codec in NUMBERED:
        seq, decoded = codec.decode_numbered(codec.encode(message, 7))
        assert (seq, decoded()) == (7, message)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


def places(content: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The ways to everything in a JSON value."""
    inner = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    return [at, *(place for name, each in inner for place in places(each, (*at, name)))]


@pytest.mark.parametrize(("codec", "kind"), EVERY_MESSAGE)
@settings(max_examples=25)
@given(data=st.data())
def test_nonsense_is_a_value_or_refused(codec: Codec[Any], kind: type, data: st.DataObject) -> None:
    """Whatever replaces a part of a message: what is not refused is a message, and comes back as such."""
    content = json.loads(codec.encode(data.draw(values(kind))))
    place = data.draw(st.sampled_from(places(content)))
    inner = content
    for name in place[:-1]:
        inner = inner[name]
    nonsense = data.draw(ANYTHING)
    if place:
        inner[place[-1]] = nonsense
    else:
        content = nonsense
    try:
        message = codec.decode(json.dumps(content))
    except Undecodable:
        return
    assert type(message) in codec.kinds
    assert codec.decode(codec.encode(message)) == message


PORT = {"type": "nic", "mac": "m", "address": "a", "ip_forwarding": True, "table": "t"}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "not JSON: "),
        ("[" * 100_000, "not JSON: "),
        ("[]", "expected an object"),
        ("{}", "type: expected one of snapshot, delta, not None"),
        ('{"type": []}', r"type: expected one of snapshot, delta, not \[\]"),
        ('{"type": "delta", "port": {}}', "port: is unknown"),
        ('{"type": "delta", "ports": []}', "ports: expected an object"),
        ('{"type": "snapshot", "seed": 1, "ports": {}, "tables": {}}', "mac: is missing"),
        (json.dumps({"type": "delta", "ports": {"vm1": {**PORT, "mac": 1}}}), "ports.vm1.mac: expected a string"),
        (json.dumps({"type": "delta", "ports": {"vm1": {"type": "tap"}}}), "ports.vm1.type: expected one of nic, int"),
        (json.dumps({"type": "delta", "ports": {"vm1": {**PORT, "ip_forwarding": 1}}}), "ip_forwarding: expected true"),
        ('{"type": "delta", "healthy": {"lb1": [1]}}', "healthy.lb1.0: expected a string"),
        ('{"type": "delta", "tables": {"t": {"groups": {"x": {}}, "routes": {}}}}', "groups.x: expected a number"),
        ('{"type": "delta", "tables": {"t": {"groups": {}, "routes": {"p": true}}}}', "routes.p: expected an integer"),
    ],
)
def test_a_refusal_names_the_field(text: str, problem: str) -> None:
    with pytest.raises(Undecodable, match=problem):
        FABRIC.down.decode(text)


@pytest.mark.parametrize("text", ["{}", '{"seq": true}', '{"seq": "1"}'])
def test_a_message_without_a_number_is_refused(text: str) -> None:
    with pytest.raises(Undecodable, match="seq: expected an integer"):
        FABRIC.down.decode_numbered(text)


@pytest.mark.parametrize(
    ("kind", "hops"), [("VirtualAppliance", []), ("Internet", ["10.1.1.4"]), ("VirtualNetworkGateway", [])]
)
def test_a_group_has_next_hops_if_its_type_takes_some(kind: str, hops: list[str]) -> None:
    content = {"groups": {"1": {"type": kind, "next_hops": hops}}, "routes": {}}
    with pytest.raises(Undecodable, match=f"groups.1: next hop type {kind} with next hops"):
        from_json(ForwardingTable, content)


def test_what_has_a_default_may_be_missing() -> None:
    assert FABRIC.down.decode('{"type": "delta"}') == FabricDelta()
    assert from_json(NicPort, PORT) == NicPort("m", "a", ip_forwarding=True, table="t")
    assert from_json(PeeringPort, {"type": "peering", "neighbours": [["a", "m"]]}) == PeeringPort((("a", "m"),))
    assert from_json(SessionState, {"state": "Idle", "since": 1}) == SessionState("Idle", 1.0)
    assert type(RibSnapshot({}, (), 1.0)).TYPE == "snapshot"


@given(values(RouteServer))
def test_azures_objects_have_the_form_that_the_api_gives_them(server: RouteServer) -> None:
    assert json.loads(json.dumps(to_json(RouteServer, server))) == TypeAdapter(RouteServer).dump_python(
        server, mode="json"
    )


@given(values(PathAttributes))
def test_attributes_have_pydantics_form_but_for_bytes(value: PathAttributes) -> None:
    written = json.loads(json.dumps(to_json(PathAttributes, value)))
    assert written.pop("unknown") == [[code, flags, data.hex()] for code, flags, data in value.unknown]
    read = TypeAdapter(PathAttributes).validate_python(written)
    assert read == PathAttributes(
        value.next_hop, value.as_path, value.origin, value.med, value.communities, value.large_communities
    )
