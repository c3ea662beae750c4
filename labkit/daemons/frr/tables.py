"""FRR's JSON as tables. The samples in the tests are what FRR 10.3 printed in labs."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv4Address, IPv4Network
from typing import Any, TypeVar

from labkit.azure.model import AsPath, Origin, PathAttributes
from labkit.azure.rules.communities import NO_ADVERTISE, NO_EXPORT
from labkit.daemons.frr.control import vtysh
from labkit.daemons.frr.vty import Vty, socket_of
from labkit.daemons.protocol import Command
from labkit.daemons.tables import LOCAL, AdvertisedPath, BgpNeighbour, BgpPath, BgpTable, Query

T = TypeVar("T")

SOCKET = socket_of("bgpd")
"""Where bgpd answers, in its node."""

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


def shown(*, json: bool) -> Command:
    """The command that shows the BGP table to people, or as FRR's own JSON."""
    return vtysh(_UNICAST + (" json" if json else ""))


def sessions_shown() -> Command:
    """The command that shows the sessions to people."""
    return vtysh("show bgp summary")


def ask(connection: socket.socket, query: Query[T]) -> T:
    """What bgpd answers to a query over a connection to `SOCKET`; raises NoAnswer if it doesn't."""
    return query.read(Vty("bgpd", connection).run(query.lines))


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
        for path in entry["paths"] if isinstance(entry, dict) else entry:
            if _peer(path) != LOCAL and _hop(path) is not None:
                yield _path(IPv4Network(prefix), path)


def _paths_of(prefix: IPv4Network, output: str) -> tuple[BgpPath, ...]:
    found = _document(output).get("paths", [])
    found.sort(key=lambda path: (not _is_best(path), not path.get("multipath", False)))
    return tuple(_path(prefix, path, why_rejected(path, found[0])) for path in found)


def _path(prefix: IPv4Network, path: Mapping[str, Any], rejected: str = "") -> BgpPath:
    peer = _peer(path)
    attributes = PathAttributes(
        _hop(path) or peer,
        _as_path(path),
        Origin(str(path["origin"]).lower()),
        path.get("metric"),
        tuple(sorted(_community(text) for text in path.get("community", {}).get("list", []))),
    )
    return BgpPath(prefix, peer, attributes, _is_best(path), rejected)


def why_rejected(path: Mapping[str, Any], best: Mapping[str, Any]) -> str:
    """Why FRR uses `best` and not this path, in the order of its decision; empty if it uses this one too."""
    if _is_best(path) or path.get("multipath", False):
        return ""
    if not path.get("valid", False):
        return "its next hop can't be reached"
    if path.get("weight", 0) < best.get("weight", 0):
        return "its weight is lower"
    if path.get("locPrf", 100) < best.get("locPrf", 100):
        return "its local preference is lower"
    if path["aspath"].get("length", 0) > best["aspath"].get("length", 0):
        return "its AS path is longer"
    return f"FRR decides by {best.get('bestpath', {}).get('selectionReason', 'what it does not show')}"


def _advertised(document: Mapping[str, Any]) -> Iterator[AdvertisedPath]:
    for prefix, route in document.get("advertisedRoutes", {}).items():
        path = next((path for path in route["paths"] if _is_best(path)), route["paths"][0])
        hop = _hop(path)
        next_hop = None if hop == LOCAL else hop
        yield AdvertisedPath(IPv4Network(prefix), _as_path(path), next_hop, Origin(path["origin"].lower()))


def has_paths_of(output: str, peers: Iterable[str]) -> bool:
    """Whether `show bgp json` has a path from one of these peers (their addresses)."""
    routes = _document(output).get("routes", {}).values()
    return any(path.get("peerId") in peers for found in routes for path in found)


def _is_best(path: Mapping[str, Any]) -> bool:
    return bool(path.get("bestpath", {}).get("overall"))


def _peer(path: Mapping[str, Any]) -> IPv4Address:
    peer = path.get("peer", {}).get("peerId", "")
    return LOCAL if peer in _NO_PEER else IPv4Address(peer)


def _hop(path: Mapping[str, Any]) -> IPv4Address | None:
    return next((IPv4Address(hop["ip"]) for hop in path.get("nexthops", []) if hop.get("afi") == "ipv4"), None)


def _as_path(path: Mapping[str, Any]) -> AsPath:
    found: list[int | frozenset[int]] = []
    for segment in path.get("aspath", {}).get("segments", []):
        found += [frozenset(segment["list"])] if segment["type"] == "as-set" else segment["list"]
    return tuple(found)


_WELL_KNOWN = {"noExport": NO_EXPORT, "noAdvertise": NO_ADVERTISE}


def _community(text: str) -> tuple[int, int]:
    """A community as FRR prints it: `65517:65517`, or a word for a well-known one."""
    if text in _WELL_KNOWN:
        return _WELL_KNOWN[text]
    high, _, low = text.partition(":")
    return (int(high), int(low)) if low.isdigit() else (65535, 0)
