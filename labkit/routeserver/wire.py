"""ExaBGP's text, both ways: lines that it writes to values, values to commands that it reads. Pure functions.

Nothing but this module knows ExaBGP's JSON or its command language, so that the wire can change. Facts that shaped it
are in docs/exabgp.md.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network
from typing import Any, TypedDict

from labkit.azure.model import AsPath, Origin, PathAttributes
from labkit.routeserver.reasons import has_notification, reason_text, refusal_text

Prefix = str
"""An IPv4 prefix in its canonical text form: cheap to hash, and the form of both wires."""

MAX_COMMAND = 4096
"""Bytes of a command with its newline. A pipe takes PIPE_BUF bytes whole or not at all, so that a helper that dies
while it writes leaves no half command behind: cut in the middle of a prefix, it could be another valid one."""

FAMILY = "ipv4 unicast"

# Optional transitive attributes that ExaBGP names rather than shows as bytes.
_ATOMIC_AGGREGATE, _AGGREGATOR, _EXTENDED_COMMUNITIES = 6, 7, 16
_TRANSITIVE, _OPTIONAL, _PARTIAL = 0x40, 0x80, 0x20
_FLAGS = _TRANSITIVE | _OPTIONAL | _PARTIAL
"""The flags that say something of an attribute, and not of how it is encoded."""

_WELL_KNOWN = {
    "no-export": (65535, 65281),
    "no-advertise": (65535, 65282),
    "no-export-subconfed": (65535, 65283),
    "no-peer": (65535, 65284),
    "blackhole": (65535, 666),
}

_STATES = {
    "IDLE": "Idle",
    "ACTIVE": "Active",
    "CONNECT": "Connect",
    "OPENSENT": "OpenSent",
    "OPENCONFIRM": "OpenConfirm",
    "ESTABLISHED": "Established",
}

ESTABLISHED = "Established"
OPEN_SENT = "OpenSent"


REFUSED = "refused"
"""The type of the one line that is not ExaBGP's own: `labkit.routeserver.exabgp` writes it."""


class UndecodableLine(Exception):
    """An attribute that ExaBGP shows in a form from which its value can't be had."""


@dataclass(frozen=True, slots=True)
class Update:
    """One UPDATE of a peer (its address). `time` is ExaBGP's clock, Unix seconds."""

    peer: str
    time: float
    announced: tuple[tuple[PathAttributes, tuple[Prefix, ...]], ...] = ()
    withdrawn: tuple[Prefix, ...] = ()


@dataclass(frozen=True, slots=True)
class SessionChange:
    """A peer's session went to `state`, a BGP state by its name in the RFC; `notified`: with a NOTIFICATION."""

    peer: str
    time: float
    state: str
    reason: str = ""
    notified: bool = False


@dataclass(frozen=True, slots=True)
class RefusedConnection:
    """The connection of an address was refused before any OPEN: no peer has it, or its session is up already."""

    address: str
    reason: str


@dataclass(frozen=True, slots=True)
class Answer:
    """ExaBGP's answer to some command."""

    done: bool


@dataclass(frozen=True, slots=True)
class Ending:
    """ExaBGP is on its way out."""


@dataclass(frozen=True, slots=True)
class SummaryHeader:
    """The first line of `show neighbor summary`."""


@dataclass(frozen=True, slots=True)
class ShownNeighbours:
    """What `show neighbor json` has by peer address: state and seconds in it, and the ASN that is expected.

    `refreshing` are those with a session that offered route refresh when it was opened.
    """

    states: Mapping[str, tuple[str, float]]
    asns: Mapping[str, int]
    refreshing: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class ShownRoute:
    """A line of `show adj-rib in|out json`. `exact` is False when an attribute was left out as undecodable."""

    peer: str
    prefix: Prefix
    attributes: PathAttributes | None
    exact: bool = True


Event = Update | SessionChange | RefusedConnection | Answer | Ending | SummaryHeader | ShownNeighbours | ShownRoute


