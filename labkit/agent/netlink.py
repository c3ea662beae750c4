"""Route netlink in bulk: packed requests in batches with one acknowledgement each.

pyroute2 spends 98 % of a bulk change encoding, and knows no nexthop objects; here a route costs one `struct.pack`.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from labkit.agent.feed_table import Address, Prefix
from labkit.agent.kernel_routes import Members, Target
from labkit.lab.plan.nic_tables import RT_TABLE_MAIN
from labkit.netlink import HEADER, attributes

RTPROTO = 65
"""The agent's route protocol number. Routes and nexthops that bear it are the agent's, and no others are."""

BATCH = 256
"""Messages a send. More is no faster, and if every one fails the errors still fit the smallest receive buffer."""

NLMSG_ERROR = 2
NLMSG_DONE = 3
RTM_NEWROUTE = 24
RTM_DELROUTE = 25
RTM_GETROUTE = 26
RTM_NEWNEXTHOP = 104
RTM_DELNEXTHOP = 105
RTM_GETNEXTHOP = 106

NLM_F_REQUEST = 0x1
NLM_F_ACK = 0x4
NLM_F_DUMP_INTR = 0x10
NLM_F_REPLACE = 0x100
NLM_F_EXCL = 0x200
NLM_F_CREATE = 0x400
NLM_F_DUMP = 0x300
NLM_F_CAPPED = 0x100
NLM_F_ACK_TLVS = 0x200

_SOL_NETLINK = 270
_NETLINK_CAP_ACK = 10
_NETLINK_EXT_ACK = 11
_NLMSGERR_ATTR_MSG = 1

RTNH_F_ONLINK = 4
RTA_TABLE = 15
RTA_DST = 1
RTA_OIF = 4
RTA_GATEWAY = 5
RTA_PRIORITY = 6
RTA_MULTIPATH = 9
RTA_NH_ID = 30
NHA_ID = 1
NHA_GROUP = 2
NHA_GROUP_TYPE = 3
NHA_OIF = 5
NHA_GATEWAY = 6

U32 = struct.Struct("=I")
ROUTE = struct.Struct("=BBBBBBBBI")
NEXTHOP = struct.Struct("=BBBBI")
_ATTRIBUTE = struct.Struct("=HH")
GROUP_ENTRY = struct.Struct("=IBBH")
DST_HEADER = _ATTRIBUTE.pack(8, RTA_DST)

_ANSWER_TIMEOUT = 60.0
_RECEIVE = 1 << 17


class Refusal(NamedTuple):
    """The kernel's no to one message: the errno, and its own words where it has any."""

    errno: int
    text: str


class RouteSocket:
    """A route netlink socket of this network namespace. Not for use by several threads."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
        self._socket.setsockopt(_SOL_NETLINK, _NETLINK_CAP_ACK, 1)
        self._socket.setsockopt(_SOL_NETLINK, _NETLINK_EXT_ACK, 1)
        self._socket.settimeout(_ANSWER_TIMEOUT)
        self._socket.bind((0, 0))

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def transact(self, messages: Sequence[bytes]) -> dict[int, Refusal]:
        """Send messages whose sequence numbers are their positions; all are tried, whatever becomes of the others.

        Returns:
            The refused ones by position.

        Raises:
            OSError: the socket failed; `TimeoutError` when the kernel does not answer within a minute.
        """
        refused: dict[int, Refusal] = {}
        for start in range(0, len(messages), BATCH):
            batch = messages[start : start + BATCH]
            last = bytearray(batch[-1])
            last[6] |= NLM_F_ACK
            self._socket.send(b"".join((*batch[:-1], last)))
            self._answers(start + len(batch) - 1, refused)
        return refused

    def _answers(self, last: int, refused: dict[int, Refusal]) -> None:
        while True:
            answer = self._socket.recv(_RECEIVE)
            offset = 0
            while offset < len(answer):
                length, kind, flags, sequence, _ = HEADER.unpack_from(answer, offset)
                if kind == NLMSG_ERROR:
                    code = -struct.unpack_from("=i", answer, offset + 16)[0]
                    if code:
                        refused[sequence] = Refusal(code, _reason(answer[offset : offset + length], flags, code))
                    if sequence == last:
                        return
                offset += aligned(length)

    def dump(self, command: int, body: bytes) -> Iterator[bytes]:
        """Ask for everything of a kind.

        Returns:
            The kernel's answers, each holding one or more messages.

        Raises:
            OSError: the kernel refused.
            InterruptedError: the table changed meanwhile, so that an entry may be missing.
        """
        self._socket.send(_message(command, NLM_F_REQUEST | NLM_F_DUMP, 0, body))
        interrupted = False
        while True:
            answer = self._socket.recv(_RECEIVE)
            offset = 0
            while offset < len(answer):
                length, kind, flags, _, _ = HEADER.unpack_from(answer, offset)
                interrupted |= bool(flags & NLM_F_DUMP_INTR)
                if kind in {NLMSG_DONE, NLMSG_ERROR}:
                    code = -struct.unpack_from("=i", answer, offset + 16)[0]
                    if offset:
                        yield answer[:offset]
                    if code:
                        raise OSError(code, os.strerror(code))
                    if interrupted:
                        raise InterruptedError
                    return
                offset += aligned(length)
            yield answer


def aligned(length: int) -> int:
    """The length with netlink's padding."""
    return (length + 3) & ~3


