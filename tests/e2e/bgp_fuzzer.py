"""A hostile BGP peer: messages by the cases of RFC 7606 from a seed, and the routes that must be left of them.

It runs in a peer's network namespace, as one file that imports nothing of labkit:

    python3 bgp_fuzzer.py SERVER ADDRESS ASN OWN_RANGE SEED MESSAGES

`OWN_RANGE` is what the route server advertises itself. At every checkpoint it prints a line of JSON (`Checkpoint`) and
waits for a line: whoever started it compares what other peers have received with the routes that it names. The last
line is the `Summary`. A session that ends, or goes on, against the rules is a complaint in it.

Phases alternate. In one *by the rules*, what each message must cause is known. In a *wild* one, messages are mutilated
at random; what is known is that nothing is left of them once the session has ended.
"""

from __future__ import annotations

import contextlib
import json
import random
import select
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace

OPEN, UPDATE, NOTIFICATION, KEEPALIVE, ROUTE_REFRESH = 1, 2, 3, 4, 5
MARKER = b"\xff" * 16
SERVER_ASN, AS_TRANS = 65515, 23456
LARGEST = 4096
LONGEST_PATH = 944
"""ASNs of the longest path that is advertised: with another ASN, a community, one prefix, and what peers may add."""

WELL_KNOWN, TRANSITIVE, OPTIONAL = 0x40, 0xC0, 0x80
ORIGIN, AS_PATH, NEXT_HOP, MED, LOCAL_PREF, ATOMIC, AGGREGATOR, COMMUNITY = range(1, 9)
ORIGINATOR_ID, CLUSTER_LIST, MP_REACH, MP_UNREACH, EXTENDED_COMMUNITY, AS4_PATH, AS4_AGGREGATOR = (
    9,
    10,
    14,
    15,
    16,
    17,
    18,
)
AIGP, BGP_LS, LARGE_COMMUNITY, PREFIX_SID = 26, 29, 32, 40

PREFIXES = [f"10.{128 + n}.0.0/16" for n in range(48)] + [f"192.168.{n}.0/24" for n in range(16)]
SERIALS = 4_200_000_000
"""The last ASN of the path of message number n is this plus n, so that what others receive shows where it is from."""

PATIENCE = 60.0
"""Seconds in which an answer must come; the hold time is longer."""


@dataclass
class Checkpoint:
    """The prefixes that are left, and those of them to be advertised, each with its serial number.

    `names` are the cases of the messages since the last checkpoint, by serial number; `accepted` are those of them
    whose routes may have been advertised; `messages` is how many were sent in all.
    """

    wild: bool
    held: list[str]
    routes: dict[str, int]
    accepted: list[int]
    names: dict[str, str]
    messages: int


@dataclass
class Summary:
    """How many messages of each case, how many sessions and resets, and what was against the rules."""

    cases: dict[str, int] = field(default_factory=dict)
    sessions: int = 0
    resets: int = 0
    complaints: list[str] = field(default_factory=list)


# Messages.


def message(kind: int, body: bytes) -> bytes:
    return MARKER + (19 + len(body)).to_bytes(2, "big") + bytes([kind]) + body


