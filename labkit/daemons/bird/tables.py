"""BIRD's output as tables. The samples in the tests are what BIRD 2.17 printed in labs."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from ipaddress import AddressValueError, IPv4Address, IPv4Network
from typing import TypeVar

from labkit.azure.model import AsPath, Origin, PathAttributes
from labkit.daemons.bird import cli
from labkit.daemons.bird.control import birdc
from labkit.daemons.protocol import Command
from labkit.daemons.speaker import LOCAL_PREF, InternalAttributes
from labkit.daemons.tables import LOCAL, BgpNeighbour, BgpPath, BgpTable, Query

T = TypeVar("T")

SOCKET = cli.SOCKET
PATIENCE = cli.PATIENCE
KERNEL_PROTOCOL = "bird"

_TIME = ("show status",)
_PROTOCOLS = ("show protocols all",)
_ROUTES = "show route {}all table all"
_BGPS = "master4"
"""BIRD's default table. What is in it without BGP is originated; in others it is static or connected."""

_STATES = {"Down": "Idle", "Passive": "Active", "Close": "Idle"}
"""BIRD's words for states of a session, where they are not RFC 4271's."""

_NOW = re.compile(r"^Current server time is (?P<time>.+)$", re.MULTILINE)
_PROTOCOL = re.compile(r"(?P<name>\S+) +BGP +\S+ +\S+ +(?P<since>\S+( \d\S*)?)")
_FIELD = re.compile(r" +(?P<key>BGP state|Neighbor address|Neighbor AS|Routes): +(?P<value>.*)")
_TABLE = re.compile(r"Table (?P<name>\S+):")
_ROUTE = re.compile(
    r"(?P<prefix>\S+)? +(?P<kind>[a-z]+) \[(?P<protocol>\S+) [^]]*\](?P<best> \*)? \((?P<preference>\d+)"
)
_ATTRIBUTE = re.compile(r"\t(?P<key>BGP\.\w+):(?P<value>.*)")
_LONGER = re.compile(r"\t\t(?P<value>\(.*)")
_HOP = re.compile(r"\{(?P<members>[\d ]*)\}|(?P<asn>\d+)")
_ENDS = re.compile(r"Neighbor address: +(?P<address>[\d.]+)\n +Neighbor AS: +(?P<far>\d+)\n +Local AS: +(?P<own>\d+)")
_COMMUNITY = re.compile(r"\((\d+),(\d+)\)")


def table() -> Query[BgpTable]:
    """Everything; the paths that the router originates are left out."""
    return Query((*_TIME, *_PROTOCOLS, _ROUTES.format("")), _table)


def paths(prefix: str) -> Query[tuple[BgpPath, ...]]:
    """The paths for a prefix, those in use first, and why the others are not; own ones are from `LOCAL`."""
    return Query((*_TIME, *_PROTOCOLS, _ROUTES.format(f"{prefix} ")), _paths)


def neighbours() -> Query[tuple[BgpNeighbour, ...]]:
    """The neighbours alone."""
    return Query((*_TIME, *_PROTOCOLS), lambda output: tuple(each for _, each in _neighbours(output)))


def shown() -> Command:
    """The command that shows the BGP table to people."""
    return birdc("show", "route", "all")


def shown_as_json() -> None:
    """BIRD has no JSON."""


def sessions_shown() -> Command:
    """The command that shows the sessions to people."""
    return birdc("show", "protocols")


def ask(connection: socket.socket, query: Query[T]) -> T:
    """What BIRD answers to a query over a connection to `SOCKET`; raises NoAnswer if it doesn't."""
    return query.read(cli.Cli(connection).run(query.lines))


_EMPTY = PathAttributes(LOCAL)


@dataclass(frozen=True, slots=True)
class BirdPath:
    """A path as BIRD shows it; what it originates is from `LOCAL`."""

    prefix: IPv4Network
    peer: IPv4Address
    reachable: bool
    best: bool
    preference: int
    attributes: PathAttributes = _EMPTY
    local_preference: int = LOCAL_PREF
    originator_id: IPv4Address | None = None
    cluster_list: tuple[IPv4Address, ...] = ()

    @property
    def by_bgp(self) -> bool:
        """Whether it is from a neighbour."""
        return self.peer != LOCAL

    def received(self, rejected: str = "", *, internal: bool) -> BgpPath:
        """The path as one from a neighbour that may be internal, and why it is not used, if it is not."""
        has = self.attributes
        if internal:
            has = InternalAttributes(
                *(has.next_hop, has.as_path, has.origin, has.med, has.communities),
                local_pref=self.local_preference,
                originator_id=self.originator_id,
                cluster_list=self.cluster_list,
            )
        return BgpPath(self.prefix, self.peer, has, self.best, rejected)

    def why_rejected(self, best: BirdPath) -> str:
        """Why BIRD uses `best` and not this path, in the order of its decision; empty if it uses this one too."""
        mine, theirs = self.attributes, best.attributes
        if self.best:
            return ""
        if not self.reachable and self.by_bgp:
            return "its next hop can't be reached"
        if self.preference < best.preference:
            return "its preference is lower"
        if self.local_preference < best.local_preference:
            return "its local preference is lower"
        if len(mine.as_path) > len(theirs.as_path):
            return "its AS path is longer"
        if mine.origin.rank > theirs.origin.rank:
            return "its ORIGIN is worse"
        if mine.as_path[:1] == theirs.as_path[:1] and (mine.med or 0) > (theirs.med or 0):
            return "its MED is higher"
        return ""  # merged


