"""Reading back what the kernel holds: dumps of nexthop objects and routes, 100,000 of them in some 0.2 s."""

from __future__ import annotations

import socket
from typing import NamedTuple

from labkit.agent.feed_table import Prefix
from labkit.agent.kernel_routes import KernelState, Member, Share, Target
from labkit.agent.netlink import (
    DST_HEADER,
    GROUP_ENTRY,
    NEXTHOP,
    NHA_GATEWAY,
    NHA_GROUP,
    NHA_GROUP_TYPE,
    NHA_ID,
    NHA_OIF,
    ROUTE,
    RTA_DST,
    RTA_GATEWAY,
    RTA_MULTIPATH,
    RTA_NH_ID,
    RTA_OIF,
    RTA_PRIORITY,
    RTA_TABLE,
    RTM_GETNEXTHOP,
    RTM_GETROUTE,
    RTNH_F_ONLINK,
    RTPROTO,
    U32,
    RouteSocket,
    aligned,
)
from labkit.netlink import attributes


def read_kernel(netlink: RouteSocket, interface: int, share: Share) -> KernelState:
    """What the kernel holds under the agent's protocol in a share, nexthops leading through `interface`.

    Raises:
        OSError: the kernel refused.
    """
    while True:
        state = KernelState()
        try:
            for answer in netlink.dump(RTM_GETNEXTHOP, NEXTHOP.pack(0, 0, 0, 0, 0)):
                parse_nexthops(answer, interface, share, state)
            routes = RouteParser(state, share)
            for answer in netlink.dump(RTM_GETROUTE, ROUTE.pack(socket.AF_INET, 0, 0, 0, 0, 0, 0, 0, 0)):
                routes.parse(answer)
        except InterruptedError:
            continue
        return state


def parse_nexthops(answer: bytes, interface: int, share: Share, state: KernelState) -> None:
    """Sort the nexthop objects of one answer into `state`."""
    offset = 0
    while offset < len(answer):
        length = U32.unpack_from(answer, offset)[0]
        _, _, protocol, _, flags = NEXTHOP.unpack_from(answer, offset + 16)
        found = attributes(answer[offset + 24 : offset + length])
        offset += aligned(length)
        number = U32.unpack(found[NHA_ID])[0]
        if protocol != RTPROTO or not share.has_id(number):
            state.foreign_nexthops.add(number)
        elif NHA_GROUP in found:
            if found.get(NHA_GROUP_TYPE, b"\0\0") == b"\0\0":
                entries = GROUP_ENTRY.iter_unpack(found[NHA_GROUP])
                state.groups[number] = tuple(Member(n, weight) for n, weight, _, _ in entries)
            else:
                state.stray_nexthops.insert(0, number)
        elif (
            found.keys() == {NHA_ID, NHA_OIF, NHA_GATEWAY}
            and found[NHA_OIF] == U32.pack(interface)
            and len(found[NHA_GATEWAY]) == 4
            and flags & RTNH_F_ONLINK
        ):
            state.hops[number] = found[NHA_GATEWAY]
        else:
            state.stray_nexthops.append(number)


class RouteParser:
    """Sorts the routes of a dump into a `KernelState`.

    Messages that differ in nothing but the prefix are understood once: a lookup of what surrounds the prefix gives
    the meaning of the rest.
    """

    def __init__(self, state: KernelState, share: Share) -> None:
        self._state = state
        self._share = share
        self._meanings: dict[bytes, _Meaning] = {}
        self._foreign: set[Prefix] = set()

    def parse(self, answer: bytes) -> None:
        """Take in one answer of the kernel."""
        routes, foreign, meanings = self._state.routes, self._foreign, self._meanings
        offset, end = 0, len(answer)
        while offset < end:
            length = U32.unpack_from(answer, offset)[0]
            if answer[offset + 36 : offset + 40] == DST_HEADER:
                rest = answer[offset + 16 : offset + 17] + answer[offset + 18 : offset + 40]
                rest += answer[offset + 44 : offset + length]
                prefix = answer[offset + 40 : offset + 44] + answer[offset + 17 : offset + 18]
            else:
                rest = answer[offset + 16 : offset + length]
                prefix = _destination(rest)
            meaning = meanings.get(rest)
            if meaning is None:
                meaning = meanings[rest] = _meaning(answer[offset + 16 : offset + length], self._share)
            if meaning.effective and prefix not in routes and prefix not in foreign:
                if meaning.own:
                    if meaning.target is not None:
                        routes[prefix] = meaning.target
                    else:
                        self._state.stray_routes.append(answer[offset + 16 : offset + length])
                else:
                    foreign.add(prefix)
            elif meaning.own:
                self._state.stray_routes.append(answer[offset + 16 : offset + length])
            offset += aligned(length)


class _Meaning(NamedTuple):
    """What a route is, its prefix apart.

    `own`: of the agent's protocol, in the share. `effective`: in its table without TOS or metric, so that
    the first of its prefix is in effect. `target`: None if the route is nothing that the agent makes.
    """

    own: bool
    effective: bool
    target: Target | None


def _destination(description: bytes) -> Prefix:
    return attributes(description[12:]).get(RTA_DST, bytes(4)) + description[1:2]


def _meaning(description: bytes, share: Share) -> _Meaning:
    _, _, _, tos, _, protocol, scope, kind, _ = ROUTE.unpack_from(description)
    found = attributes(description[12:])
    table = U32.unpack(found.pop(RTA_TABLE))[0]
    found.pop(RTA_DST, None)
    effective = table == share.table and not tos and RTA_PRIORITY not in found
    group = found.get(RTA_NH_ID)
    if group is not None and found.keys() <= {RTA_NH_ID, RTA_GATEWAY, RTA_OIF, RTA_MULTIPATH}:
        # Along with the object the kernel spells out the next hops; the object is what counts.
        target: Target | None = Target(kind, scope, group=U32.unpack(group)[0])
    elif found.keys() <= {RTA_GATEWAY, RTA_OIF}:
        interface = U32.unpack(found[RTA_OIF])[0] if RTA_OIF in found else 0
        target = Target(kind, scope, gateway=found.get(RTA_GATEWAY, b""), interface=interface)
    else:
        target = None
    return _Meaning(protocol == RTPROTO and share.has_table(table), effective, target)
