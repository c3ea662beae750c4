"""Which of several equal next hops a flow takes, and which backend of a load balancer: the hash of labkit's fabrics.

Azure's own hash of the five-tuple is not published. This one is what the kernel computes for nftables' `jhash` over the
expressions in `labkit.fabric.program`, so that where a flow is known its next hop is, too.

Equal next hops are chosen for each direction of a connection by itself. The backends of a load balancer with HA ports
are chosen for both directions alike [ha-ports-symmetry]: each direction has a hash of its own, and their sum decides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address

TCP, UDP = 6, 17
IP_IN_IP, GRE = 4, 47

_WORD = 0xFFFFFFFF
_START = 0xDEADBEEF


@dataclass(frozen=True, slots=True)
class Flow:
    """What a flow's packets have in common, apart from their addresses.

    `ports` are source and destination port; None for a protocol without ports, and for fragments.
    """

    protocol: int
    ports: tuple[int, int] | None = None

    @property
    def reverse(self) -> Flow:
        """The other direction's."""
        return Flow(self.protocol, None if self.ports is None else (self.ports[1], self.ports[0]))


def chosen(flow: Flow, source: IPv4Address, destination: IPv4Address, count: int, seed: int) -> int:
    """The place, from 0 to `count` - 1, of the next hop that a flow from `source` to `destination` takes.

    Ports count for TCP and UDP alone, as in the fabric. `seed` has 32 bits.
    """
    key = source.packed + destination.packed + bytes((flow.protocol, 0, 0, 0))
    if flow.ports is not None and flow.protocol in (TCP, UDP):
        # nftables pads every part of a key to 32 bits.
        key += b"".join(port.to_bytes(2) + bytes(2) for port in flow.ports)
    return jhash(key, seed) * count >> 32


def backend(
    flow: Flow, source: IPv4Address, destination: IPv4Address, up: Sequence[bool], frontend: IPv4Address
) -> int:
    """The place of the backend that gets a flow: the same for both of its directions, in whatever network it is chosen.

    The backend at the first place that the hash gives, or if that is not `up` one of those that are: one that goes down
    or comes up moves no flow between the others. Of two load balancers each has seeds of its own, so that flows may
    meet another backend at the other one.

    `frontend` is the load balancer's address.

    Raises:
        ValueError: none is up.
    """
    for seed, choice in zip(seeds(frontend), choices(up), strict=False):
        one = chosen(flow, source, destination, choice.count, seed)
        other = chosen(flow.reverse, destination, source, choice.count, seed)
        if (one, other) in choice.by_hashes:
            return choice.by_hashes[one, other]
    raise ValueError("no backend is up")


@dataclass(frozen=True, slots=True)
class BackendChoice:
    """A choice by the hashes of both directions, each from 0 to `count` - 1: places of backends, by both."""

    count: int
    by_hashes: Mapping[tuple[int, int], int]


def choices(up: Sequence[bool]) -> tuple[BackendChoice, ...]:
    """The choices among backends, one after the other, until one has a place for a flow's hashes.

    First among all, of which those that are down have no flows; then among those that are up.
    """
    everyone = [place if is_up else None for place, is_up in enumerate(up)]
    healthy = [place for place in everyone if place is not None]
    if not healthy:
        return ()
    return (_choice(healthy),) if len(healthy) in (1, len(up)) else (_choice(everyone), _choice(healthy))


def _choice(places: Sequence[int | None]) -> BackendChoice:
    count = len(places)
    pairs = ((one, other) for one in range(count) for other in range(count))
    return BackendChoice(count, {p: place for p in pairs if (place := places[sum(p) % count]) is not None})


def seeds(frontend: IPv4Address) -> tuple[int, int]:
    """The seeds of the two choices of a load balancer."""
    return int(frontend), int(frontend) ^ _WORD


def jhash(key: bytes, seed: int) -> int:
    """Bob Jenkins' hash as in Linux' `jhash.h`, of a key of one 32-bit word or more, on a little-endian machine."""
    a = b = c = (_START + len(key) + seed) & _WORD
    words = [int.from_bytes(key[i : i + 4], "little") for i in range(0, len(key), 4)]
    while len(words) > 3:
        a, b, c = _mixed((a + words[0]) & _WORD, (b + words[1]) & _WORD, (c + words[2]) & _WORD)
        words = words[3:]
    rest = (*words, 0, 0, 0)
    return _finished((a + rest[0]) & _WORD, (b + rest[1]) & _WORD, (c + rest[2]) & _WORD)


def _rotated(word: int, by: int) -> int:
    return (word << by | word >> (32 - by)) & _WORD


def _mixed(a: int, b: int, c: int) -> tuple[int, int, int]:
    a = ((a - c) & _WORD) ^ _rotated(c, 4)
    c = (c + b) & _WORD
    b = ((b - a) & _WORD) ^ _rotated(a, 6)
    a = (a + c) & _WORD
    c = ((c - b) & _WORD) ^ _rotated(b, 8)
    b = (b + a) & _WORD
    a = ((a - c) & _WORD) ^ _rotated(c, 16)
    c = (c + b) & _WORD
    b = ((b - a) & _WORD) ^ _rotated(a, 19)
    a = (a + c) & _WORD
    c = ((c - b) & _WORD) ^ _rotated(b, 4)
    b = (b + a) & _WORD
    return a, b, c


def _finished(a: int, b: int, c: int) -> int:
    c = ((c ^ b) - _rotated(b, 14)) & _WORD
    a = ((a ^ c) - _rotated(c, 11)) & _WORD
    b = ((b ^ a) - _rotated(a, 25)) & _WORD
    c = ((c ^ b) - _rotated(b, 16)) & _WORD
    a = ((a ^ c) - _rotated(c, 4)) & _WORD
    b = ((b ^ a) - _rotated(a, 14)) & _WORD
    return ((c ^ b) - _rotated(b, 24)) & _WORD
