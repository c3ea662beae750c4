"""A kernel's IPv4 routes as they were at every moment: a dump, and the messages of route netlink since. Pure."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Any, TypeAlias

from labkit.agent.netlink import (
    GROUP_ENTRY,
    NEXTHOP,
    NHA_GATEWAY,
    NHA_GROUP,
    NHA_ID,
    NLM_F_REPLACE,
    ROUTE,
    RTA_DST,
    RTA_GATEWAY,
    RTA_NH_ID,
    RTA_PRIORITY,
    RTA_TABLE,
    RTM_DELNEXTHOP,
    RTM_DELROUTE,
    RTM_NEWNEXTHOP,
    RTM_NEWROUTE,
    U32,
)
from labkit.lab.plan.nic_tables import RT_TABLE_MAIN
from labkit.netlink import HEADER, attributes

NLM_F_APPEND = 0x800

LINK = "the link"
"""The next hop of what is on the link itself."""

NOTHING = "nothing"
"""The next hop of what has no route."""

Hop: TypeAlias = str
_Key: TypeAlias = tuple[IPv4Network, int]  # a prefix and a priority


@dataclass(frozen=True)
class _Entry:
    """A route: by a nexthop object, or by a gateway, or on the link."""

    nexthop: int
    gateway: Hop


class Fib:
    """The main table, and the nexthop objects that its routes lead through."""

    def __init__(self, routes: Iterable[Mapping[str, Any]], nexthops: Iterable[Mapping[str, Any]]) -> None:
        """From what `ip -j route` and `ip -j nexthop` print."""
        self._routes: dict[_Key, list[_Entry]] = {}
        self._nexthops: dict[int, tuple[int, ...] | Hop] = {}
        for row in routes:
            prefix = IPv4Network("0.0.0.0/0" if row["dst"] == "default" else row["dst"])
            entry = _Entry(row.get("nhid", 0), row.get("gateway", LINK))
            self._routes.setdefault((prefix, row.get("metric", 0)), []).append(entry)
        for row in nexthops:
            members = tuple(member["id"] for member in row.get("group", ()))
            self._nexthops[row["id"]] = members or row.get("gateway", LINK)

    def take(self, buffer: bytes) -> Iterator[str]:
        """Take in messages, one at a time, each in words: between two of them, `hops` is as it was then."""
        position = 0
        while position < len(buffer):
            length, kind, flags, *_ = HEADER.unpack_from(buffer, position)
            body = buffer[position + HEADER.size : position + length]
            if kind in {RTM_NEWROUTE, RTM_DELROUTE}:
                yield self._route(body, flags, new=kind == RTM_NEWROUTE)
            elif kind in {RTM_NEWNEXTHOP, RTM_DELNEXTHOP}:
                yield self._nexthop(body, new=kind == RTM_NEWNEXTHOP)
            position += (length + 3) & ~3

    def hops(self, address: IPv4Address) -> frozenset[Hop]:
        """Where packets to an address go: a packet takes one of these next hops."""
        found = [(prefix.prefixlen, -priority) for prefix, priority in self._routes if address in prefix]
        if not found:
            return frozenset({NOTHING})
        longest, priority = max(found)
        entry = self._routes[IPv4Network((address, longest), strict=False), -priority][0]
        if not entry.nexthop:
            return frozenset({entry.gateway})
        return frozenset(self._gateways(entry.nexthop))

    @property
    def prefixes(self) -> frozenset[IPv4Network]:
        """What there are routes for."""
        return frozenset(prefix for prefix, _ in self._routes)

    def _gateways(self, number: int) -> Iterator[Hop]:
        found = self._nexthops.get(number, NOTHING)
        if isinstance(found, str):
            yield found
        else:
            for member in found:
                yield from self._gateways(member)

    def _route(self, body: bytes, flags: int, *, new: bool) -> str:
        _, length, _, _, table, protocol, *_ = ROUTE.unpack_from(body)
        found = attributes(body[ROUTE.size :])
        if (U32.unpack(found[RTA_TABLE])[0] if RTA_TABLE in found else table) != RT_TABLE_MAIN:
            return "a route of another table"
        prefix = IPv4Network((found.get(RTA_DST, bytes(4)), length))
        priority = U32.unpack(found[RTA_PRIORITY])[0] if RTA_PRIORITY in found else 0
        nexthop = U32.unpack(found[RTA_NH_ID])[0] if RTA_NH_ID in found else 0
        gateway = socket.inet_ntoa(found[RTA_GATEWAY]) if RTA_GATEWAY in found else LINK
        entry, entries = _Entry(nexthop, gateway), self._routes.setdefault((prefix, priority), [])
        if not new:
            if entry in entries:
                entries.remove(entry)
        elif flags & NLM_F_REPLACE and entries:
            entries[0] = entry
        elif flags & NLM_F_APPEND:
            entries.append(entry)
        else:
            entries.insert(0, entry)
        if not entries:
            del self._routes[prefix, priority]
        way = f"nexthop {nexthop}" if nexthop else gateway
        return f"{'route' if new else 'no route'} to {prefix} by {way}, protocol {protocol}, flags {flags:#x}"

    def _nexthop(self, body: bytes, *, new: bool) -> str:
        found = attributes(body[NEXTHOP.size :])
        number = U32.unpack(found[NHA_ID])[0]
        if not new:
            # The kernel takes the routes that led there with it, without a message of its own for each.
            self._nexthops.pop(number, None)
            for key, entries in list(self._routes.items()):
                entries[:] = [entry for entry in entries if entry.nexthop != number]
                if not entries:
                    del self._routes[key]
        elif NHA_GROUP in found:
            self._nexthops[number] = tuple(member for member, *_ in GROUP_ENTRY.iter_unpack(found[NHA_GROUP]))
        else:
            gateway = socket.inet_ntoa(found[NHA_GATEWAY]) if NHA_GATEWAY in found else LINK
            self._nexthops[number] = gateway
        return f"nexthop {number}: {self._nexthops.get(number, NOTHING)}"
