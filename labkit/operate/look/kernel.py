"""A kernel's routes, as `ip -j -4 route` prints them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Any


@dataclass(frozen=True, slots=True)
class KernelPath:
    """One route of a node's kernel; `gateways`, ascending, is empty for on-link and blackhole routes.

    `source` is the address that the kernel gives to packets of its own.
    """

    prefix: IPv4Network
    type: str
    gateways: tuple[IPv4Address, ...]
    protocol: str
    device: str = ""
    source: IPv4Address | None = None


def read(text: str) -> tuple[KernelPath, ...]:
    """The routes of an output, in its order; none for an empty one."""
    return tuple(map(_path, json.loads(text))) if text.strip() else ()


def _path(row: Mapping[str, Any]) -> KernelPath:
    hops = [row, *row.get("nexthops", [])]
    return KernelPath(
        IPv4Network("0.0.0.0/0" if row["dst"] == "default" else row["dst"]),
        row.get("type", "unicast"),
        tuple(sorted(IPv4Address(hop["gateway"]) for hop in hops if "gateway" in hop)),
        str(row.get("protocol", "")),
        next((hop["dev"] for hop in hops if "dev" in hop), ""),
        IPv4Address(row["prefsrc"]) if "prefsrc" in row else None,
    )