@lru_cache(maxsize=1 << 17)
def canonical(prefix: str) -> Prefix:
    """The prefix without host bits, which a peer may send and ExaBGP passes on.

    Raises:
        ValueError: it is no IPv4 prefix.
    """
    return str(IPv4Network(prefix, strict=False))


def decode(line: str) -> Event | None:
    """The value of a line that ExaBGP wrote; None for what is of no concern, such as an end-of-RIB or half a line."""
    if line == "done":
        return Answer(True)
    if line == "error":
        return Answer(False)
    if not line.startswith(("{", "[")):
        return SummaryHeader() if line.startswith("Peer ") else None
    try:
        content = json.loads(line)
    except ValueError:
        return None
    if isinstance(content, list):
        return _neighbours(content)
    if "route" in content:
        return _shown_route(content)
    kind = content.get("type")
    if kind == "update":
        return _update(content)
    if kind == "state":
        return _session_change(content)
    if kind == REFUSED:
        return RefusedConnection(content["address"], refusal_text(content["code"], content["subcode"]))
    if kind == "notification" and content.get("notification") == "shutdown":
        return Ending()
    return None


def refusal_line(address: str, code: int, subcode: int) -> str:
    """The line, without its end, by which ExaBGP's process reports a refused connection."""
    return json.dumps({"type": REFUSED, "address": address, "code": code, "subcode": subcode})


def announce(peers: Sequence[str], attributes: PathAttributes, prefixes: Sequence[Prefix]) -> Iterator[bytes]:
    """The commands that put prefixes with these attributes into the Adj-RIB-Out of peers (addresses)."""
    yield from _split(f"{_selector(peers)} announce attributes {_attributes_text(attributes)} nlri", prefixes)


def withdraw(peers: Sequence[str], attributes: PathAttributes, prefixes: Sequence[Prefix]) -> Iterator[bytes]:
    """The commands that take prefixes out of the Adj-RIB-Out of peers, which have them with these attributes.

    ExaBGP would take any, but it queues a peer's changes by attributes: only among the same ones does a withdrawal take
    the place of an announcement that has not left yet.
    """
    yield from _split(f"{_selector(peers)} withdraw attributes {_attributes_text(attributes)} nlri", prefixes)


def teardown(peer: str, subcode: int) -> bytes:
    """The command that ends a peer's session with a Cease of this subcode (RFC 4486)."""
    return f"neighbor {peer} teardown {subcode}\n".encode()


def refresh(peer: str) -> bytes:
    """The command that asks a peer to send all its routes again."""
    return f"neighbor {peer} announce route-refresh {FAMILY}\n".encode()


PING = b"# ping\n"
"""A command without effect that is answered at once."""

SHOW_NEIGHBOURS = b"show neighbor json\n"
"""The command that is answered with `ShownNeighbours`."""

RELOAD = (b"reload\n", SHOW_NEIGHBOURS)
"""The commands that make ExaBGP read its file again, and show its peers."""

RECOVERY = (b"show neighbor summary\n", b"show adj-rib in json\n", b"show adj-rib out json\n", SHOW_NEIGHBOURS)
"""The commands whose answers hold all that ExaBGP knows; see `recovery`."""


def _selector(peers: Sequence[str]) -> str:
    return " , ".join(f"neighbor {peer}" for peer in peers)


def _split(head: str, prefixes: Sequence[Prefix]) -> Iterator[bytes]:
    words, size = [head], len(head) + 1
    for prefix in prefixes:
        if size + len(prefix) + 1 > MAX_COMMAND and len(words) > 1:
            yield (" ".join(words) + "\n").encode()
            words, size = [head], len(head) + 1
        words.append(prefix)
        size += len(prefix) + 1
    if len(words) > 1:
        yield (" ".join(words) + "\n").encode()


def _neighbours(content: list[Any]) -> ShownNeighbours:
    return ShownNeighbours(
        {n["peer"]["address"]: (_STATES.get(n["fsm"], "Idle"), float(n["duration"])) for n in content},
        {n["peer"]["address"]: n["peer"]["as"] for n in content},
        frozenset(n["peer"]["address"] for n in content if n["peer"]["capabilities"]["route-refresh"]),
    )


