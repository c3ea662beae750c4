"""FRR's JSON as tables. The samples in the tests are what FRR 10.3 printed in labs."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Any, TypeVar

from labkit.azure.model import AsPath, Origin, PathAttributes
from labkit.azure.rules.communities import NO_ADVERTISE, NO_EXPORT
from labkit.daemons.frr import vty
from labkit.daemons.frr.control import vtysh
from labkit.daemons.protocol import Command
from labkit.daemons.speaker import InternalAttributes
from labkit.daemons.tables import LOCAL, AdvertisedPath, BgpNeighbour, BgpPath, BgpTable, Query

T = TypeVar("T")

SOCKET = vty.socket_of("bgpd")
"""Where bgpd answers, in its node."""

PATIENCE = vty.PATIENCE
"""Seconds that it may take to answer."""

KERNEL_PROTOCOL = "bgp"

_UNICAST = "show bgp ipv4 unicast"
_SUMMARY = f"{_UNICAST} summary json"
_NO_PEER = ("", "::", str(LOCAL))
"""What FRR has in place of the neighbour of a path that it originates."""


def table() -> Query[BgpTable]:
    """Everything; the paths that the router originates are left out."""
    return Query((_SUMMARY, f"{_UNICAST} detail json"), _table)


def paths(prefix: str) -> Query[tuple[BgpPath, ...]]:
    """The paths for a prefix, those in use first, and why the others are not; own ones are from `LOCAL`."""
    return Query((f"{_UNICAST} {prefix} json",), lambda output: _paths_of(IPv4Network(prefix), output))


def neighbours() -> Query[tuple[BgpNeighbour, ...]]:
    """The neighbours alone."""
    return Query((_SUMMARY,), lambda output: tuple(_neighbours(_document(output))))


def adj_rib_out(neighbour: str) -> Query[tuple[AdvertisedPath, ...]]:
    """What is advertised to a neighbour (its address); nothing if it has no such neighbour."""
    command = f"{_UNICAST} neighbors {neighbour} advertised-routes detail json"
    return Query((command,), lambda output: tuple(_advertised(_document(output))))


def shown() -> Command:
    """The command that shows the BGP table to people."""
    return vtysh(_UNICAST)


def shown_as_json() -> Command:
    """The command that shows the BGP table as FRR's own JSON."""
    return vtysh(f"{_UNICAST} json")


def sessions_shown() -> Command:
    """The command that shows the sessions to people."""
    return vtysh("show bgp summary")


def ask(connection: socket.socket, query: Query[T]) -> T:
    """What bgpd answers to a query over a connection to `SOCKET`; raises NoAnswer if it doesn't."""
    return query.read(vty.Vty("bgpd", connection).run(query.lines))


def _document(output: str) -> dict[str, Any]:
    found = json.loads(output) if output.strip() else {}
    return found if isinstance(found, dict) else {}


def _table(output: str) -> BgpTable:
    """The neighbours, and the paths by prefix: two documents, one after the other."""
    decoder, text = json.JSONDecoder(), output.lstrip()
    summary, end = decoder.raw_decode(text)
    document = decoder.raw_decode(text[end:].lstrip())[0]
    return BgpTable({each.address: each for each in _neighbours(summary)}, tuple(_received(document)))


def _neighbours(summary: Mapping[str, Any]) -> Iterator[BgpNeighbour]:
    for address, peer in summary.get("peers", {}).items():
        yield BgpNeighbour(
            IPv4Address(address),
            peer["remoteAs"],
            peer["state"],
            peer["peerUptimeMsec"] / 1000,
            peer["msgRcvd"],
            peer["msgSent"],
            peer.get("pfxRcd", 0),
        )


def _received(document: Mapping[str, Any]) -> Iterator[BgpPath]:
    for prefix, entry in document.get("routes", {}).items():
        for path in map(_shown, entry["paths"] if isinstance(entry, dict) else entry):
            if path.peer != LOCAL and path.next_hop is not None:
                yield path.received(IPv4Network(prefix))


def _paths_of(prefix: IPv4Network, output: str) -> tuple[BgpPath, ...]:
    found = sorted(
        map(_shown, _document(output).get("paths", [])), key=lambda path: (not path.best, not path.multipath)
    )
    return tuple(path.received(prefix, path.why_rejected(found[0])) for path in found)


