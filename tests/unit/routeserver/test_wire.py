"""ExaBGP's text, both ways. The lines are captures of ExaBGP 5.0.15 with FRR 10.3."""

from __future__ import annotations

import json
from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.azure.model import Origin, PathAttributes
from labkit.routeserver import wire
from labkit.routeserver.reasons import reason_text

HEAD = '{ "exabgp": "5.0.0", "time": 1795256015.05, "host" : "vm", "pid" : 22, "ppid" : 1, "counter": 3, '
NEIGHBOR = (
    '"neighbor": { "address": { "local": "10.1.0.4", "peer": "10.1.0.10" }, '
    '"asn": { "local": 65515, "peer": 65001 }, "router-id": "10.1.0.4" , '
)
ATTRIBUTES = (
    '"origin": "igp", "as-path": {"0": {"element": "as-sequence", "value": [65001, 64999]}, '
    '"1": {"element": "as-set", "value": [3, 2]}}, "med": 5, "atomic-aggregate": true, '
    '"aggregator": "65001:9.9.9.9", "community": [ [ 65535, 65282 ], [ 65001, 2 ] ], '
    '"extended-community": [ { "value": 842127122628685, "string": "target:65001:77" } ], '
    '"large-community": [ [ 65001, 1 , 2 ] ], "attribute-0x63-0xCF": "0x01", "attribute-0x64-0x80": "0x02"'
)
EXPECTED = PathAttributes(
    next_hop=IPv4Address("10.1.0.9"),
    as_path=(65001, 64999, frozenset({2, 3})),
    med=5,
    communities=((65001, 2), (65535, 65282)),
    large_communities=((65001, 1, 2),),
    unknown=(
        (6, 0x40, b""),
        (7, 0xC0, (65001).to_bytes(4, "big") + bytes([9, 9, 9, 9])),
        (16, 0xC0, bytes.fromhex("0002fde90000004d")),
        (0x63, 0xE0, b"\1"),
    ),
)


def update_line(body: str) -> str:
    return f'{HEAD}"type": "update", {NEIGHBOR}"direction": "receive", "message": {{ "update": {{ {body} }} }} }} }}'


def announce_line(attributes: str, next_hop: str = "10.1.0.9", nlri: str = '"10.250.0.0/16"') -> str:
    return update_line(
        f'"attribute": {{ {attributes} }}, "announce": {{ "ipv4 unicast": {{ "{next_hop}": [ {nlri} ] }} }}'
    )


def test_decodes_an_update() -> None:
    event = wire.decode(announce_line(ATTRIBUTES, nlri='"10.250.0.0/16", "10.251.255.0/20"'))
    # A peer may set host bits in the last byte; they mean nothing.
    announced = ((EXPECTED, ("10.250.0.0/16", "10.251.240.0/20")),)
    assert event == wire.Update("10.1.0.10", 1795256015.05, announced)


def test_decodes_withdrawals_in_both_forms() -> None:
    line = update_line('"withdraw": { "ipv4 unicast": [ "10.1.0.0/16", { "nlri": "10.2.0.0/16" } ] }')
    event = wire.decode(line)
    assert isinstance(event, wire.Update)
    assert event.withdrawn == ("10.1.0.0/16", "10.2.0.0/16")
    assert event.announced == ()


@pytest.mark.parametrize(
    ("attributes", "next_hop"),
    [
        ('"as-path": {"0": {"element": "as-sequence", "value": [65001]}}', "10.1.0.9"),
        (ATTRIBUTES, "no-nexthop"),
        ('"origin": "igp", "as-path": {"0": {"element": "as-confed-sequence", "value": [65001]}}', "10.1.0.9"),
        ('"origin": "igp", "as-path": {"0": {"element": "as-sequence", "value": []}}', "10.1.0.9"),
        ('"origin": "igp", "as-path": {"0": {"element": "as-set", "value": []}}', "10.1.0.9"),
    ],
)
def test_an_update_without_a_mandatory_attribute_withdraws(attributes: str, next_hop: str) -> None:
    event = wire.decode(announce_line(attributes, next_hop))
    assert event == wire.Update("10.1.0.10", 1795256015.05, withdrawn=("10.250.0.0/16",))


def test_treat_as_withdraw_is_a_withdrawal() -> None:
    line = update_line(
        '"attribute": { "origin": "igp", "error": "treat-as-withdraw" }, '
        '"withdraw": { "ipv4 unicast": [ "10.2.0.0/16" ] }'
    )
    assert wire.decode(line) == wire.Update("10.1.0.10", 1795256015.05, withdrawn=("10.2.0.0/16",))


@pytest.mark.parametrize(
    ("content", "state", "reason"),
    [
        ('"state": "up"', "Established", ""),
        ('"state": "connected"', "OpenSent", ""),
        ('"state": "down", "reason": "notification sent (4,0)"', "Idle", "hold timer expired"),
        ('"state": "down", "reason": "closing connection"', "Idle", "connection closed"),
    ],
)
def test_decodes_states(content: str, state: str, reason: str) -> None:
    line = f'{HEAD}"type": "state", {NEIGHBOR}{content} }} }}'
    assert wire.decode(line) == wire.SessionChange("10.1.0.10", 1795256015.05, state, reason, "notification" in content)


