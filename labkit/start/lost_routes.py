"""A router's routes, after a link of its node went down and up again too fast for zebra.

When a link goes down, the kernel removes its routes, and reports none of them. zebra installs them again once it has
found the link down. If that is up by then, the routes are missing, and zebra shows them as installed (FRR 10.3). Those
of BGP come back if bgpd resolves their next hops again, which it does not where static routes lead to these.
"""

from __future__ import annotations

import _socket
import errno
import struct
import sys

from labkit.daemons.errors import NoAnswer
from labkit.daemons.frr.vty import Vty, vty
from labkit.netlink import messages

TYPE_CHECKING = False  # the module typing takes longer to import than all of this
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any

_RTMGRP_LINK = 1
_RTM_NEWLINK = 16
_IFF_UP = 1
_INTERFACE = struct.Struct("=BxHiI")
_RECEIVE = 1 << 16
_METRIC = "20"
_MAIN = "254"
_PROTOCOLS = {"static": "196", "bgp": "186"}
"""With these zebra installs routes, by their kind; the file with the protocols' names is not on every node."""


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
    """Give the kernel the routes that zebra takes for installed and the kernel lacks."""
    try:
        with vty("zebra") as zebra:
            for table in (_MAIN, *_rules_tables()):
                for kind, protocol in _PROTOCOLS.items():
                    _restore(zebra, kind, ("table", table, "proto", protocol))
    except NoAnswer:
        return  # zebra starts, and then finds the links as they are


def _restore(zebra: Vty, kind: str, share: tuple[str, ...]) -> None:
    """As `restore`, for one kind of routes, which are in the `share` of the kernel's."""
    there = {row["dst"] for row in _ip("route", "show", *share)}
    lost = dict(missing(_shown(zebra, kind, share), there))
    if not lost:
        return
    sys.stderr.write(f"frr: a link was down, and the kernel lost the {kind} routes to {', '.join(lost)}\n")
    _write(("replace", prefix, *share, "metric", _METRIC, *words) for prefix, words in lost.items())
    # What zebra has removed meanwhile, it may have removed before it was given back.
    gone = lost.keys() - dict(missing(_shown(zebra, kind, share), set()))
    _write(("delete", prefix, *share, "metric", _METRIC) for prefix in gone)


def _shown(zebra: Vty, kind: str, share: tuple[str, ...]) -> Mapping[str, Any]:
    """The routes of a kind in a table, as zebra shows them."""
    import json  # noqa: PLC0415 - no boot waits for it

    table = "" if share[1] == _MAIN else f" table {share[1]}"
    shown: Mapping[str, Any] = json.loads(zebra.run([f"show ip route{table} {kind} json"]))
    return shown


def _rules_tables() -> list[str]:
    """The tables of the node's NICs, if it has policy rules to them."""
    from labkit.lab.plan.nic_tables import RULE_PROTOCOL  # noqa: PLC0415 - no boot waits for it

    return [rule["table"] for rule in _ip("rule", "show") if rule.get("protocol") == str(RULE_PROTOCOL)]


def missing(shown: Mapping[str, Any], there: set[str]) -> Iterator[tuple[str, list[str]]]:
    """The routes of `show ip route json` that are installed and not in `there`, each with how `ip route` has them."""
    for prefix, routes in shown.items():
        if ("default" if prefix == "0.0.0.0/0" else prefix) in there:
            continue
        for route in routes:
            hops = [hop for hop in route["nexthops"] if hop.get("fib")] or [
                hop for hop in route["nexthops"] if hop.get("active") and "interfaceName" in hop
            ]  # zebra may have taken the mark from its next hops, and not from the route
            if route.get("installed") and hops:
                source = ["src", hops[0]["rmapSource"]] if "rmapSource" in hops[0] else []
                yield prefix, [*source, *(word for hop in hops for word in _hop(hop))]


def _hop(hop: Mapping[str, Any]) -> list[str]:
    via = ["via", hop["ip"]] if "ip" in hop else []
    on_link = ["onlink"] if hop.get("onLink") else []
    return ["nexthop", *via, "dev", hop["interfaceName"], *on_link]


def _write(changes: Iterable[tuple[str, ...]]) -> None:
    """Make changes of the kernel's routes, each with the words of `ip route`."""
    import subprocess  # noqa: PLC0415 - no boot waits for it

    lines = "".join(f"route {' '.join(words)}\n" for words in changes)
    done = subprocess.run(
        ["ip", "-N", "-force", "-batch", "-"], input=lines, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.stderr.write(f"frr: ip: {done.stderr.strip()}\n")


def _ip(*arguments: str) -> list[dict[str, Any]]:
    """What a command of `ip` shows."""
    import json  # noqa: PLC0415 - no boot waits for it
    import subprocess  # noqa: PLC0415

    done = subprocess.run(["ip", "-N", "-j", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.stderr.write(f"frr: ip {' '.join(arguments)}: {done.stderr.strip()}\n")
    rows: list[dict[str, Any]] = json.loads(done.stdout or "[]")
    return rows
