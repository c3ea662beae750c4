"""The few rtnetlink messages that links need, packed by hand.

pyroute2 would do it too, but importing it takes 0.13 s, half of what booting a whole lab takes.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Sequence

from labkit import linux

_NETLINK_ROUTE = 0
_SOL_NETLINK = 270
_NETLINK_EXT_ACK = 11
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_NLM_F_REQUEST, _NLM_F_ACK, _NLM_F_DUMP, _NLM_F_EXCL, _NLM_F_CREATE = 0x1, 0x4, 0x300, 0x200, 0x400
_NLM_F_CAPPED, _NLM_F_ACK_TLVS = 0x100, 0x200
_RTM_NEWLINK, _RTM_DELLINK, _RTM_GETLINK = 16, 17, 18
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU, _IFLA_LINKINFO, _IFLA_NET_NS_FD = 1, 3, 4, 18, 28
_IFLA_INFO_KIND, _IFLA_INFO_DATA, _VETH_INFO_PEER = 1, 2, 1
_NLMSGERR_ATTR_MSG = 1
_IFF_UP = 0x1
_LOOPBACK = 1

_HEADER = struct.Struct("=IHHII")
_LINK = struct.Struct("=BxHiII")
_ATTRIBUTE = struct.Struct("=HH")


def attribute(kind: int, value: bytes) -> bytes:
    """A netlink attribute, padded."""
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value + b"\0" * (-len(value) % 4)


def _name(name: str) -> bytes:
    return attribute(_IFLA_IFNAME, name.encode() + b"\0")


def _end(name: str, mac: str, mtu: int, namespace: int) -> bytes:
    return (
        _name(name)
        + attribute(_IFLA_ADDRESS, bytes.fromhex(mac.replace(":", "")))
        + attribute(_IFLA_MTU, struct.pack("=I", mtu))
        + attribute(_IFLA_NET_NS_FD, struct.pack("=I", namespace))
    )


Message = tuple[int, int, bytes]
"""Type, flags and body of a netlink message."""


def veth(a: tuple[str, str, int], b: tuple[str, str, int], mtu: int) -> Message:
    """Create a veth pair, both ends down; each end is (interface name, MAC, descriptor of its network namespace).

    The kernel would refuse ends that are up: an end can't be opened before its peer exists.
    """
    any_link = _LINK.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
    peer = attribute(_VETH_INFO_PEER, any_link + _end(*_with_mtu(b, mtu)))
    info = attribute(_IFLA_INFO_KIND, b"veth\0") + attribute(_IFLA_INFO_DATA, peer)
    body = any_link + _end(*_with_mtu(a, mtu)) + attribute(_IFLA_LINKINFO, info)
    return _RTM_NEWLINK, _NLM_F_CREATE | _NLM_F_EXCL, body


def new_link(kind: str) -> Message:
    """Create a link of a kind, with a name that the kernel chooses."""
    info = attribute(_IFLA_INFO_KIND, kind.encode() + b"\0")
    body = _LINK.pack(socket.AF_UNSPEC, 0, 0, 0, 0) + attribute(_IFLA_LINKINFO, info)
    return _RTM_NEWLINK, _NLM_F_CREATE | _NLM_F_EXCL, body


def _with_mtu(end: tuple[str, str, int], mtu: int) -> tuple[str, str, int, int]:
    return end[0], end[1], mtu, end[2]


def link_state(index: int, up: bool) -> Message:
    """Set a link up or down."""
    return _RTM_NEWLINK, 0, _LINK.pack(socket.AF_UNSPEC, 0, index, _IFF_UP if up else 0, _IFF_UP)


def delete(index: int) -> Message:
    """Delete a link; of a veth pair both ends."""
    return _RTM_DELLINK, 0, _LINK.pack(socket.AF_UNSPEC, 0, index, 0, 0)


def move(index: int, name: str, namespace: int) -> Message:
    """Move a link into another network namespace, where it is called `name`."""
    body = _LINK.pack(socket.AF_UNSPEC, 0, index, 0, 0) + _name(name)
    return _RTM_NEWLINK, 0, body + attribute(_IFLA_NET_NS_FD, struct.pack("=I", namespace))


class MessageFailed(OSError):
    """The kernel refused a message; `position` is its place in the sequence sent."""

    def __init__(self, number: int, position: int, explanation: str) -> None:
        super().__init__(number, explanation or os.strerror(number))
        self.position = position


class Netlink:
    """A route netlink socket in the current network namespace, or in that whose descriptor `namespace` is."""

    def __init__(self, namespace: int | None = None) -> None:
        if namespace is None:
            self._socket = _open()
            return
        home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            linux.setns(namespace, linux.CLONE_NEWNET)
            try:
                self._socket = _open()
            finally:
                linux.setns(home, linux.CLONE_NEWNET)
        finally:
            os.close(home)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def __enter__(self) -> Netlink:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def send(self, messages: Sequence[Message]) -> None:
        """Send the messages in order and wait for all answers. Raises `MessageFailed` for the first one refused."""
        failure: MessageFailed | None = None
        for first in range(0, len(messages), 64):  # the answers must fit in the socket's receive buffer
            batch = messages[first : first + 64]
            self._socket.send(b"".join(pack(m, first + i, _NLM_F_ACK) for i, m in enumerate(batch)))
            answers = 0
            while answers < len(batch):
                for kind, flags, sequence, body in self._receive():
                    if kind != _NLMSG_ERROR:
                        continue
                    answers += 1
                    number = -struct.unpack_from("=i", body)[0]
                    if number and failure is None:
                        failure = MessageFailed(number, sequence, _explanation(flags, body))
            if failure:
                raise failure

    def links(self) -> dict[str, int]:
        """Interface names and their indexes."""
        self._socket.send(pack((_RTM_GETLINK, _NLM_F_DUMP, _LINK.pack(socket.AF_UNSPEC, 0, 0, 0, 0)), 0, 0))
        found: dict[str, int] = {}
        while True:
            for kind, _, _, body in self._receive():
                if kind == _NLMSG_DONE:
                    return found
                if kind == _NLMSG_ERROR:
                    raise MessageFailed(-struct.unpack_from("=i", body)[0], 0, "")
                for tag, value in _attributes(body, _LINK.size):
                    if tag == _IFLA_IFNAME:
                        found[value.rstrip(b"\0").decode()] = _LINK.unpack_from(body)[2]

    def _receive(self) -> list[tuple[int, int, int, bytes]]:
        data = self._socket.recv(1 << 18)
        found = []
        offset = 0
        while offset + _HEADER.size <= len(data):
            length, kind, flags, sequence, _ = _HEADER.unpack_from(data, offset)
            found.append((kind, flags, sequence, data[offset + _HEADER.size : offset + length]))
            offset += length + (-length % 4)
        return found


def _open() -> socket.socket:
    found = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_ROUTE)
    found.setsockopt(_SOL_NETLINK, _NETLINK_EXT_ACK, 1)
    found.bind((0, 0))
    return found


def pack(message: Message, sequence: int, more_flags: int) -> bytes:
    """A whole request."""
    kind, flags, body = message
    header = _HEADER.pack(_HEADER.size + len(body), kind, _NLM_F_REQUEST | flags | more_flags, sequence, 0)
    return header + body + b"\0" * (-len(body) % 4)


def _attributes(data: bytes, offset: int) -> list[tuple[int, bytes]]:
    found = []
    while offset + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        if length < _ATTRIBUTE.size:
            break
        found.append((kind, data[offset + _ATTRIBUTE.size : offset + length]))
        offset += length + (-length % 4)
    return found


def _explanation(flags: int, body: bytes) -> str:
    """The kernel's own words about a refused message (extended acknowledgement), if it has any."""
    if not flags & _NLM_F_ACK_TLVS:
        return ""
    offset = 4 + (_HEADER.size if flags & _NLM_F_CAPPED else struct.unpack_from("=I", body, 4)[0])
    for kind, value in _attributes(body, offset + (-offset % 4)):
        if kind == _NLMSGERR_ATTR_MSG:
            return value.rstrip(b"\0").decode(errors="replace")
    return ""


def loopback_up() -> None:
    """Set `lo` of the current network namespace up."""
    with Netlink() as netlink:
        netlink.send([link_state(_LOOPBACK, up=True)])
