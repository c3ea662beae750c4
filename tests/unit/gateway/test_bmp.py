"""BMP as values, with the mistakes of FRR and without."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.azure.model import Origin, PathAttributes
from labkit.daemons.frr.daemon import FRR
from labkit.daemons.protocol import BmpHabits
from labkit.gateway.bmp import (
    CLOSED_HERE,
    BmpStream,
    BmpUpdate,
    EndOfRoutes,
    Message,
    PeerDown,
    PeersListed,
    PeerUp,
    update,
)

from . import bmp_bytes as made

NOW = 1_800_000_000.0
HOP = IPv4Address("100.65.0.1")


def received(*messages: bytes, pieces: int = 1 << 16, habits: BmpHabits = FRR.bmp) -> list[Message]:
    stream, data = BmpStream(habits), b"".join(messages)
    return [m for i in range(0, len(data), pieces) for m in stream.feed(data[i : i + pieces], NOW)]


def announced(attributes: PathAttributes, *prefixes: str, extended: tuple[int, ...] = ()) -> bytes:
    encoded = made.attributes_bytes(attributes, extended=extended)
    return made.monitoring(made.CIRCUIT, made.update_body(announced=prefixes, attributes=encoded))


@pytest.mark.parametrize("pieces", [1, 2, 7, 1000])
def test_a_connection_begins_with_the_peers_and_goes_on_with_their_routes(pieces: int) -> None:
    path = PathAttributes(HOP, (12076, 65020))
    found = received(
        made.message(4, b"\0\1\0\3FRR"),
        made.message(3, made.header("0.0.0.0", kind=3)),
        made.peer_up(made.CIRCUIT),
        made.peer_down(made.SERVER, 4),
        made.own_route(),
        announced(path, "10.2.0.0/16"),
        made.end_of_routes(made.CIRCUIT),
        made.peer_up(made.SERVER),
        pieces=pieces,
    )
    assert found == [
        PeerUp(made.CIRCUIT, made.TIME),
        PeerDown(made.SERVER, NOW, "connection closed"),
        PeersListed(),
        BmpUpdate(made.CIRCUIT, (), ("10.2.0.0/16",), path),
        EndOfRoutes(made.CIRCUIT),
        PeerUp(made.SERVER, NOW),  # not when the machine came up, as FRR has it
    ]


@pytest.mark.parametrize(
    ("reason", "data", "text"),
    [
        (1, made.bgp(3, b"\4\0"), "hold timer expired"),
        (2, b"\0\0", CLOSED_HERE),
        (3, made.bgp(3, b"\6\2"), "administrative shutdown (received from the peer)"),
        (3, b"", "reason 3"),
        (4, b"", "connection closed"),
        (5, b"", "it is no longer configured"),
        (9, b"", "reason 9"),
    ],
)
def test_why_a_session_went_down(reason: int, data: bytes, text: str) -> None:
    assert received(made.peer_down(made.CIRCUIT, reason, data)) == [PeerDown(made.CIRCUIT, NOW, text)]


@pytest.mark.parametrize(
    ("peer", "sent", "kept"),
    [
        (made.CIRCUIT, (65515, 12076, 65020), (12076, 65020)),
        (made.CIRCUIT, (12076, 65020), (12076, 65020)),  # an FRR that makes no such mistake
        (made.CIRCUIT, (65515, frozenset({65020, 65021})), (frozenset({65020, 65021}),)),
        (made.SERVER, (65515, 65001), (65515, 65001)),
        (made.SERVER, (), ()),
    ],
)
def test_frr_puts_its_own_asn_in_front_of_what_it_has_from_others(
    peer: str, sent: tuple[int, ...], kept: tuple[int, ...]
) -> None:
    encoded = made.attributes_bytes(PathAttributes(HOP, sent))
    route = made.monitoring(peer, made.update_body(announced=["10.2.0.0/16"], attributes=encoded))
    *_, found = received(made.message(3, made.header("0.0.0.0", kind=3)), route)
    assert isinstance(found, BmpUpdate)
    assert found.attributes == PathAttributes(HOP, kept)


def test_a_daemon_that_reports_what_happened_is_taken_at_its_word() -> None:
    path = PathAttributes(HOP, (65515, 12076))
    own_table = made.message(3, made.header("0.0.0.0", kind=3))
    route = announced(path, "10.2.0.0/16")
    found = received(own_table, route, made.peer_up(made.CIRCUIT), habits=BmpHabits())
    assert found == [
        PeersListed(),
        BmpUpdate(made.CIRCUIT, (), ("10.2.0.0/16",), path),
        PeerUp(made.CIRCUIT, made.TIME),
    ]


def test_every_attribute() -> None:
    path = PathAttributes(
        HOP,
        (12076, frozenset({65020, 65021}), 65022, 4_200_000_000),
        Origin.INCOMPLETE,
        med=7,
        communities=((65517, 65517), (65518, 1)),
        large_communities=((4_200_000_000, 1, 2),),
    )
    for extended in ((), (2, 8, 32)):
        *_, found = received(announced(path, "0.0.0.0/0", "10.0.0.0/8", "10.2.3.4/32", extended=extended))
        assert found == BmpUpdate(made.CIRCUIT, (), ("0.0.0.0/0", "10.0.0.0/8", "10.2.3.4/32"), path)


def test_what_no_rule_reads_passes_if_it_is_transitive() -> None:
    known = made.attributes_bytes(PathAttributes(HOP))
    more = made.encoded({16: b"\0\2\0\0\0\0\0\1"}, flags=0xC0) + made.encoded({99: b"x"}, flags=0xD0, extended=(99,))
    local = made.encoded({9: bytes(4), 10: bytes(4)}, flags=0x80)
    found = update(made.SERVER, made.bgp(2, made.update_body((), ["10.3.0.0/16"], known + more + local)))
    assert found.attributes is not None
    assert found.attributes.unknown == ((16, 0xC0, b"\0\2\0\0\0\0\0\1"), (99, 0xC0, b"x"))


def test_withdrawals() -> None:
    *_, found = received(made.monitoring(made.CIRCUIT, made.update_body(["10.2.0.0/16", "10.3.0.0/23"])))
    assert found == BmpUpdate(made.CIRCUIT, ("10.2.0.0/16", "10.3.0.0/23"), (), None)


def test_what_was_received_but_not_kept_is_no_route() -> None:
    before = made.attributes_bytes(PathAttributes(HOP))
    body = made.update_body(announced=["10.2.0.0/16"], attributes=before)
    assert received(made.monitoring(made.CIRCUIT, body, flags=0)) == [PeersListed()]


@pytest.mark.parametrize("head", [struct.pack("!BIB", 4, 10, 0), struct.pack("!BIB", 3, 2, 0)])
def test_what_is_not_bmp_is_an_error(head: bytes) -> None:
    with pytest.raises(ValueError, match="BMP version"):
        received(head + bytes(10))


asns = st.integers(1, 2**32 - 1)
prefixes = st.integers(0, 32).flatmap(
    lambda length: st.integers(0, 2**length - 1).map(lambda high: str(IPv4Network((high << (32 - length), length))))
)
paths = st.builds(
    PathAttributes,
    next_hop=st.integers(0, 2**32 - 1).map(IPv4Address),
    as_path=st.lists(asns | st.frozensets(asns, min_size=1, max_size=3), max_size=5).map(tuple),
    origin=st.sampled_from(list(Origin)),
    med=st.none() | st.integers(0, 2**32 - 1),
    communities=st.lists(st.tuples(*[st.integers(0, 65535)] * 2), max_size=4).map(lambda c: tuple(sorted(c))),
    large_communities=st.lists(st.tuples(*[asns] * 3), max_size=3).map(lambda c: tuple(sorted(c))),
)


@given(
    st.lists(st.tuples(paths, st.lists(prefixes, min_size=1, max_size=3)), min_size=1, max_size=4),
    st.sets(st.sampled_from([1, 2, 3, 4, 8, 32])),
    st.integers(1, 200),
)
def test_whatever_is_sent_is_received(
    said: list[tuple[PathAttributes, list[str]]], extended: set[int], pieces: int
) -> None:
    found = received(*(announced(path, *nets, extended=tuple(extended)) for path, nets in said), pieces=pieces)
    assert found == [PeersListed(), *(BmpUpdate(made.CIRCUIT, (), tuple(nets), path) for path, nets in said)]
