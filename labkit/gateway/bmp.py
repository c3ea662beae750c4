"""BMP (RFC 7854), with the UPDATEs in it (RFC 4271): bytes to values. Pure, but for the buffer."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Address

from labkit.azure.model import AsPath, Origin, PathAttributes
from labkit.daemons.notifications import notification_text
from labkit.daemons.protocol import BmpHabits

_ROUTE_MONITORING, _PEER_DOWN, _PEER_UP = 0, 2, 3
_PEER_HEADER = struct.Struct("!BB8s16sIIII")
_GLOBAL_PEER, _LOCAL_RIB = 0, 3
_POST_POLICY = 0x40
_BGP_HEADER = 19
_AS_SET = 1
_TRANSITIVE, _EXTENDED_LENGTH = 0x40, 0x10
_ORIGINS = {0: Origin.IGP, 1: Origin.EGP, 2: Origin.INCOMPLETE}
_NOTIFICATIONS = {1: "sent", 3: "received"}
_DOWN = {2: "this side closed it", 4: "connection closed", 5: "it is no longer configured"}

CLOSED_HERE = _DOWN[2]
"""The local system ended the session without a NOTIFICATION: BMP has no reason (`GatewayControl.why_closed` has)."""


@dataclass(frozen=True, slots=True)
class PeerUp:
    """The session with a peer (its address) is Established since `time`, Unix seconds."""

    peer: str
    time: float


@dataclass(frozen=True, slots=True)
class PeerDown:
    """The session with a peer is not Established, and nothing is known from it any more."""

    peer: str
    time: float
    reason: str


@dataclass(frozen=True, slots=True)
class BmpUpdate:
    """What a peer announced and this side kept, or withdrew. Prefixes are texts."""

    peer: str
    withdrawn: tuple[str, ...]
    announced: tuple[str, ...]
    attributes: PathAttributes | None


@dataclass(frozen=True, slots=True)
class PeersListed:
    """The state of every configured peer has been reported; their routes follow."""


@dataclass(frozen=True, slots=True)
class EndOfRoutes:
    """What the daemon has kept from a peer so far has been reported."""

    peer: str


Message = PeerUp | PeerDown | BmpUpdate | PeersListed | EndOfRoutes


class BmpStream:
    """A monitored router's bytes, in pieces of any size; what its daemon gets wrong by `habits` is corrected."""

    def __init__(self, habits: BmpHabits) -> None:
        self._habits = habits
        self._buffer = b""
        self._listed = False
        self._own_asn: int | None = None

    def feed(self, data: bytes, now: float) -> Iterator[Message]:
        """The messages that are complete with these bytes, which came at `now` (Unix seconds).

        Of the router's own table and of statistics there is none. A connection begins with the peers' states. They end
        where a route comes, and a gateway has one at least: that of a virtual network.

        Raises:
            ValueError: this is not BMP.
        """
        self._buffer += data
        while len(self._buffer) >= 6:
            version, length, kind = struct.unpack_from("!BIB", self._buffer)
            if version != 3 or length < 6:
                raise ValueError(f"BMP version {version}, message of {length} bytes")
            if len(self._buffer) < length:
                return
            body, self._buffer = self._buffer[6:length], self._buffer[length:]
            if kind == _ROUTE_MONITORING and not self._listed:
                self._listed = True
                yield PeersListed()
            if kind in (_ROUTE_MONITORING, _PEER_DOWN, _PEER_UP):
                found = self._message(kind, body, now)
                if found is not None:
                    yield found

    def _message(self, kind: int, body: bytes, now: float) -> Message | None:
        peer_type, flags, _, address, asn, _router_id, seconds, microseconds = _PEER_HEADER.unpack_from(body)
        if peer_type == _LOCAL_RIB:
            self._own_asn = asn  # RFC 9069 §4.1
        if peer_type != _GLOBAL_PEER:
            return None
        peer, rest = str(IPv4Address(address[12:])), body[_PEER_HEADER.size :]
        if kind == _PEER_UP:
            is_now = self._listed and self._habits.up_since_boot
            return PeerUp(peer, now if is_now else seconds + microseconds / 1e6)
        if kind == _PEER_DOWN:
            return PeerDown(peer, now, _why_down(rest))
        if not flags & _POST_POLICY:
            return None
        found = update(peer, rest)
        if not found.announced and not found.withdrawn:
            return EndOfRoutes(peer)
        attributes = found.attributes
        own_first = self._habits.own_asn_in_front and asn != self._own_asn
        if attributes is not None and own_first and attributes.as_path[:1] == (self._own_asn,):
            return replace(found, attributes=replace(attributes, as_path=attributes.as_path[1:]))
        return found


