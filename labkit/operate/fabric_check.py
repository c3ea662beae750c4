"""A fabric's program as its kernel holds it, read back and held against the effective routes.

Every address at which the rules could change their mind (the first and last of every prefix) is asked of both: of the
nftables ruleset where a packet to it would go, and of the oracle where it should.
"""

from __future__ import annotations

import bisect
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from labkit.azure.effective import ForwardingKey, effective_table
from labkit.azure.model import NextHopType
from labkit.controller.tables import Hop, desired
from labkit.lab.fabric_ports import InternetPort, NicPort, PeeringPort, Port, fabric_ports
from labkit.operate.observe import Look

TABLE = ("netdev", "labkit")
LOCAL = (NextHopType.VNET_LOCAL, NextHopType.VNET_PEERING, NextHopType.VNET_GLOBAL_PEERING)

Macs = frozenset[str]
"""Where a packet may go: the destination MACs it may be given. Empty: dropped."""


def fabric_difference(vnet: str, look: Look) -> str | None:
    """The first difference between a fabric's program and the effective routes, None if there is none."""
    ports = fabric_ports(look.lab, vnet)
    ruleset = _Ruleset(json.loads(look.output(vnet, "nft", "-j", "list", "table", *TABLE)))
    macs = _macs(ports)
    for name, port in ports.items():
        if not isinstance(port, NicPort):
            continue
        table = ruleset.table_of(name)
        if table is None:
            return f"the port of {name} in fabric {vnet} has no program. Look: labkit logs {vnet}"
        hops = _hops(look, vnet, port)
        for address in _corners(hops):
            right = _right(hops, address, macs, ports)
            there = ruleset.leads(table, address)
            if there != right:
                return (
                    f"fabric {vnet} brings what {name} sends to {address} to {_text(there)}; "
                    f"the rules say {_text(right)}. Look: labkit logs {vnet}"
                )
    return None


def _hops(look: Look, vnet: str, port: NicPort) -> Mapping[IPv4Network, Hop]:
    oracle = look.state["oracle"].get(port.nic.name)
    if oracle is None:  # a route server instance: its subnet has system routes only
        return desired(effective_table(look.lab.azure, ForwardingKey(vnet, None, None), {}))
    groups = {
        int(i): Hop(NextHopType(g["type"]), tuple(map(IPv4Address, g["next_hops"])))
        for i, g in oracle["groups"].items()
    }
    return {IPv4Network(prefix): groups[group] for prefix, group in oracle["routes"].items()}


def _macs(ports: Mapping[str, Port]) -> dict[IPv4Address, str]:
    """The MAC of every NIC that a fabric reaches, its own and those of peered virtual networks."""
    found = {port.nic.address: port.nic.mac for port in ports.values() if isinstance(port, NicPort)}
    for port in ports.values():
        if isinstance(port, PeeringPort):
            found |= dict(port.neighbours)
    return found


def _corners(hops: Mapping[IPv4Network, Hop]) -> Iterator[IPv4Address]:
    for prefix in hops:
        yield prefix[0]
        yield prefix[-1]
        if prefix.prefixlen <= 30:
            yield prefix[4 if prefix.num_addresses > 4 else 1]


def _right(
    hops: Mapping[IPv4Network, Hop], address: IPv4Address, macs: Mapping[IPv4Address, str], ports: Mapping[str, Port]
) -> Macs:
    hop = next(
        (hops[p] for length in range(32, -1, -1) if (p := IPv4Network((address, length), strict=False)) in hops), None
    )
    if hop is None or hop.type is NextHopType.NONE:
        return frozenset()
    if hop.type is NextHopType.INTERNET:
        return frozenset(port.mac for port in ports.values() if isinstance(port, InternetPort))
    targets = (address,) if hop.type in LOCAL else hop.next_hops
    return frozenset(macs[a] for a in targets if a in macs)


def _text(macs: Macs) -> str:
    return " or ".join(sorted(macs)) or "nobody"


@dataclass(frozen=True)
class _Ruleset:
    """An nftables table as `nft -j` prints it."""

    document: dict[str, Any]

    @cached_property
    def _rules(self) -> dict[str, list[list[dict[str, Any]]]]:
        rules: dict[str, list[list[dict[str, Any]]]] = {}
        for item in self.document["nftables"]:
            if "rule" in item:
                rules.setdefault(item["rule"]["chain"], []).append(item["rule"]["expr"])
        return rules

    @cached_property
    def _maps(self) -> dict[str, list[tuple[int, int, Any]]]:
        """The elements of every map as `(first, last, value)`, ascending."""
        maps = {}
        for item in self.document["nftables"]:
            if "map" in item:
                elements = [(*_range(key), value) for key, value in item["map"].get("elem", [])]
                maps[item["map"]["name"]] = sorted(elements, key=lambda element: element[0])
        return maps

    def table_of(self, port: str) -> str | None:
        """The forwarding map that the ingress chain of a port asks."""
        for rule in self._rules.get(f"in-{port}", []):
            for statement in rule:
                if "vmap" in statement:
                    name: str = statement["vmap"]["data"]
                    return name.removeprefix("@")
        return None

    def leads(self, table: str, address: IPv4Address) -> Macs:
        """Where the program brings a packet to `address` by the forwarding map `table`."""
        verdict = self._lookup(table, address)
        if verdict is None:
            return frozenset()
        found: set[str] = set()
        for rule in self._rules.get(verdict["jump"]["target"], []):
            for statement in rule:
                if "mangle" in statement and statement["mangle"]["key"].get("payload", {}).get("field") == "daddr":
                    found |= self._values(statement["mangle"]["value"], address)
        return frozenset(found)

    def _values(self, value: Any, address: IPv4Address) -> set[str]:
        if isinstance(value, str):
            return {value}
        data = value["map"]["data"]
        if isinstance(data, str):
            mac = self._lookup(data.removeprefix("@"), address)
            return {mac} if mac is not None else set()
        return {mac for _, mac in data["set"]}

    def _lookup(self, name: str, address: IPv4Address) -> Any:
        elements = self._maps[name]
        position = bisect.bisect_right(elements, int(address), key=lambda element: element[0]) - 1
        if position >= 0 and elements[position][1] >= int(address):
            return elements[position][2]
        return None


def _range(key: Any) -> tuple[int, int]:
    """The first and last address of a map's key: an address, a prefix or a range."""
    if isinstance(key, str):
        return int(IPv4Address(key)), int(IPv4Address(key))
    if "prefix" in key:
        network = IPv4Network(f"{key['prefix']['addr']}/{key['prefix']['len']}")
        return int(network[0]), int(network[-1])
    first, last = key["range"]
    return int(IPv4Address(first)), int(IPv4Address(last))