def nlri(prefix: str) -> bytes:
    address, length = prefix.split("/")
    return bytes([int(length)]) + socket.inet_aton(address)[: (int(length) + 7) // 8]


def attribute(code: int, value: bytes, flags: int) -> bytes:
    if len(value) > 255:
        return bytes([flags | 0x10, code]) + len(value).to_bytes(2, "big") + value
    return bytes([flags, code, len(value)]) + value


def segment(asns: list[int], kind: int = 2) -> bytes:
    return bytes([kind, len(asns)]) + b"".join(asn.to_bytes(4, "big") for asn in asns)


def as_path(asns: list[int]) -> bytes:
    return b"".join(segment(asns[i : i + 255]) for i in range(0, len(asns), 255))


def update(attributes: bytes, announced: bytes = b"", withdrawn: bytes = b"") -> bytes:
    head = len(withdrawn).to_bytes(2, "big") + withdrawn + len(attributes).to_bytes(2, "big")
    return message(UPDATE, head + attributes + announced)


Attribute = tuple[int, int, bytes]
"""Code, flags, value."""


def encoded(attributes: list[Attribute]) -> bytes:
    return b"".join(attribute(code, value, flags) for code, flags, value in attributes)


@dataclass(frozen=True)
class Case:
    """A message and what it must cause: routes that come and go, or the end of the session by a NOTIFICATION."""

    name: str
    data: bytes
    announced: tuple[str, ...] = ()
    withdrawn: tuple[str, ...] = ()
    serial: int = 0
    too_long: bool = False
    """Whether its routes are accepted and can't be advertised."""

    notification: str = ""
    """The code and subcode that end the session, as `3/1`; `*` for whichever."""


class Generator:
    """Cases from a source of chance, for a peer."""

    def __init__(self, chance: random.Random, address: str, asn: int, server: str) -> None:
        self._chance, self._address, self._asn, self._server = chance, address, asn, server
        self._serial = 0
        self._ways: list[tuple[int, Callable[[], Case]]] = [
            (30, self.valid),
            (8, self.withdrawal),
            (4, self.nothing),
            (3, self.long_path),
            (40, self.malformed),
            (20, self.discarded),
            (6, self.refused_by_policy),
        ]

    def by_the_rules(self) -> Case:
        """A case after which the session goes on."""
        weights = [weight for weight, _ in self._ways]
        return self._chance.choices([way for _, way in self._ways], weights)[0]()

    # Cases after which the session goes on.

    def valid(self) -> Case:
        attributes = self._usual()
        prefixes, gone = self._prefixes(), self._prefixes() if self._chance.random() < 0.3 else ()
        gone = tuple(prefix for prefix in gone if prefix not in prefixes)
        if self._chance.random() < 0.3:
            self._chance.shuffle(attributes)
        return self._update("valid", attributes, prefixes, withdrawn=gone)

    def withdrawal(self) -> Case:
        prefixes = self._prefixes()
        return Case("withdrawal", update(b"", withdrawn=b"".join(map(nlri, prefixes))), withdrawn=prefixes)

    def nothing(self) -> Case:
        return self._chance.choice([
            Case("KEEPALIVE", message(KEEPALIVE, b"")),
            Case("End-of-RIB", update(b"")),
        ])  # fmt: skip

    def long_path(self) -> Case:
        """Paths as long as a message has room for; the longest leave none for what the route server adds to them."""
        prefixes = self._prefixes(3)
        attributes = self._usual(extra=False)
        asns = self._chance.choice([255, 256, 300, 600, 900, LONGEST_PATH, LONGEST_PATH + 1, 1009])
        path = [self._asn, *(64600 + n % 300 for n in range(asns - 2)), SERIALS + self._serial]
        attributes[1] = (AS_PATH, WELL_KNOWN, as_path(path))
        case = self._update(f"path of {asns} ASNs", attributes, prefixes)
        return replace(case, too_long=asns > LONGEST_PATH)

    def malformed(self) -> Case:
        """Treat-as-withdraw: RFC 7606 §3 (c to e), RFC 7606 §4 and RFC 7606 §7."""
        chance, pick, asn = self._chance, self._chance.choice, self._asn
        path = as_path([asn])
        attributes = self._usual()
        byte = bytes([chance.randrange(256)])
        code, flags, value, name = pick([
            (ORIGIN, WELL_KNOWN, b"", "ORIGIN of no length"),
            (ORIGIN, WELL_KNOWN, b"\0\0", "ORIGIN of two bytes"),
            (ORIGIN, WELL_KNOWN, bytes([chance.randrange(3, 256)]), "unknown ORIGIN"),
            (ORIGIN, pick([0x00, 0x80, 0xC0]), b"\0", "flags of ORIGIN"),
            (AS_PATH, WELL_KNOWN, pick([b"\0", b"\5", b"\xff"]) + path[1:], "segment type"),
            (AS_PATH, WELL_KNOWN, b"\2\x09" + path[2:], "segment that overruns"),
            (AS_PATH, WELL_KNOWN, path + byte, "segment that underruns"),
            (AS_PATH, WELL_KNOWN, path + pick([b"\1\0", b"\2\0"]), "empty segment"),
            (AS_PATH, WELL_KNOWN, segment([64512], pick([3, 4])) + path, "confederation"),
            (AS_PATH, pick([0x00, 0x80, 0xC0]), path, "flags of AS_PATH"),
            (NEXT_HOP, WELL_KNOWN, pick([b"", b"\x0a\1\0", b"\x0a\1\0\x0a\0", b"\0" * 16]), "length of NEXT_HOP"),
            (NEXT_HOP, pick([0x00, 0x80, 0xC0]), socket.inet_aton(self._address), "flags of NEXT_HOP"),
            (MED, OPTIONAL, byte * pick([0, 1, 3, 5, 300]), "length of MED"),
            (MED, pick([0x00, 0x40, 0xC0]), b"\0\0\0\1", "flags of MED"),
            (COMMUNITY, TRANSITIVE, byte * pick([0, 1, 3, 5, 257]), "length of COMMUNITIES"),
            (COMMUNITY, pick([0x40, 0x80]), b"\xfc\x58\0\1", "flags of COMMUNITIES"),
            (EXTENDED_COMMUNITY, TRANSITIVE, byte * pick([0, 1, 7, 9, 257]), "length of extended communities"),
            (LARGE_COMMUNITY, TRANSITIVE, byte * pick([0, 1, 11, 13, 257]), "length of large communities"),
            (LARGE_COMMUNITY, pick([0x40, 0x80]), b"\1" * 12, "flags of large communities"),
            (ORIGIN, -1, b"", "no ORIGIN"),
            (AS_PATH, -1, b"", "no AS_PATH"),
            (NEXT_HOP, -1, b"", "no NEXT_HOP"),
            (0, 0, b"", "attribute that overruns"),
            (0, 1, byte, "a byte after the attributes"),
            (0, 2, b"\x40\x05", "two bytes after the attributes"),
        ])  # fmt: skip
        prefixes = self._prefixes()
        if code:
            attributes = [a for a in attributes if a[0] != code]
            if flags >= 0:
                attributes.append((code, flags, value))
            if chance.random() < 0.5:
                chance.shuffle(attributes)
            data = encoded(attributes)
        elif flags:
            data = encoded(attributes) + value
        else:
            data = encoded(attributes) + bytes([0xC0, 0x63, chance.randrange(1, 256)])
        announcement = update(data, b"".join(map(nlri, prefixes)))
        return Case(f"withdraw: {name}", announcement, withdrawn=prefixes, serial=self._serial)

    def discarded(self) -> Case:
        """Attribute discard (RFC 7606 §3 (f, g), RFC 7606 §7; RFC 6793 §4.1), and attributes that nobody knows."""
        chance, pick, asn = self._chance, self._chance.choice, self._asn
        byte = bytes([chance.randrange(256)])
        code, flags, value, name = pick([
            (LOCAL_PREF, WELL_KNOWN, byte * pick([0, 3, 4, 5]), "LOCAL_PREF of another AS"),
            (LOCAL_PREF, 0xC0, b"\0\0\0\1", "LOCAL_PREF of another AS with wrong flags"),
            (ATOMIC, WELL_KNOWN, byte, "length of ATOMIC_AGGREGATE"),
            (ATOMIC, 0xC0, b"", "flags of ATOMIC_AGGREGATE"),
            (AGGREGATOR, TRANSITIVE, byte * pick([0, 5, 6, 7, 9]), "length of AGGREGATOR"),
            (AGGREGATOR, 0x40, b"\0\0\xfd\xe9\1\2\3\4", "flags of AGGREGATOR"),
            (ORIGINATOR_ID, OPTIONAL, byte * pick([0, 3, 4, 5]), "ORIGINATOR_ID of another AS"),
            (CLUSTER_LIST, OPTIONAL, byte * pick([0, 4, 5, 8]), "CLUSTER_LIST of another AS"),
            (AS4_PATH, TRANSITIVE, pick([b"", byte, b"\7" * 6, as_path([64512, 64513])]), "AS4_PATH"),
            (AS4_AGGREGATOR, TRANSITIVE, byte * pick([0, 4, 7, 8]), "AS4_AGGREGATOR"),
            (AIGP, OPTIONAL, byte * pick([0, 1, 3, 10, 11]), "AIGP"),
            (BGP_LS, OPTIONAL, byte * pick([1, 3, 40]), "BGP-LS"),
            (PREFIX_SID, TRANSITIVE, byte * pick([0, 1, 2, 9, 40]), "Prefix-SID"),
            (chance.randrange(200, 255), OPTIONAL, byte * pick([0, 1, 300]), "unknown, not transitive"),
            (chance.randrange(200, 255), pick([0xC0, 0xE0, 0xCF]), byte * 5, "unknown, transitive"),
            (ORIGIN, WELL_KNOWN, pick([b"\1", b"\7", b"\0\0"]), "second ORIGIN"),
            (AS_PATH, WELL_KNOWN, as_path([asn, 1]), "second AS_PATH"),
            (NEXT_HOP, WELL_KNOWN, b"\x0a\1\0\x63", "second NEXT_HOP"),
        ])  # fmt: skip
        attributes = [a for a in self._usual(extra=False) if name.startswith("second") or a[0] != code]
        return self._update(f"discard: {name}", [*attributes, (code, flags, value)], self._prefixes())

    def refused_by_policy(self) -> Case:
        pick, asn = self._chance.choice, self._asn
        attributes = self._usual(extra=False)
        index, value, name = pick([
            (1, as_path([64999, SERIALS + self._serial]), "another AS first"),
            (1, b"", "empty path"),
            (1, as_path([asn, SERVER_ASN, SERIALS + self._serial]), "the route server's own AS"),
            (1, as_path([asn, 0]), "AS 0"),
            (1, segment([asn, SERIALS + self._serial], 1), "AS_SET first"),
            (2, socket.inet_aton(self._server), "the route server as next hop"),
            (2, socket.inet_aton(pick(["0.0.0.0", "127.0.0.1", "224.0.0.5", "255.255.255.255"])), "next hop"),
        ])  # fmt: skip
        code, flags, _ = attributes[index]
        attributes[index] = code, flags, value
        prefixes = self._prefixes()
        data = update(encoded(attributes), b"".join(map(nlri, prefixes)))
        return Case(f"policy: {name}", data, withdrawn=prefixes, serial=self._serial)

    # Cases that end the session.

    def last(self) -> Case:
        """A case that ends the session (RFC 4271 §6, RFC 7606 §3 and RFC 7606 §5)."""
        chance, here = self._chance, nlri("10.128.0.0/16")
        usual = encoded(self._usual(extra=False))
        unknown = attribute(chance.randrange(200, 255), b"\0", WELL_KNOWN)
        reach = attribute(MP_REACH, bytes.fromhex("000101040a01000a00100a80"), OPTIONAL)
        name, data, notification = chance.choice([
            ("marker", bytes([chance.randrange(255)]) + message(KEEPALIVE, b"")[1:], "1/1"),
            ("length under 19", MARKER + bytes([0, chance.randrange(19), KEEPALIVE]), "1/2"),
            ("length over 4096", MARKER + chance.choice([4097, 65535]).to_bytes(2, "big") + bytes([UPDATE]), "1/2"),
            ("unknown type", message(chance.choice([6, 7, 99, 255]), b""), "1/3"),
            ("KEEPALIVE with a body", message(KEEPALIVE, b"\0"), "1/2"),
            ("UPDATE that is too short", message(UPDATE, bytes(chance.randrange(4))), "1/2"),
            ("OPEN in a session", opening(self._address, self._asn), "5/0"),
            ("NOTIFICATION", message(NOTIFICATION, bytes([chance.randrange(9), chance.randrange(12)]) + b"\xfe"), ""),
            ("withdrawn routes that overrun", message(UPDATE, b"\xff\xff" + bytes(20)), "3/1"),
            ("attributes that overrun", message(UPDATE, b"\0\0\xff\xff" + usual), "3/1"),
            ("prefix that is too long", update(usual, here + bytes([chance.randrange(33, 256)]) + bytes(32)), "3/10"),
            ("prefix that is cut", update(usual, here + b"\x18\x0a"), "3/10"),
            ("withdrawn prefix that is too long", update(b"", withdrawn=bytes([200]) + bytes(25)), "3/10"),
            ("family of no session", update(attribute(MP_UNREACH, b"\0\1\x80", OPTIONAL)), "3/9"),
            ("unknown well-known attribute", update(usual + unknown, here), "3/2"),
            ("MP_REACH_NLRI twice", update(usual + 2 * reach, here), "3/1"),
        ])  # fmt: skip
        return Case(f"reset: {name}", data, notification=notification)

    def bad_open(self) -> Case:
        """An OPEN that is to be refused (RFC 4271 §6.2), or something else in its place."""
        chance = self._chance
        usual = opening(self._address, self._asn)[19:]
        name, data, notification = chance.choice([
            ("version", message(OPEN, bytes([chance.choice([0, 3, 5, 255])]) + usual[1:]), "2/1"),
            ("AS", opening(self._address, chance.choice([64999, 4_200_000_001])), "2/2"),
            ("AS 0", opening(self._address, 0), "2/2"),
            ("identifier", opening("0.0.0.0", self._asn), "2/3"),
            ("hold time", opening(self._address, self._asn, hold_time=chance.choice([1, 2])), "2/6"),
            ("parameter", message(OPEN, usual[:9] + b"\4\x63\2\0\0"), "2/4"),
            ("parameter that overruns", message(OPEN, usual[:9] + b"\4\2\x20\1\0"), "2/0"),
            ("capability that overruns", message(OPEN, usual[:9] + b"\6\2\4\x41\x20\0\0"), "2/0"),
            ("short", message(OPEN, usual[: chance.randrange(9)]), "1/2"),
            ("KEEPALIVE first", message(KEEPALIVE, b""), "5/1"),
            ("UPDATE first", update(b""), "5/1"),
            ("garbage first", chance.randbytes(chance.randrange(19, 60)), "1/1"),
            ("marker", b"\0" + opening(self._address, self._asn)[1:], "1/1"),
        ])  # fmt: skip
        return Case(f"OPEN: {name}", data, notification=notification)

    def good_open(self) -> bytes:
        """An OPEN of any kind that is to be accepted."""
        return self._chance.choice([
            opening(self._address, self._asn),
            opening(self._address, self._asn, extended=True),
            opening(self._address, self._asn, offered="0200"),  # no family is IPv4 unicast
            opening(self._address, self._asn, offered=USUAL_CAPABILITIES + "010400020001"),
            opening(self._address, self._asn, offered=USUAL_CAPABILITIES + "4600" + "0600" + "7f03000102"),
            opening(self._address, self._asn, offered=USUAL_CAPABILITIES + "4002c078" + "450400010103"),
        ])  # fmt: skip

    def wild(self) -> Case:
        """A message of any case with bytes changed, left out, doubled or put in; its length may be made right again."""
        chance = self._chance
        of = chance.choice([self.valid, self.valid, self.malformed, self.discarded, self.long_path, self.last])()
        data = bytearray(of.data)
        for _ in range(chance.choice([1, 1, 2, 4, 16])):
            at = chance.randrange(16 if chance.random() < 0.05 else 19, len(data)) if len(data) > 19 else len(data) - 1
            match chance.randrange(4):
                case 0:
                    data[at] ^= 1 << chance.randrange(8)
                case 1:
                    data[at] = chance.choice([0, 1, 127, 128, 255])
                case 2:
                    del data[at : at + chance.randrange(1, 5)]
                case _:
                    data[at:at] = chance.randbytes(chance.randrange(1, 5))
        if chance.random() < 0.8 and 19 <= len(data) <= LARGEST:
            data[16:18] = len(data).to_bytes(2, "big")
        return Case("wild", bytes(data), notification="*")

    # Their parts.

    def _prefixes(self, most: int = 6) -> tuple[str, ...]:
        return tuple(self._chance.sample(PREFIXES, self._chance.randint(1, most)))

    def _usual(self, *, extra: bool = True) -> list[Attribute]:
        """ORIGIN, AS_PATH and NEXT_HOP, and by chance some more that are as they should be."""
        self._serial += 1
        chance = self._chance
        path = [self._asn, *(chance.randint(64600, 64999) for _ in range(chance.randrange(4)))]
        asns = as_path(path)
        if extra and chance.random() < 0.2:
            asns += segment([64512, 64513], 1)
        communities = [b"\xfc\x58" + chance.randbytes(2) for _ in range(chance.choice([1, 2, 70]))]
        attributes = [
            (ORIGIN, WELL_KNOWN, bytes([chance.randrange(3)])),
            (AS_PATH, WELL_KNOWN, asns + as_path([SERIALS + self._serial])),
            (NEXT_HOP, WELL_KNOWN, socket.inet_aton(self._address)),
        ]
        more = [
            (MED, OPTIONAL, chance.randbytes(4)),
            (ATOMIC, WELL_KNOWN, b""),
            (AGGREGATOR, TRANSITIVE, self._asn.to_bytes(4, "big") + chance.randbytes(4)),
            (COMMUNITY, TRANSITIVE, b"".join(communities)),
            (EXTENDED_COMMUNITY, TRANSITIVE, b"\0\2\xfd\xe9" + chance.randbytes(4)),
            (LARGE_COMMUNITY, TRANSITIVE, b"\0\0\xfd\xe9" + chance.randbytes(8)),
            (99, TRANSITIVE, chance.randbytes(chance.choice([1, 40, 400]))),
        ]  # fmt: skip
        return attributes + [a for a in more if extra and chance.random() < 0.2]

    def _update(
        self, name: str, attributes: list[Attribute], prefixes: tuple[str, ...], *, withdrawn: tuple[str, ...] = ()
    ) -> Case:
        data = update(encoded(attributes), b"".join(map(nlri, prefixes)), b"".join(map(nlri, withdrawn)))
        return Case(name, data, prefixes, withdrawn, self._serial)


USUAL_CAPABILITIES = "010400010001" + "0200"
"""IPv4 unicast and route refresh."""


def opening(
    address: str, asn: int, *, hold_time: int = 180, offered: str = USUAL_CAPABILITIES, extended: bool = False
) -> bytes:
    """An OPEN with four-octet ASNs and these capabilities (in hex); `extended`: its parameters as in RFC 9072."""
    capabilities = bytes.fromhex(offered + "4104") + asn.to_bytes(4, "big")
    head = b"\4" + (asn if asn < 1 << 16 else AS_TRANS).to_bytes(2, "big") + hold_time.to_bytes(2, "big")
    if extended:
        parameter = b"\2" + len(capabilities).to_bytes(2, "big") + capabilities
        length = b"\xff\xff" + len(parameter).to_bytes(2, "big")
    else:
        parameter = bytes([2, len(capabilities)]) + capabilities
        length = bytes([len(parameter)])
    return message(OPEN, head + socket.inet_aton(address) + length + parameter)


# The peer.


class Ended(Exception):
    """The session has ended; the NOTIFICATION that came, as `3/1`, or nothing."""

    def __init__(self, notification: str) -> None:
        super().__init__(notification)
        self.notification = notification


class Session:
    """A connection to the route server. What comes in is read while bytes go out."""

    def __init__(self, server: str) -> None:
        self._socket = socket.create_connection((server, 179), PATIENCE)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setblocking(False)
        self._data = b""
        self._notification = ""
        self.received: Counter[int] = Counter()
        self.refreshed = 0
        """How many UPDATEs had the route server's own range."""

    def open(self, first: bytes) -> None:
        """Send an OPEN and go on to an established session."""
        self.send(first, b"")
        self.wait(lambda: self.received[OPEN] > 0)
        self.send(message(KEEPALIVE, b""), b"")
        self.wait(lambda: self.received[KEEPALIVE] > 0)

    def send(self, data: bytes, own_range: bytes, pieces: Iterator[int] | None = None) -> None:
        """Send bytes, in pieces of these sizes if there are any."""
        while data:
            size = next(pieces) if pieces is not None else len(data)
            readable, writable, _ = select.select([self._socket], [self._socket], [], PATIENCE)
            if readable:
                self._read(own_range)
            if writable:
                try:
                    data = data[self._socket.send(data[:size]) :]
                except (BrokenPipeError, ConnectionResetError):
                    raise Ended(self._notification) from None

    def wait(self, done: Callable[[], bool], own_range: bytes = b"\0") -> None:
        """Read until something is so."""
        deadline = time.monotonic() + PATIENCE
        while not done():
            if not select.select([self._socket], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise Ended("silence")
            self._read(own_range)

    def close(self) -> None:
        """Close the connection, once the route server has closed it too: it has no room for another before."""
        with contextlib.suppress(Ended, OSError):
            self._socket.shutdown(socket.SHUT_WR)
            self.wait(lambda: False)
        self._socket.close()

    def _read(self, own_range: bytes) -> None:
        try:
            chunk = self._socket.recv(1 << 16)
        except ConnectionResetError:
            chunk = b""
        if not chunk:
            raise Ended(self._notification)
        self._data += chunk
        while len(self._data) >= 19 and len(self._data) >= (size := int.from_bytes(self._data[16:18], "big")):
            kind, body = self._data[18], self._data[19:size]
            self._data = self._data[size:]
            self.received[kind] += 1
            if kind == NOTIFICATION:
                self._notification = f"{body[0]}/{body[1]}"
            if kind == UPDATE and own_range and body.endswith(own_range):
                self.refreshed += 1


class Fuzzer:
    """The peer's sessions, one after the other, and what must be left of each."""

    def __init__(self, server: str, address: str, asn: int, own_range: str, seed: int) -> None:
        self._server, self._address, self._asn = server, address, asn
        self._own_range = nlri(own_range)
        self._chance = random.Random(seed)
        self._cases = Generator(self._chance, address, asn, server)
        self._counted: Counter[str] = Counter()
        self._routes: dict[str, Case] = {}
        self._accepted: list[int] = []
        self._names: dict[str, str] = {}
        self._sent = 0
        self.summary = Summary()

    def run(self, messages: int) -> None:
        """Send so many messages, with a checkpoint about every 500."""
        while self._sent < messages:
            wild, until = self._chance.random() < 0.25, min(messages, self._sent + 500)
            while self._sent < until:
                self._bad_opens()
                self._wild_session() if wild else self._session(until)
            self._checkpoint(wild)
        self.summary.cases = dict(sorted(self._counted.items()))

    def _checkpoint(self, wild: bool) -> None:
        routes = {prefix: case.serial for prefix, case in self._routes.items() if not case.too_long}
        checkpoint = Checkpoint(wild, [*self._routes], routes, self._accepted, self._names, self._sent)
        print(json.dumps(asdict(checkpoint)), flush=True)
        sys.stdin.readline()
        self._accepted, self._names = [], {}

    def _open(self) -> Session:
        session = Session(self._server)
        session.open(self._cases.good_open())
        self.summary.sessions += 1
        self._routes = {}
        return session

    def _bad_opens(self) -> None:
        for _ in range(self._chance.choice([0, 0, 1, 3])):
            case = self._count(self._cases.bad_open())
            session = Session(self._server)
            try:
                session.send(case.data, b"")
                session.wait(lambda: False)
            except Ended as ended:
                self._compare(case, ended.notification)
            session.close()

    def _session(self, until: int) -> None:
        """A session by the rules: batches of messages, after each of which it is still up, and an end to it."""
        session = self._open()
        batch: list[Case] = []
        try:
            for _ in range(self._chance.randrange(1, 4)):
                batch = [self._count(self._cases.by_the_rules()) for _ in range(self._chance.randrange(5, 60))]
                self._send(session, b"".join(case.data for case in batch))
                self._synchronize(session)
                for case in batch:
                    self._follow(case)
        except Ended as ended:
            self._find(batch, ended.notification)
            return
        if self._sent >= until:
            self._checkpoint(wild=False)
        self._end(session)

    def _end(self, session: Session) -> None:
        case = self._count(self._cases.last())
        try:
            self._send(session, case.data)
            session.wait(lambda: False, self._own_range)
        except Ended as ended:
            self._compare(case, ended.notification)
        self.summary.resets += 1
        self._routes = {}
        session.close()

    def _wild_session(self) -> None:
        """Whatever the route server makes of it: at its end, nothing is left."""
        session = self._open()
        try:
            for _ in range(self._chance.randrange(1, 30)):
                case = self._count(self._cases.wild())
                self._accepted.append(case.serial)
                self._send(session, case.data)
            self._synchronize(session)
        except Ended:
            self.summary.resets += 1
        session.close()

    def _send(self, session: Session, data: bytes) -> None:
        in_pieces = self._chance.random() < 0.2
        session.send(data, self._own_range, self._pieces() if in_pieces else None)

    def _pieces(self) -> Iterator[int]:
        while True:
            yield self._chance.choice([1, 2, 18, 19, 20, 100, 1000])

    def _synchronize(self, session: Session) -> None:
        """Wait until all that was sent has been read: a request for routes is answered after it."""
        before = session.refreshed
        session.send(message(ROUTE_REFRESH, b"\0\1\0\1"), self._own_range)
        session.wait(lambda: session.refreshed > before, self._own_range)

    def _follow(self, case: Case) -> None:
        for prefix in case.withdrawn:
            self._routes.pop(prefix, None)
        for prefix in case.announced:
            self._routes[prefix] = case
        if case.announced and not case.too_long:
            self._accepted.append(case.serial)

    def _find(self, batch: list[Case], notification: str) -> None:
        """A session ended amid messages that must not end it: try them one by one, each in a session of its own."""
        self._routes = {}
        self.summary.resets += 1
        blamed = False
        for case in batch:
            session = self._open()
            try:
                session.send(case.data, self._own_range)
                self._synchronize(session)
            except Ended as ended:
                blamed = True
                self._compare(case, ended.notification)
            self._accepted += [case.serial] * bool(case.announced)
            session.close()
        if not blamed:
            self.summary.complaints.append(
                f"a session ended with {notification or 'no NOTIFICATION'}, by no one message"
            )
        self._routes = {}

    def _count(self, case: Case) -> Case:
        self._sent += 1
        self._counted[case.name] += 1
        self._names[str(case.serial)] = case.name
        return case

    def _compare(self, case: Case, notification: str) -> None:
        if case.notification not in ("*", notification):
            expected = case.notification or "the session to go on"
            self.summary.complaints.append(
                f"{case.name}: {notification or 'no NOTIFICATION'} instead of {expected}: {case.data.hex()[:400]}"
            )


def main(arguments: list[str]) -> None:
    server, address, asn, own_range, seed, messages = arguments
    fuzzer = Fuzzer(server, address, int(asn), own_range, int(seed))
    fuzzer.run(int(messages))
    print(json.dumps(asdict(fuzzer.summary)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
