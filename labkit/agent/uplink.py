"""The VM's NIC: whether it can carry routes, read and watched with pyroute2."""

from __future__ import annotations

from collections.abc import Callable
from errno import ENODEV
from socket import AF_INET, inet_aton

from pyroute2 import IPRoute, NetlinkError
from pyroute2.netlink import nlmsg
from pyroute2.netlink.rtnl import RTMGRP_IPV4_IFADDR, RTMGRP_LINK

from labkit.agent.kernel_routes import Uplink

_IFF_UP = 0x1
_IFF_LOWER_UP = 0x10000


def watch(name: str, report: Callable[[Uplink | str], None]) -> None:
    """Report the NIC's state now and whenever something happened to it, for ever.

    Every event is reported, even if the state is as before: a NIC that went down and came up again looks the same,
    but has lost its routes, which the kernel does not report.

    Args:
        name: the NIC, which need not exist yet.
        report: gets the uplink, or why there is none.
    """
    # Two sockets: pyroute2 mixes the end of a dump into the events of the same socket.
    with IPRoute() as events, IPRoute() as questions:
        events.bind(groups=RTMGRP_LINK | RTMGRP_IPV4_IFADDR)
        while True:
            indexes = questions.link_lookup(ifname=name)
            report(_read(questions, name, indexes[0]) if indexes else f"{name} does not exist")
            while not any(_concerns(message, name, indexes) for message in events.get()):
                pass


def _concerns(message: nlmsg, name: str, indexes: list[int]) -> bool:
    index, link = message.get("index"), message.get_attr("IFLA_IFNAME")
    return index in indexes or link == name


def _read(questions: IPRoute, name: str, index: int) -> Uplink | str:
    try:
        (link,) = questions.get_links(index)
        addresses = list(questions.get_addr(family=AF_INET, index=index))
    except NetlinkError as problem:
        if problem.code != ENODEV:
            raise
        return f"{name} does not exist"
    if not link["flags"] & _IFF_UP:
        return f"{name} is down"
    if not link["flags"] & _IFF_LOWER_UP:
        return f"{name} has no carrier"
    if not addresses:
        return f"{name} has no IPv4 address"
    subnets = [_subnet(address.get_attr("IFA_ADDRESS"), address["prefixlen"]) for address in addresses]
    own = [inet_aton(address.get_attr("IFA_LOCAL")) for address in addresses]
    return Uplink(name, index, tuple(dict.fromkeys(subnets)), own=tuple(own))


def _subnet(address: str, length: int) -> bytes:
    mask = (0xFFFFFFFF << (32 - length)) & 0xFFFFFFFF
    network = int.from_bytes(inet_aton(address), "big") & mask
    return network.to_bytes(4, "big") + bytes([length])