def _why_down(data: bytes) -> str:
    """The reason of a Peer Down notification, which may hold the NOTIFICATION that ended the session."""
    reason, message = data[0], data[1:]
    if reason in _NOTIFICATIONS and len(message) >= _BGP_HEADER + 2:
        code, subcode = message[_BGP_HEADER : _BGP_HEADER + 2]
        return notification_text(code, subcode, received=_NOTIFICATIONS[reason] == "received")
    return _DOWN.get(reason, f"reason {reason}")


def update(peer: str, message: bytes) -> BmpUpdate:
    """A BGP UPDATE with four-byte ASNs, its header included."""
    (withdrawn_length,) = struct.unpack_from("!H", message, _BGP_HEADER)
    start = _BGP_HEADER + 2
    withdrawn = message[start : start + withdrawn_length]
    start += withdrawn_length
    (attributes_length,) = struct.unpack_from("!H", message, start)
    start += 2
    attributes, announced = message[start : start + attributes_length], message[start + attributes_length :]
    prefixes = tuple(_prefixes(announced))
    return BmpUpdate(peer, tuple(_prefixes(withdrawn)), prefixes, _attributes(attributes) if prefixes else None)


def _prefixes(data: bytes) -> Iterator[str]:
    position = 0
    while position < len(data):
        length = data[position]
        size = (length + 7) // 8
        octets = data[position + 1 : position + 1 + size].ljust(4, b"\0")
        yield f"{IPv4Address(octets)}/{length}"
        position += 1 + size


def _attributes(data: bytes) -> PathAttributes:
    found: dict[int, bytes] = {}
    unknown: list[tuple[int, int, bytes]] = []
    position = 0
    while position < len(data):
        flags, code = data[position], data[position + 1]
        extended = bool(flags & _EXTENDED_LENGTH)
        (size,) = struct.unpack_from("!H" if extended else "!B", data, position + 2)
        position += 4 if extended else 3
        value = data[position : position + size]
        position += size
        if code in _KNOWN:
            found[code] = value
        elif flags & _TRANSITIVE:
            unknown.append((code, flags & ~_EXTENDED_LENGTH, value))
    return PathAttributes(
        next_hop=IPv4Address(found[3]),
        as_path=_as_path(found.get(2, b"")),
        origin=_ORIGINS[found[1][0]],
        med=struct.unpack("!I", found[4])[0] if 4 in found else None,
        communities=tuple(sorted(struct.iter_unpack("!HH", found.get(8, b"")))),
        large_communities=tuple(sorted(struct.iter_unpack("!III", found.get(32, b"")))),
        unknown=tuple(unknown),
    )


_LOCAL_PREFERENCE = 5
_KNOWN = (1, 2, 3, 4, _LOCAL_PREFERENCE, 8, 32)
"""The attributes that a rule reads, and the one that is nobody's business beyond this router."""


def _as_path(data: bytes) -> AsPath:
    path: list[int | frozenset[int]] = []
    position = 0
    while position < len(data):
        kind, count = data[position], data[position + 1]
        numbers = struct.unpack_from(f"!{count}I", data, position + 2)
        path += [frozenset(numbers)] if kind == _AS_SET else numbers
        position += 2 + 4 * count
    return tuple(path)
