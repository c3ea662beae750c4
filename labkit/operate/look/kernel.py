"""A kernel's routes, as `ip -j -4 route` prints them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Any


@dataclass(frozen=True, slots=True)
class KernelHop:
    """A next hop of a kernel's route: the interface that packets leave by, and the gateway; None for an on-link one."""

    device: str = ""
    gateway: IPv4Address | None = None


@dataclass(frozen=True, slots=True)
class KernelPath:
    """One route of a node's kernel; its next hops `hops` are ordered by gateway, a blackhole route has none.

    `source` is the address that the kernel gives to packets of its own; without it that of the interface.
    """

    prefix: IPv4Network
    type: str
    hops: tuple[KernelHop, ...]
    protocol: str
    source: IPv4Address | None = None

    @property
    def gateways(self) -> tuple[IPv4Address, ...]:
        """The gateways of its next hops, ascending; none for on-link and blackhole routes."""
        return gateways(self.hops)


def gateways(hops: Iterable[KernelHop]) -> tuple[IPv4Address, ...]:
    """The gateways of next hops, in their order."""
    return tuple(hop.gateway for hop in hops if hop.gateway is not None)


def read(text: str) -> tuple[KernelPath, ...]:
    """The routes of an output, in its order; none for an empty one."""
    return tuple(map(_path, json.loads(text))) if text.strip() else ()


def _path(row: Mapping[str, Any]) -> KernelPath:
    rows = row.get("nexthops", [row] if "dev" in row else [])
    hops = (KernelHop(hop["dev"], IPv4Address(hop["gateway"]) if "gateway" in hop else None) for hop in rows)
    return KernelPath(
        IPv4Network("0.0.0.0/0" if row["dst"] == "default" else row["dst"]),
        row.get("type", "unicast"),
        tuple(sorted(hops, key=lambda hop: (int(hop.gateway or 0), hop.device))),
        str(row.get("protocol", "")),
        IPv4Address(row["prefsrc"]) if "prefsrc" in row else None,
    )