def _session_change(content: dict[str, Any]) -> SessionChange:
    neighbor = content["neighbor"]
    state = {"up": ESTABLISHED, "connected": OPEN_SENT}.get(neighbor["state"], "Idle")
    why = neighbor.get("reason", "")
    reason = reason_text(why) if state == "Idle" else ""
    return SessionChange(neighbor["address"]["peer"], content["time"], state, reason, has_notification(why))


def _update(content: dict[str, Any]) -> Update | None:
    neighbor = content["neighbor"]
    update = neighbor.get("message", {}).get("update")
    if update is None:
        return None
    withdrawn = [canonical(_nlri(n)) for n in update.get("withdraw", {}).get(FAMILY, ())]
    announced = []
    for next_hop, nlris in update.get("announce", {}).get(FAMILY, {}).items():
        prefixes = tuple(canonical(_nlri(n)) for n in nlris)
        attributes = _received_attributes(next_hop, update.get("attribute", {}))
        if attributes is None:
            # RFC 7606: an UPDATE without a mandatory attribute withdraws. ExaBGP announces it as if all were well.
            withdrawn += prefixes
        else:
            announced.append((attributes, prefixes))
    return Update(neighbor["address"]["peer"], content["time"], tuple(announced), tuple(withdrawn))


def _nlri(shown: str | dict[str, str]) -> str:
    """A prefix in the compact form, or in the other."""
    return shown if isinstance(shown, str) else shown["nlri"]


def _received_attributes(next_hop: str, shown: Mapping[str, Any]) -> PathAttributes | None:
    """The attributes of an announcement; None when a mandatory one is missing or can't be."""
    try:
        return _attributes(next_hop, shown, lenient=False)
    except (UndecodableLine, KeyError, ValueError):
        return None


def _shown_route(content: dict[str, Any]) -> ShownRoute | None:
    nlri, shown = content["route"]["nlri"], content["route"]["attributes"]
    if nlri["family"] != {"afi": "ipv4", "safi": "unicast"}:
        return None
    peer, prefix = content["peer"]["address"], canonical(nlri["prefix"])
    try:
        return ShownRoute(peer, prefix, _attributes(nlri["nexthop"] or "", shown, lenient=False))
    except UndecodableLine:
        return ShownRoute(peer, prefix, _attributes(nlri["nexthop"] or "", shown, lenient=True), exact=False)
    except (KeyError, ValueError):
        return ShownRoute(peer, prefix, None)


def _attributes(next_hop: str, shown: Mapping[str, Any], *, lenient: bool) -> PathAttributes:
    """The attributes that ExaBGP shows, in the form of its events or of `show adj-rib`.

    Optional attributes that are not transitive, and local preference, end at a route server and are left out.

    Raises:
        KeyError: ORIGIN is missing (an absent AS_PATH is an empty one, or missing: ExaBGP shows both alike).
        ValueError: an attribute can't be what is shown, such as the next hop `no-nexthop`.
        Undecodable: see there; not if `lenient`.
    """
    return PathAttributes(
        next_hop=IPv4Address(next_hop),
        as_path=_as_path(shown.get("as-path", {})),
        origin=Origin(shown["origin"]),
        med=shown.get("med"),
        communities=tuple(sorted({_community(c) for c in shown.get("community", ())})),
        large_communities=tuple(sorted({_large_community(c) for c in shown.get("large-community", ())})),
        unknown=tuple(sorted(_transitive(shown, lenient=lenient))),
    )


class _Segment(TypedDict):
    element: str
    value: list[int]


def _as_path(shown: Mapping[str, _Segment]) -> AsPath:
    path: list[int | frozenset[int]] = []
    for position in sorted(shown, key=int):
        segment = shown[position]
        if not segment["value"]:
            raise ValueError("an empty segment")  # RFC 7606 §7.2
        if segment["element"] == "as-sequence":
            path += segment["value"]
        elif segment["element"] == "as-set":
            path.append(frozenset(segment["value"]))
        else:
            # RFC 5065 §5: a confederation segment from outside the confederation is malformed.
            raise ValueError(segment["element"])
    return tuple(path)


