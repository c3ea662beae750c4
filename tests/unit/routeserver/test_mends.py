"""ExaBGP as labkit mends it, without a network: the OPEN of a lab's own configuration, and what UPDATEs are to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from exabgp.bgp.message import Message, Notify, Update
from exabgp.bgp.message.direction import Direction
from exabgp.bgp.message.open import Open, Version
from exabgp.bgp.message.open.capability.capabilities import Capabilities
from exabgp.bgp.message.open.capability.negotiated import Negotiated
from exabgp.bgp.message.update.attribute import Attribute
from exabgp.configuration.configuration import Configuration
from exabgp.environment import getenv
from exabgp.logger import log

from labkit.routeserver.mends import mend
from tests.e2e.bgp_fuzzer import (
    AGGREGATOR,
    AIGP,
    AS4_AGGREGATOR,
    AS4_PATH,
    AS_PATH,
    CLUSTER_LIST,
    LOCAL_PREF,
    NEXT_HOP,
    OPTIONAL,
    ORIGIN,
    ORIGINATOR_ID,
    PREFIX_SID,
    TRANSITIVE,
    WELL_KNOWN,
    as_path,
    encoded,
    nlri,
    update,
)

RENDERED = Path(__file__).parents[2] / "golden/render/overview/nodes/rs1-0/exabgp.conf"

MP_IPV4, MP_IPV6, REFRESH, ASN4 = "0206010400010001", "0206010400020001", "02020200", "020641040000ffeb"


@pytest.fixture(scope="module")
def neighbor() -> Any:
    mend()
    log.init(getenv())
    configuration = Configuration([str(RENDERED)])
    assert configuration.reload() is True, configuration.error
    return next(iter(configuration.neighbors.values()))


def negotiated(neighbor: Any, capabilities: str, asn: int = 65001) -> Any:
    """A session whose peer has offered these capabilities."""
    session = Negotiated(neighbor)
    session.sent(our_open(neighbor))
    options = bytes.fromhex(capabilities)
    body = b"\4" + asn.to_bytes(2, "big") + bytes.fromhex("00b40a01010a") + bytes([len(options)]) + options
    session.received(Open.unpack_message(body))
    return session


def our_open(neighbor: Any) -> Any:
    capabilities = Capabilities().new(neighbor, restarted=False)
    return Open(Version(4), neighbor["local-as"], neighbor["hold-time"], neighbor["router-id"], capabilities)


def test_the_open_is_azures(neighbor: Any) -> None:
    """[bgp-capabilities]"""
    capabilities = MP_IPV4 + MP_IPV6 + ASN4 + REFRESH
    body = bytes.fromhex("04ffeb00b40a0100041c" + capabilities)
    assert our_open(neighbor).message() == Message.MARKER + (19 + len(body)).to_bytes(2, "big") + b"\1" + body


@pytest.mark.parametrize(
    ("capabilities", "families"),
    [
        (MP_IPV4 + MP_IPV6, ["ipv4 unicast", "ipv6 unicast"]),
        (MP_IPV4 + REFRESH, ["ipv4 unicast"]),
        (MP_IPV6, ["ipv6 unicast"]),
        (REFRESH, ["ipv4 unicast"]),
        ("", ["ipv4 unicast"]),
    ],
)
def test_families(neighbor: Any, capabilities: str, families: list[str]) -> None:
    """What was offered on both sides, and IPv4 unicast with a peer that offers no family."""
    session = negotiated(neighbor, capabilities)
    assert [f"{afi} {safi}" for afi, safi in session.families] == families


def test_a_second_open_ends_a_session(neighbor: Any) -> None:
    session = negotiated(neighbor, MP_IPV4)
    with pytest.raises(Notify) as raised:
        Open.unpack_message(bytes.fromhex("04fde900b40a01010a00"), Direction.IN, session)
    assert (raised.value.code, raised.value.subcode) == (5, 0)


def test_a_message_of_a_draft_is_of_an_unknown_type() -> None:
    assert Message.CODE.OPERATIONAL not in Message.CODE.MESSAGES


PATH, HOP = as_path([65001, 64512]), bytes([10, 1, 1, 10])
USUAL = [(ORIGIN, WELL_KNOWN, b"\0"), (AS_PATH, WELL_KNOWN, PATH), (NEXT_HOP, WELL_KNOWN, HOP)]


def received(neighbor: Any, *attributes: tuple[int, int, bytes], asn: int = 65001) -> Any:
    """What ExaBGP makes of an UPDATE that announces a prefix with these attributes."""
    session = negotiated(neighbor, MP_IPV4 + "02064104" + asn.to_bytes(4, "big").hex(), asn)
    return Update.unpack_message(update(encoded([*attributes]), nlri("10.64.0.0/16"))[19:], Direction.IN, session)


@pytest.mark.parametrize(
    "attributes",
    [
        [(ORIGIN, WELL_KNOWN, b"\0\0"), *USUAL[1:]],
        [(ORIGIN, WELL_KNOWN, b"\3"), *USUAL[1:]],
        USUAL[1:],
        USUAL[:2],
    ],
    ids=["two-bytes-of-origin", "unknown-origin", "no-origin", "no-next-hop"],
)
def test_treat_as_withdraw(neighbor: Any, attributes: list[tuple[int, int, bytes]]) -> None:
    assert Attribute.CODE.INTERNAL_TREAT_AS_WITHDRAW in received(neighbor, *attributes).attributes


@pytest.mark.parametrize(
    "extra",
    [
        (LOCAL_PREF, WELL_KNOWN, b"\0\0\0"),
        (LOCAL_PREF, WELL_KNOWN, b"\0\0\0\1"),
        (ORIGINATOR_ID, OPTIONAL, b"\1"),
        (CLUSTER_LIST, OPTIONAL, b"\1"),
        (AS4_PATH, TRANSITIVE, as_path([1])),
        (AS4_AGGREGATOR, TRANSITIVE, b"\1"),
        (AGGREGATOR, TRANSITIVE, b""),
        (AGGREGATOR, TRANSITIVE, b"\1"),
        (AIGP, OPTIONAL, b"\1"),
    ],
)
def test_attribute_discard(neighbor: Any, extra: tuple[int, int, bytes]) -> None:
    """The route is kept, by ExaBGP too, without the attribute."""
    assert {int(code) for code in received(neighbor, *USUAL, extra).attributes} == {ORIGIN, AS_PATH, NEXT_HOP}


@pytest.mark.parametrize("code", [AS4_PATH, AS4_AGGREGATOR])
@pytest.mark.parametrize("value", [b"", b"\1", b"\2\5\0\0\0\1"])
def test_attribute_discard_with_a_peer_of_two_octet_asns(neighbor: Any, code: int, value: bytes) -> None:
    session = negotiated(neighbor, MP_IPV4)
    assert not session.asn4
    attributes = [USUAL[0], (AS_PATH, WELL_KNOWN, b"\2\1\xfd\xe9"), USUAL[2], (code, TRANSITIVE, value)]
    found = Update.unpack_message(update(encoded(attributes), nlri("10.64.0.0/16"))[19:], Direction.IN, session)
    assert {int(each) for each in found.attributes} == {ORIGIN, AS_PATH, NEXT_HOP}


def test_local_preference_of_the_same_as_is_kept(neighbor: Any) -> None:
    update = received(neighbor, *USUAL, (LOCAL_PREF, WELL_KNOWN, b"\0\0\0\1"), asn=65515)
    assert LOCAL_PREF in update.attributes


def test_attributes_that_a_route_server_does_not_use_are_unknown_to_it(neighbor: Any) -> None:
    attributes = received(neighbor, *USUAL, (PREFIX_SID, TRANSITIVE, b"\1\2\3")).attributes
    assert '"attribute-0x28-0xE0": "0x010203"' in attributes.json()


def test_an_unrecognized_well_known_attribute_ends_the_session(neighbor: Any) -> None:
    """Passed on, it would end the sessions of others."""
    with pytest.raises(Notify) as raised:
        received(neighbor, *USUAL, (200, WELL_KNOWN, b"\1"))
    assert (raised.value.code, raised.value.subcode) == (3, 2)
