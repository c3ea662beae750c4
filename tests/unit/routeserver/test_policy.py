"""What an instance advertises to its peers where paths of several kinds meet."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.azure.model import BgpPeer, HubRoutingPreference, LearnedRoute, PathAttributes, PeerKind, RouteServer
from labkit.azure.rules.acceptance import Originated
from labkit.azure.rules.advertisement import advertised_to_peer
from labkit.routeserver.policy import ROOM, Policy, PolicyConfig, encoded_size
from tests.e2e.bgp_fuzzer import LONGEST_PATH, TRANSITIVE, WELL_KNOWN, attribute, segment

A, B, ER = "10.1.0.10", "10.1.0.20", "10.1.9.12"
PEERS = (
    BgpPeer("a", 65001, IPv4Address(A)),
    BgpPeer("b", 65002, IPv4Address(B)),
    BgpPeer("er-0", 65515, IPv4Address(ER), PeerKind.EXPRESSROUTE_GATEWAY),
)
SERVER = RouteServer("rs1", "vnet1", (IPv4Address("10.1.0.4"), IPv4Address("10.1.0.5")), PEERS, branch_to_branch=True)
PATHS = {
    A: PathAttributes(IPv4Address(A), (65001,)),
    ER: PathAttributes(IPv4Address("10.1.9.6"), (12076, 65020)),
}


@pytest.mark.parametrize("preference", HubRoutingPreference)
def test_what_the_rules_advertise_is_advertised(preference: HubRoutingPreference) -> None:
    """A long path over ExpressRoute and a short one of an NVA: which is advertised, the server's preference decides."""
    server, nothing = replace(SERVER, hub_routing_preference=preference), Originated((), ())
    prefix = IPv4Network("10.9.0.0/16")
    learned = [LearnedRoute(prefix, PATHS[str(peer.address)], peer) for peer in (PEERS[0], PEERS[2])]
    told = Policy(PolicyConfig(0, server, nothing)).advertised(str(prefix), PATHS)
    assert told[B] == advertised_to_peer(server, 0, PEERS[1], nothing, prefix, learned)


@pytest.mark.parametrize(("asns", "advertised"), [(LONGEST_PATH, True), (LONGEST_PATH + 1, False)])
def test_what_no_message_has_room_for_is_not_advertised(asns: int, advertised: bool) -> None:
    """ExaBGP would leave it out and say nothing, and the peer would keep the route that it had."""
    path = PathAttributes(IPv4Address(A), (65001, *range(64600, 64600 + asns - 1)))
    exported = Policy(PolicyConfig(0, SERVER, Originated((), ()))).advertised("10.9.0.0/16", {A: path})
    assert (B in exported) is advertised
    if advertised:
        assert ROOM - 4 < encoded_size(exported[B]) <= ROOM


ASN = st.integers(1, 2**32 - 1)
SEQUENCES = st.lists(ASN, min_size=1, max_size=600)


@given(
    st.lists(st.one_of(SEQUENCES, st.frozensets(ASN, min_size=1, max_size=9)), max_size=4),
    st.one_of(st.none(), ASN),
    st.sets(st.tuples(st.integers(0, 65535), st.integers(0, 65535)), max_size=80),
    st.sets(st.tuples(ASN, ASN, ASN), max_size=30),
    st.lists(st.binary(max_size=400), max_size=3),
)
def test_the_size_of_attributes(
    hops: list[list[int] | frozenset[int]],
    med: int | None,
    communities: set[tuple[int, int]],
    large: set[tuple[int, int, int]],
    unknown: list[bytes],
) -> None:
    """It is that of the attributes encoded; neighbouring sequences are one to a path."""
    path: list[int | frozenset[int]] = []
    segments: list[bytes] = []
    pending: list[int] = []
    for hop in [*hops, frozenset[int]()]:
        if isinstance(hop, frozenset):
            segments += [segment(pending[i : i + 255]) for i in range(0, len(pending), 255)]
            pending = []
            if hop:
                segments.append(segment(sorted(hop), 1))
                path.append(hop)
        else:
            pending += hop
            path += hop
    data = attribute(1, b"\0", WELL_KNOWN) + attribute(2, b"".join(segments), WELL_KNOWN)
    data += attribute(3, bytes(4), WELL_KNOWN)
    if med is not None:
        data += attribute(4, bytes(4), 0x80)
    if communities:
        data += attribute(8, bytes(4 * len(communities)), TRANSITIVE)
    if large:
        data += attribute(32, bytes(12 * len(large)), TRANSITIVE)
    for value in unknown:
        data += attribute(99, value, TRANSITIVE)
    attributes = PathAttributes(
        IPv4Address(A),
        tuple(path),
        med=med,
        communities=tuple(communities),
        large_communities=tuple(large),
        unknown=tuple((99, TRANSITIVE, value) for value in unknown),
    )
    assert encoded_size(attributes) == len(data)