@pytest.mark.parametrize(
    ("line", "event"),
    [
        ("done", wire.Answer(True)),
        ("error", wire.Answer(False)),
        ("Peer            AS        up/down state       |     #sent     #recvd", wire.SummaryHeader()),
        ("10.1.0.10       65001     0:00:03 established           2          2", None),
        (HEAD + '"type": "notification", "notification": "shutdown" }', wire.Ending()),
        ('ate": [ "10.2.0.0/16" ] } } } }', None),
        ('{ "exabgp": "5.0.0", "ti', None),
        ("", None),
        (
            (
                '[{"fsm": "ESTABLISHED", "duration": 3, "peer": '
                '{"address": "10.1.0.10", "as": 65001, "capabilities": {"route-refresh": true}}}, '
                '{"fsm": "ACTIVE", "duration": 3, "peer": '
                '{"address": "10.1.0.11", "as": 65002, "capabilities": {"route-refresh": null}}}]'
            ),
            wire.ShownNeighbours(
                {"10.1.0.10": ("Established", 3.0), "10.1.0.11": ("Active", 3.0)},
                {"10.1.0.10": 65001, "10.1.0.11": 65002},
                frozenset({"10.1.0.10"}),
            ),
        ),
        ("[]", wire.ShownNeighbours({}, {})),
        (
            f'{HEAD}"type": "update", {NEIGHBOR}"message": {{ "eor": {{ "afi" : "ipv4", "safi" : "unicast" }} }} }} }}',
            None,
        ),
    ],
)
def test_decodes_the_rest(line: str, event: wire.Event | None) -> None:
    assert wire.decode(line) == event


def shown(extended: list[str]) -> str:
    attributes = {
        "origin": "igp",
        "as-path": {
            "0": {"element": "as-sequence", "value": [65001, 64999]},
            "1": {"element": "as-set", "value": [2, 3]},
        },
        "med": 5,
        "atomic-aggregate": True,
        "aggregator": "65001:9.9.9.9",
        "community": ["65001:2", "no-advertise"],
        "extended-community": extended,
        "large-community": ["65001:1:2"],
        "attribute-0x63-0xE0": "0x01",
    }
    family = {"afi": "ipv4", "safi": "unicast"}
    nlri = {"prefix": "10.250.0.0/16", "nexthop": "10.1.0.9", "family": family}
    return json.dumps({"peer": {"address": "10.1.0.10"}, "route": {"nlri": nlri, "attributes": attributes}})


def test_decodes_what_show_adj_rib_shows() -> None:
    assert wire.decode(shown(["0x0002FDE90000004D"])) == wire.ShownRoute("10.1.0.10", "10.250.0.0/16", EXPECTED)


def test_knows_when_what_is_shown_is_not_all() -> None:
    route = wire.decode(shown(["target:65001:77"]))
    assert isinstance(route, wire.ShownRoute)
    assert not route.exact
    assert route.attributes is not None
    assert route.attributes.as_path == EXPECTED.as_path


def test_commands() -> None:
    (command,) = wire.announce(("10.1.0.10", "10.1.0.20"), EXPECTED, ("10.250.0.0/16", "10.251.0.0/16"))
    assert command.decode() == (
        "neighbor 10.1.0.10 , neighbor 10.1.0.20 announce attributes next-hop 10.1.0.9 origin igp"
        " as-path [ 65001 64999 ] ( 2 3 ) med 5 community [ 65001:2 65535:65282 ] large-community [ 65001:1:2 ]"
        " atomic-aggregate aggregator ( 65001:9.9.9.9 ) extended-community [ 0x0002fde90000004d ]"
        " attribute [ 0x63 0xe0 0x01 ] nlri 10.250.0.0/16 10.251.0.0/16\n"
    )
    (command,) = wire.announce(
        ("10.1.0.10",), PathAttributes(IPv4Address("10.1.0.4"), origin=Origin.EGP), ("0.0.0.0/0",)
    )
    assert b"origin egp as-path [ ] nlri 0.0.0.0/0\n" in command
    (command,) = wire.withdraw(("10.1.0.10",), PathAttributes(IPv4Address("10.1.0.4"), (65515,)), ("0.0.0.0/0",))
    withdraw = b"neighbor 10.1.0.10 withdraw attributes next-hop 10.1.0.4 origin igp as-path [ 65515 ] nlri 0.0.0.0/0\n"
    assert command == withdraw
    assert wire.teardown("10.1.0.10", 1) == b"neighbor 10.1.0.10 teardown 1\n"


@given(st.lists(st.integers(0, 2**24 - 1).map(lambda n: f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}/32"), max_size=900))
def test_commands_fit_a_pipes_atomic_write_and_hold_every_prefix(prefixes: list[str]) -> None:
    commands = list(wire.announce(("10.1.0.10",), EXPECTED, prefixes))
    assert all(len(command) <= wire.MAX_COMMAND for command in commands)
    assert [p for command in commands for p in command.decode().split(" nlri ")[1].split()] == prefixes


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        ("notification received (6,4)", "administrative reset (received from the peer)"),
        ("notification sent (6,1)", "maximum number of prefixes reached"),
        ("notification sent (3,9)", "UPDATE message error: optional attribute error"),
        (
            "notification sent (2,2) AS 64999 for 65001",
            "OPEN message error: bad peer AS (64999 in its OPEN, 65001 registered)",
        ),
        ("notification sent (9,9)", "notification 9/9"),
        ("", "connection closed"),
        ("stop, message [removed]", "peer de-configured"),
        ("stop, message [shutting down]", "the BGP speaker ended"),
        ("graceful restarted negotiated", "graceful restarted negotiated"),
    ],
)
def test_reasons(reason: str, text: str) -> None:
    assert reason_text(reason) == text


@pytest.mark.parametrize(
    ("code", "subcode", "reason"),
    [(6, 3, "no peer has this address (peer de-configured)"), (6, 7, "connection collision resolution")],
)
def test_a_refused_connection(code: int, subcode: int, reason: str) -> None:
    assert wire.decode(wire.refusal_line("10.1.0.9", code, subcode)) == wire.RefusedConnection("10.1.0.9", reason)
