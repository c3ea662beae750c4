"""Packets on purpose: ping and traceroute from inside a lab's nodes."""

from __future__ import annotations

import re
from ipaddress import IPv4Address

from labkit.operate.look.client import LabClient

_HOP = re.compile(r"^\s*\d+\s+(\S+)", re.MULTILINE)
MAX_HOPS = 12


def ping(client: LabClient, node: str, target: IPv4Address, source: IPv4Address | None = None) -> bool:
    """Whether `target` answers one echo request of `node` within a second.

    `source` is the address of the node that it has as its source; without it, the node's kernel chooses.
    """
    own = () if source is None else ("-I", str(source))
    return client.run(node, "ping", "-n", "-c", "1", "-W", "1", *own, str(target)).rc == 0


def traceroute(
    client: LabClient, node: str, target: IPv4Address, source: IPv4Address | None = None
) -> list[IPv4Address | None]:
    """The hops from `node` to `target` by UDP, one probe each; None where nobody answered within a second.

    Ends with the target, or after `MAX_HOPS`. `source` is as for `ping`.
    """
    own = () if source is None else ("-s", str(source))
    argv = ("traceroute", "-n", "-q", "1", "-w", "1", "-m", str(MAX_HOPS), *own, str(target))
    text = client.run(node, *argv).stdout
    hops = _HOP.findall(text.partition("\n")[2])
    return [None if hop == "*" else IPv4Address(hop) for hop in hops]