def _table(output: str) -> BgpTable:
    found, internal = dict(_neighbours(output)), _internal(output)
    received = {(path.prefix, path.peer): path for path in _best_last(_shown(output, found)) if path.by_bgp}
    return BgpTable(
        {each.address: each for each in found.values()},
        tuple(path.received(internal=path.peer in internal) for path in received.values()),
    )


def _paths(output: str) -> tuple[BgpPath, ...]:
    known = {(path.peer, path.by_bgp): path for path in _best_last(_shown(output, dict(_neighbours(output))))}
    found, internal = sorted(known.values(), key=lambda path: not path.best), _internal(output)
    return tuple(path.received(path.why_rejected(found[0]), internal=path.peer in internal) for path in found)


def _internal(output: str) -> frozenset[IPv4Address]:
    """The neighbours with the router's own ASN."""
    return frozenset(IPv4Address(each["address"]) for each in _ENDS.finditer(output) if each["far"] == each["own"])


def _best_last(paths: Iterator[BirdPath]) -> list[BirdPath]:
    """A path is in two tables if a pipe copies it, and may be best in one of them: that one counts."""
    return sorted(paths, key=lambda path: path.best)


def _neighbours(output: str) -> Iterator[tuple[str, BgpNeighbour]]:
    """The neighbours with IPv4 addresses, each with its protocol's name."""
    clock = _NOW.search(output)
    now = datetime.fromisoformat(clock["time"]) if clock else datetime.min
    for name, moment, fields in _protocols(output):
        try:
            address = IPv4Address(fields.get("Neighbor address", ""))
        except AddressValueError:
            continue
        state = fields["BGP state"]
        yield (
            name,
            BgpNeighbour(
                address,
                int(fields["Neighbor AS"]),
                _STATES.get(state, state),
                _seconds_since(moment, now),
                0,
                0,
                int(fields.get("Routes", "0").split()[0]),
            ),
        )


def _seconds_since(moment: str, now: datetime) -> float:
    """Seconds from a moment, as BIRD prints it, to `now`; of one of today it prints the time alone by default.

    0 for one in a form that a configuration has chosen.
    """
    try:
        since = datetime.fromisoformat(moment if "-" in moment else f"{now.date()} {moment}")
    except ValueError:
        return 0.0
    return max(0.0, (now - since).total_seconds())


def _protocols(output: str) -> Iterator[tuple[str, str, Mapping[str, str]]]:
    """BGP's protocols: name, since when they are in their state, and fields."""
    lines = iter(output.splitlines())
    for line in lines:
        if head := _PROTOCOL.match(line):
            fields: dict[str, str] = {}
            for each in lines:
                if not each.strip():
                    break
                if found := _FIELD.match(each):
                    fields.setdefault(found["key"], found["value"].strip())
            yield head["name"], head["since"], fields


def _shown(output: str, neighbours: Mapping[str, BgpNeighbour]) -> Iterator[BirdPath]:
    """Every path by BGP, and what is originated."""
    table, prefix, path, longer = "", IPv4Network(0), None, False
    for line in output.splitlines():
        if head := _TABLE.match(line):
            table = head["name"]
        elif route := _ROUTE.match(line):
            if path is not None:
                yield path
            prefix = IPv4Network(route["prefix"]) if route["prefix"] else prefix
            neighbour = neighbours.get(route["protocol"])
            peer, best, preference = LOCAL, route["best"] is not None, int(route["preference"])
            if neighbour is not None:
                peer = neighbour.address
            path = BirdPath(prefix, peer, route["kind"] == "unicast", best, preference)
            if peer == LOCAL and table != _BGPS:
                path = None
        elif path is not None and (attribute := _ATTRIBUTE.match(line)):
            path = _with(path, attribute["key"], attribute["value"].strip())
            longer = attribute["key"] == "BGP.community"
        elif path is not None and longer and (more := _LONGER.match(line)):
            path = _with(path, "BGP.community", more["value"])
    if path is not None:
        yield path


def _with(path: BirdPath, key: str, value: str) -> BirdPath:
    """A path with one more of its attributes."""
    has = path.attributes
    match key:
        case "BGP.origin":
            return replace(path, attributes=replace(has, origin=Origin(value.lower())))
        case "BGP.as_path":
            return replace(path, attributes=replace(has, as_path=_as_path(value)))
        case "BGP.next_hop":
            return replace(path, attributes=replace(has, next_hop=IPv4Address(value.split(maxsplit=1)[0])))
        case "BGP.med":
            return replace(path, attributes=replace(has, med=int(value)))
        case "BGP.local_pref":
            return replace(path, local_preference=int(value))
        case "BGP.originator_id":
            return replace(path, originator_id=IPv4Address(value))
        case "BGP.cluster_list":
            return replace(path, cluster_list=tuple(map(IPv4Address, value.split())))
        case "BGP.community":
            more = ((int(high), int(low)) for high, low in _COMMUNITY.findall(value))
            return replace(path, attributes=replace(has, communities=tuple(sorted((*has.communities, *more)))))
    return path


def _as_path(text: str) -> AsPath:
    return tuple(
        int(hop["asn"]) if hop["asn"] else frozenset(map(int, hop["members"].split())) for hop in _HOP.finditer(text)
    )