def _community(shown: str | list[int]) -> tuple[int, int]:
    if isinstance(shown, str):
        if shown in _WELL_KNOWN:
            return _WELL_KNOWN[shown]
        shown = [int(part) for part in shown.split(":")]
    high, low = shown
    return high, low


def _large_community(shown: str | list[int]) -> tuple[int, int, int]:
    first, second, third = [int(part) for part in shown.split(":")] if isinstance(shown, str) else shown
    return first, second, third


def _transitive(shown: Mapping[str, Any], *, lenient: bool) -> Iterator[tuple[int, int, bytes]]:
    """The attributes that no rule reads, as (type, flags, value)."""
    if shown.get("atomic-aggregate"):
        yield _ATOMIC_AGGREGATE, _TRANSITIVE, b""
    if "aggregator" in shown:
        asn, _, address = shown["aggregator"].partition(":")
        value = int(asn).to_bytes(4, "big") + IPv4Address(address).packed
        yield _AGGREGATOR, _OPTIONAL | _TRANSITIVE, value
    if "extended-community" in shown:
        try:
            value = b"".join(_extended_community(c) for c in shown["extended-community"])
        except UndecodableLine:
            if not lenient:
                raise
        else:
            yield _EXTENDED_COMMUNITIES, _OPTIONAL | _TRANSITIVE, value
    for name, value in shown.items():
        if name.startswith("attribute-0x"):
            code, flags = (int(part, 16) for part in name.removeprefix("attribute-").split("-"))
            if flags & _TRANSITIVE:
                # RFC 4271 §5: whoever passes on an optional attribute that it doesn't know sets Partial.
                yield code, flags & _FLAGS | _PARTIAL, bytes.fromhex(value.removeprefix("0x"))


def _extended_community(shown: str | dict[str, int | str]) -> bytes:
    if isinstance(shown, dict):
        return int(shown["value"]).to_bytes(8, "big")
    if shown.startswith("0x") and len(shown) == 18:
        return bytes.fromhex(shown[2:])
    raise UndecodableLine(shown)


def _attributes_text(attributes: PathAttributes) -> str:
    words = [f"next-hop {attributes.next_hop} origin {attributes.origin} as-path", _as_path_text(attributes.as_path)]
    if attributes.med is not None:
        words.append(f"med {attributes.med}")
    if attributes.communities:
        words.append(f"community [ {' '.join(f'{high}:{low}' for high, low in attributes.communities)} ]")
    if attributes.large_communities:
        words.append(f"large-community [ {' '.join(f'{a}:{b}:{c}' for a, b, c in attributes.large_communities)} ]")
    words += (_transitive_text(*attribute) for attribute in attributes.unknown)
    return " ".join(words)


def _as_path_text(path: AsPath) -> str:
    """A list in brackets for a sequence, in parentheses for a set."""
    words: list[str] = []
    sequence: list[str] = []
    for hop in path:
        if isinstance(hop, frozenset):
            if sequence or not words:
                words.append(f"[ {' '.join([*sequence, ''])}]")
                sequence = []
            words.append(f"( {' '.join(str(asn) for asn in sorted(hop))} )")
        else:
            sequence.append(str(hop))
    if sequence or not words:
        words.append(f"[ {' '.join([*sequence, ''])}]")
    return " ".join(words)


def _transitive_text(code: int, flags: int, value: bytes) -> str:
    """An attribute under its name where ExaBGP has one: shown as bytes it would break `show adj-rib out json`."""
    if code == _ATOMIC_AGGREGATE:
        return "atomic-aggregate"
    if code == _AGGREGATOR:
        return f"aggregator ( {int.from_bytes(value[:4], 'big')}:{IPv4Address(value[4:])} )"
    if code == _EXTENDED_COMMUNITIES:
        parts = (f"0x{value[i : i + 8].hex()}" for i in range(0, len(value), 8))
        return f"extended-community [ {' '.join(parts)} ]"
    return f"attribute [ 0x{code:02x} 0x{flags:02x} 0x{value.hex()} ]"
