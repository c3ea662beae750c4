"""BMP messages and the UPDATEs in them, made by hand (RFC 7854, RFC 4271)."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network
from itertools import groupby

from labkit.azure.model import AsPath, Origin, PathAttributes

OWN_ASN, OWN = 65515, "10.1.255.4"
CIRCUIT, SERVER = "100.65.0.1", "10.1.0.4"
ASN = {CIRCUIT: 12076, SERVER: OWN_ASN}
TIME = 1_700_000_000.5
POST_POLICY = 0x40


def message(kind: int, body: bytes) -> bytes:
    return struct.pack("!BIB", 3, 6 + len(body), kind) + body


def header(peer: str, *, flags: int = POST_POLICY, kind: int = 0) -> bytes:
    address = bytes(12) + IPv4Address(peer).packed
    router = IPv4Address(OWN).packed
    return struct.pack("!BB8s16sI", kind, flags, bytes(8), address, ASN.get(peer, OWN_ASN)) + router + _time()


def _time() -> bytes:
    return struct.pack("!II", int(TIME), int(TIME % 1 * 1e6))


def bgp(kind: int, body: bytes) -> bytes:
    return b"\xff" * 16 + struct.pack("!HB", 19 + len(body), kind) + body


def peer_up(peer: str) -> bytes:
    return message(3, header(peer) + bytes(16) + struct.pack("!HH", 179, 40000) + bgp(1, bytes(10)) + bgp(1, bytes(10)))


def peer_down(peer: str, reason: int, data: bytes = b"") -> bytes:
    return message(2, header(peer) + bytes([reason]) + data)


def own_route() -> bytes:
    """A route of the router's own: the first message that is about routes."""
    said = {1: b"\0", 2: b"", 3: IPv4Address(0).packed}
    return monitoring("0.0.0.0", update_body(announced=["10.1.0.0/16"], attributes=encoded(said)), kind=3)


def monitoring(peer: str, update: bytes, *, flags: int = POST_POLICY, kind: int = 0) -> bytes:
    return message(0, header(peer, flags=flags, kind=kind) + bgp(2, update))


def end_of_routes(peer: str) -> bytes:
    return monitoring(peer, update_body())


def update_body(withdrawn: Iterable[str] = (), announced: Iterable[str] = (), attributes: bytes = b"") -> bytes:
    gone, here = prefixes(withdrawn), prefixes(announced)
    return struct.pack("!H", len(gone)) + gone + struct.pack("!H", len(attributes)) + attributes + here


def prefixes(texts: Iterable[str]) -> bytes:
    networks = map(IPv4Network, texts)
    return b"".join(bytes([n.prefixlen]) + n.network_address.packed[: (n.prefixlen + 7) // 8] for n in networks)


def encoded(said: dict[int, bytes], *, extended: Iterable[int] = (), flags: int = 0x40) -> bytes:
    """Attributes by type; those of `extended` have a length of two bytes."""
    return b"".join(
        bytes([flags | (0x10 if code in extended else 0), code])
        + struct.pack("!H" if code in extended else "!B", len(value))
        + value
        for code, value in said.items()
    )


def as_path(path: AsPath) -> bytes:
    segments = []
    for is_set, hops in groupby(path, key=lambda hop: isinstance(hop, frozenset)):
        if is_set:
            segments += [(1, sorted(hop)) for hop in hops if isinstance(hop, frozenset)]
        else:
            segments.append((2, [hop for hop in hops if isinstance(hop, int)]))
    return b"".join(bytes([kind, len(asns)]) + struct.pack(f"!{len(asns)}I", *asns) for kind, asns in segments)


def attributes_bytes(attributes: PathAttributes, *, extended: Iterable[int] = ()) -> bytes:
    said = {
        1: bytes([list(Origin).index(attributes.origin)]),
        2: as_path(attributes.as_path),
        3: attributes.next_hop.packed,
    }
    if attributes.med is not None:
        said[4] = struct.pack("!I", attributes.med)
    said[5] = struct.pack("!I", 100)
    if attributes.communities:
        said[8] = b"".join(struct.pack("!HH", *c) for c in attributes.communities)
    if attributes.large_communities:
        said[32] = b"".join(struct.pack("!III", *c) for c in attributes.large_communities)
    return encoded(said, extended=extended)
