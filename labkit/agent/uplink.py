"""The VM's NIC: whether it can carry routes, read and watched over netlink."""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Callable

from labkit.agent.feed_table import Prefix
from labkit.agent.kernel_routes import Uplink
from labkit.agent.netlink import RouteSocket, attributes, messages

_RTMGRP_LINK = 0x1
_RTMGRP_IPV4_IFADDR = 0x10
_RTM_NEWLINK, _RTM_DELLINK, _RTM_GETLINK = 16, 17, 18
_RTM_NEWADDR, _RTM_DELADDR, _RTM_GETADDR = 20, 21, 22
_IFLA_IFNAME = 3
_IFA_ADDRESS = 1
_IFF_UP = 0x1
_IFF_LOWER_UP = 0x10000

_LINK = struct.Struct("=BxHiII")
_ADDRESS = struct.Struct("=BBBBI")
_RECEIVE = 1 << 16


def watch(name: str, report: Callable[[Uplink | str], None]) -> None:
    """Report the NIC's state now and whenever something happened to it, for ever.

    Every event is reported, even if the state is as before: a NIC that went down and came up again looks the same,
    but has lost its routes, about which the kernel says nothing.

    Args:
        name: the NIC, which need not exist yet.
        report: gets the uplink, or why there is none.

    Raises:
        OSError: the kernel refused.
    """
    questions = RouteSocket()
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE) as events:
        events.bind((0, _RTMGRP_LINK | _RTMGRP_IPV4_IFADDR))
        while True:
            index = _index(name)
            report(f"{name} does not exist" if index is None else _read(questions, name, index))
            _await_news(events, name, index)


def concerns(kind: int, body: bytes, name: str, index: int | None) -> bool:
    """Whether a message of the kernel is about the NIC with this name, or this index (None: it has none)."""
    if kind in {_RTM_NEWLINK, _RTM_DELLINK}:
        found = attributes(body[_LINK.size :]).get(_IFLA_IFNAME, b"").rstrip(b"\0")
        return _LINK.unpack_from(body)[2] == index or found == name.encode()
    return kind in {_RTM_NEWADDR, _RTM_DELADDR} and _ADDRESS.unpack_from(body)[4] == index


def _await_news(events: socket.socket, name: str, index: int | None) -> None:
    """Wait for a message about the NIC, or until so much happens that the kernel drops messages."""
    try:
        while not any(concerns(kind, body, name, index) for kind, body in messages(events.recv(_RECEIVE))):
            pass
    except OSError as error:
        if error.errno != errno.ENOBUFS:
            raise


def _index(name: str) -> int | None:
    try:
        return socket.if_nametoindex(name)
    except OSError:
        return None


def _read(questions: RouteSocket, name: str, index: int) -> Uplink | str:
    flags = dict(map(_index_and_flags, _everything(questions, _RTM_GETLINK, bytes(_LINK.size)))).get(index)
    if flags is None:
        return f"{name} does not exist"
    if not flags & _IFF_UP:
        return f"{name} is down"
    if not flags & _IFF_LOWER_UP:
        return f"{name} has no carrier"
    addresses = _everything(questions, _RTM_GETADDR, _ADDRESS.pack(socket.AF_INET, 0, 0, 0, 0))
    subnets = tuple(dict.fromkeys(_subnet(body) for body in addresses if _ADDRESS.unpack_from(body)[4] == index))
    return Uplink(name, index, subnets) if subnets else f"{name} has no IPv4 address"


def _everything(questions: RouteSocket, command: int, request: bytes) -> list[bytes]:
    """The bodies of a dump's messages."""
    while True:
        try:
            return [body for answer in questions.dump(command, request) for _, body in messages(answer)]
        except InterruptedError:
            continue


def _index_and_flags(link: bytes) -> tuple[int, int]:
    _, _, index, flags, _ = _LINK.unpack_from(link)
    return index, flags


def _subnet(address: bytes) -> Prefix:
    length: int = _ADDRESS.unpack_from(address)[1]
    mask = 0xFFFFFFFF << (32 - length) & 0xFFFFFFFF
    network = int.from_bytes(attributes(address[_ADDRESS.size :])[_IFA_ADDRESS], "big") & mask
    return network.to_bytes(4, "big") + bytes([length])
