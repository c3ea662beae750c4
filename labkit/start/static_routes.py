"""A router's static routes, after a link of its node went down and up again too fast for zebra.

When a link goes down, the kernel removes its routes, and reports none of them. zebra installs them again once it has
found the link down. If that is up by then, the routes are missing, and zebra shows them as installed (FRR 10.3).
BGP's routes come back, because bgpd resolves their next hops again.
"""

from __future__ import annotations

import _socket
import errno
import struct
import sys

from labkit.daemons.errors import NoAnswer
from labkit.daemons.frr.vty import vty
from labkit.netlink import messages

TYPE_CHECKING = False  # the module typing takes longer to import than all of this
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

_RTMGRP_LINK = 1
_RTM_NEWLINK = 16
_IFF_UP = 1
_INTERFACE = struct.Struct("=BxHiI")
_RECEIVE = 1 << 16
_METRIC = "20"
_MAIN = "254"
_PROTOCOL = "196"
"""With these zebra installs static routes; the file with the protocol's name is not on every node."""


class LinkEvents:
    """The kernel's reports about this node's links. `descriptor` is readable when there are some."""

    def __init__(self) -> None:
        self._socket = _socket.socket(_socket.AF_NETLINK, _socket.SOCK_RAW | _socket.SOCK_CLOEXEC, 0)
        self._socket.bind((0, _RTMGRP_LINK))
        self.descriptor = self._socket.fileno()

    def up(self) -> bool:
        """Whether a link that is up was among them; also if there were more than the kernel keeps."""
        try:
            buffer = self._socket.recv(_RECEIVE)
        except OSError as error:
            if error.errno == errno.ENOBUFS:
                return True
            raise
        links = (body for kind, body in messages(buffer) if kind == _RTM_NEWLINK)
        return any(_INTERFACE.unpack_from(body)[3] & _IFF_UP for body in links)


def restore() -> None:
    """Give the kernel the static routes that zebra takes for installed and the kernel lacks."""
    import json  # noqa: PLC0415 - no boot waits for it

    try:
        with vty("zebra") as connection:
            shown = {
                table: connection.run([f"show ip route{'' if table == _MAIN else f' table {table}'} static json"])
                for table in (_MAIN, *_rules_tables())
            }
    except NoAnswer:
        return  # zebra starts, and then finds the links as they are
    for table, routes in shown.items():
        there = {row["dst"] for row in _ip("route", "show", "table", table, "proto", _PROTOCOL)}
        for prefix, hops in missing(json.loads(routes), there):
            sys.stderr.write(f"frr: a link was down, and the kernel lost the static route to {prefix}\n")
            _ip("route", "replace", prefix, "table", table, "proto", _PROTOCOL, "metric", _METRIC, *hops)


def _rules_tables() -> list[str]:
    """The tables of the node's NICs, if it has policy rules to them."""
    from labkit.lab.plan.nic_tables import RULE_PROTOCOL  # noqa: PLC0415 - no boot waits for it

    return [rule["table"] for rule in _ip("rule", "show") if rule.get("protocol") == str(RULE_PROTOCOL)]


def missing(shown: Mapping[str, Any], there: set[str]) -> Iterator[tuple[str, list[str]]]:
    """The routes of `show ip route json` that are installed and not in `there`, each with `ip route`'s next hops."""
    for prefix, routes in shown.items():
        if ("default" if prefix == "0.0.0.0/0" else prefix) in there:
            continue
        for route in routes:
            hops = [hop for hop in route["nexthops"] if hop.get("fib")] or [
                hop for hop in route["nexthops"] if hop.get("active") and "interfaceName" in hop
            ]  # zebra may have taken the mark from its next hops, and not from the route
            if route.get("installed") and hops:
                yield prefix, [word for hop in hops for word in _hop(hop)]


def _hop(hop: Mapping[str, Any]) -> list[str]:
    via = ["via", hop["ip"]] if "ip" in hop else []
    return ["nexthop", *via, "dev", hop["interfaceName"]]


def _ip(*arguments: str) -> list[dict[str, Any]]:
    """What a command of `ip` shows."""
    import json  # noqa: PLC0415 - no boot waits for it
    import subprocess  # noqa: PLC0415

    done = subprocess.run(["ip", "-N", "-j", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.stderr.write(f"frr: ip {' '.join(arguments)}: {done.stderr.strip()}\n")
    rows: list[dict[str, Any]] = json.loads(done.stdout or "[]")
    return rows