@dataclass(frozen=True, slots=True)
class ShownPath:
    """A path as FRR shows it; `as_path_length` and `selection` are its own words for what decides."""

    peer: IPv4Address
    next_hop: IPv4Address | None
    as_path: AsPath
    as_path_length: int
    origin: Origin
    med: int | None
    communities: tuple[tuple[int, int], ...]
    valid: bool
    best: bool
    multipath: bool
    weight: int
    local_preference: int
    selection: str
    internal: bool
    originator_id: IPv4Address | None
    cluster_list: tuple[IPv4Address, ...]

    def received(self, prefix: IPv4Network, rejected: str = "") -> BgpPath:
        """The path as one for a prefix, and why it is not used, if it is not."""
        next_hop = self.peer if self.next_hop is None else self.next_hop
        attributes = PathAttributes(next_hop, self.as_path, self.origin, self.med, self.communities)
        if self.internal:
            attributes = InternalAttributes(
                *(next_hop, self.as_path, self.origin, self.med, self.communities),
                local_pref=self.local_preference,
                originator_id=self.originator_id,
                cluster_list=self.cluster_list,
            )
        return BgpPath(prefix, self.peer, attributes, self.best, rejected, self.valid)

    def why_rejected(self, best: ShownPath) -> str:
        """Why FRR uses `best` and not this path, in the order of its decision; empty if it uses this one too."""
        if self.best or self.multipath:
            return ""
        if not self.valid:
            return "its next hop can't be reached"
        if self.weight < best.weight:
            return "its weight is lower"
        if self.local_preference < best.local_preference:
            return "its local preference is lower"
        if self.as_path_length > best.as_path_length:
            return "its AS path is longer"
        return f"FRR decides by {best.selection or 'what it does not show'}"


def _advertised(document: Mapping[str, Any]) -> Iterator[AdvertisedPath]:
    for prefix, route in document.get("advertisedRoutes", {}).items():
        found = [*map(_shown, route["paths"])]
        path = next((path for path in found if path.best), found[0])
        next_hop = None if path.next_hop == LOCAL else path.next_hop
        yield AdvertisedPath(IPv4Network(prefix), path.as_path, next_hop, path.origin)


def has_paths_of(output: str, peers: Iterable[str]) -> bool:
    """Whether `show bgp json` has a path from one of these peers (their addresses)."""
    routes = _document(output).get("routes", {}).values()
    return any(path.get("peerId") in peers for found in routes for path in found)


def _shown(path: Mapping[str, Any]) -> ShownPath:
    peer, best = path.get("peer", {}).get("peerId", ""), path.get("bestpath", {})
    as_path: list[int | frozenset[int]] = []
    for segment in path.get("aspath", {}).get("segments", []):
        as_path += [frozenset(segment["list"])] if segment["type"] == "as-set" else segment["list"]
    return ShownPath(
        LOCAL if peer in _NO_PEER else IPv4Address(peer),
        next((IPv4Address(hop["ip"]) for hop in path.get("nexthops", []) if hop.get("afi") == "ipv4"), None),
        tuple(as_path),
        path.get("aspath", {}).get("length", 0),
        Origin(str(path["origin"]).lower()),
        path.get("metric"),
        tuple(sorted(_community(text) for text in path.get("community", {}).get("list", []))),
        path.get("valid", False),
        bool(best.get("overall")),
        path.get("multipath", False),
        path.get("weight", 0),
        path.get("locPrf", 100),
        best.get("selectionReason", ""),
        path.get("peer", {}).get("type") == "internal",
        IPv4Address(path["originatorId"]) if "originatorId" in path else None,
        tuple(map(IPv4Address, path.get("clusterList", {}).get("list", []))),
    )


_WELL_KNOWN = {"noExport": NO_EXPORT, "noAdvertise": NO_ADVERTISE}


def _community(text: str) -> tuple[int, int]:
    """A community as FRR prints it: `65517:65517`, or a word for a well-known one."""
    if text in _WELL_KNOWN:
        return _WELL_KNOWN[text]
    high, _, low = text.partition(":")
    return (int(high), int(low)) if low.isdigit() else (65535, 0)