def _message(command: int, flags: int, sequence: int, body: bytes) -> bytes:
    return HEADER.pack(16 + len(body), command, flags | NLM_F_REQUEST, sequence, 0) + body


def _attribute(kind: int, payload: bytes) -> bytes:
    return _ATTRIBUTE.pack(4 + len(payload), kind) + payload + bytes(-len(payload) % 4)


def _reason(error: bytes, flags: int, code: int) -> str:
    if flags & NLM_F_ACK_TLVS:
        original = 16 if flags & NLM_F_CAPPED else U32.unpack_from(error, 20)[0]
        words = attributes(error[20 + original :]).get(_NLMSGERR_ATTR_MSG, b"")
        if words:
            return words.rstrip(b"\0").decode()
    return os.strerror(code)


def pack_routes(  # noqa: PLR0917 - what a route message has
    command: int, flags: int, target: Target, prefixes: Sequence[Prefix], first: int, table: int = RT_TABLE_MAIN
) -> list[bytes]:
    """A message for each prefix, all with the same target, numbered from `first`.

    In the main table the kernel's route to the connected subnet shows that a gateway can be reached; another table has
    none, so that a gateway there is declared to be on-link.
    """
    if target.group:
        tail = _attribute(RTA_NH_ID, U32.pack(target.group))
    else:
        tail = _attribute(RTA_GATEWAY, target.gateway) if target.gateway else b""
        tail += _attribute(RTA_OIF, U32.pack(target.interface)) if target.interface else b""
    form = struct.Struct(f"=8sI5sB14s4s{len(tail)}s")
    head = HEADER.pack(form.size, command, flags | NLM_F_REQUEST, 0, 0)[:8]
    on_link = RTNH_F_ONLINK if target.gateway and table != RT_TABLE_MAIN else 0
    route = ROUTE.pack(socket.AF_INET, 0, 0, 0, table, RTPROTO, target.scope, target.type, on_link)
    before, after = bytes(4) + route[:1], route[2:] + DST_HEADER
    pack = form.pack
    return [pack(head, n, before, p[4], after, p[:4], tail) for n, p in enumerate(prefixes, first)]


def pack_stray_route(description: bytes, sequence: int) -> bytes:
    """The removal of a route by the kernel's own description of it.

    The kernel describes a nexthop object and what is in it, but refuses a request that names both.
    """
    found = attributes(description[ROUTE.size :])
    if RTA_NH_ID in found:
        for spelt_out in (RTA_GATEWAY, RTA_OIF, RTA_MULTIPATH):
            found.pop(spelt_out, None)
    body = description[: ROUTE.size] + b"".join(_attribute(kind, payload) for kind, payload in found.items())
    return _message(RTM_DELROUTE, 0, sequence, body)


def pack_hop(number: int, address: Address, interface: int, sequence: int) -> bytes:
    """The creation of a nexthop. It is on-link: in Azure next hops lie in other subnets, and the fabric carries it."""
    body = NEXTHOP.pack(socket.AF_INET, 0, RTPROTO, 0, RTNH_F_ONLINK)
    body += _attribute(NHA_ID, U32.pack(number)) + _attribute(NHA_OIF, U32.pack(interface))
    return _message(RTM_NEWNEXTHOP, NLM_F_CREATE | NLM_F_EXCL, sequence, body + _attribute(NHA_GATEWAY, address))


def pack_group(number: int, members: Members, sequence: int) -> bytes:
    """The creation of a nexthop group, or a change of who is in it."""
    entries = b"".join(GROUP_ENTRY.pack(member.nexthop, member.weight, 0, 0) for member in members)
    body = NEXTHOP.pack(socket.AF_UNSPEC, 0, RTPROTO, 0, 0)
    body += _attribute(NHA_ID, U32.pack(number)) + _attribute(NHA_GROUP, entries)
    return _message(RTM_NEWNEXTHOP, NLM_F_CREATE | NLM_F_REPLACE, sequence, body)


def pack_nexthop_removal(number: int, sequence: int) -> bytes:
    """The removal of a nexthop or a group. The kernel takes routes that still point at it along."""
    body = NEXTHOP.pack(socket.AF_UNSPEC, 0, 0, 0, 0) + _attribute(NHA_ID, U32.pack(number))
    return _message(RTM_DELNEXTHOP, 0, sequence, body)
