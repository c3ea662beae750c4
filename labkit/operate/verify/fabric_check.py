"""A fabric's program as its kernel holds it, read back and held against the effective routes.

Every address at which the rules could change their mind (the first and last of every prefix) is asked of both: of the
nftables ruleset where a packet to it would go, and of the oracle where it should.
"""

from __future__ import annotations

import bisect
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from labkit.azure.forwarding import Disposition, Packet, Surroundings, next_hops
from labkit.azure.model import ON_LINK, EffectiveRoute, RouteSource, RouteState
from labkit.azure.model.ranges import LongestMatch
from labkit.azure.rules.effective import ForwardingKey, active, effective_table
from labkit.feed.tables import ForwardingTable
from labkit.lab.fabric_ports import InternetPort, NicPort, PeeringPort, Port, beyond, fabric_ports
from labkit.operate.look.live_state import LiveState
from labkit.operate.verify.difference import NOTHING, Difference

TABLE = ("netdev", "labkit")

GUARDS = {
    "foreign-source": "what comes from another address than the NIC's",
    "foreign-destination": "what is for another address than the NIC's",
    "forwarded": "what the peered network only forwards",
}
"""What ports drop whatever the routes, by the reasons in the names of their counters."""

Macs = frozenset[str]
"""Where a packet may go: the destination MACs it may be given. Empty: dropped."""


@dataclass(frozen=True, slots=True)
class Wrong:
    """What ports of a fabric send to `address`, an address of `prefix`, goes elsewhere than it should.

    Ports without a program have no `address`: nothing they send goes anywhere.
    """

    ports: tuple[str, ...]
    prefix: IPv4Network | None = None
    address: IPv4Address | None = None
    right: Macs = frozenset()
    there: Macs = frozenset()


def fabric_difference(vnet: str, live: LiveState) -> str | None:
    """The first difference between a fabric's program and the effective routes, None if there is none."""
    for wrong in _wrong(vnet, live, fabric_ports(live.lab, vnet, live.azure, live.state.gone, live.state.idle)):
        name = wrong.ports[0]
        if wrong.address is None:
            return f"the port of {name} in fabric {vnet} has no program. Look: labkit logs {vnet}"
        return (
            f"fabric {vnet} delivers what {name} sends to {wrong.address} to {_text(wrong.there)}; "
            f"expected: {_text(wrong.right)}. Look: labkit logs {vnet}"
        )
    return None


def fabric_differences(vnet: str, live: LiveState) -> Iterator[Difference]:
    """Every difference between a fabric's program and the effective routes; ports with the same ones together."""
    ports = fabric_ports(live.lab, vnet, live.azure, live.state.gone, live.state.idle)
    names = {port.nic.mac: beyond(port) for port in ports.values() if isinstance(port, NicPort)}
    names |= {port.mac: beyond(port) for port in ports.values() if isinstance(port, InternetPort)}
    names |= {
        mac: live.owners.get(address, mac)
        for port in ports.values()
        if isinstance(port, PeeringPort)
        for address, mac in reversed(port.neighbours)
    }

    def text(macs: Macs) -> str:
        return " or ".join(sorted(names.get(mac, mac) for mac in macs)) or "nobody"

    for dropped, unguarded in _unguarded(vnet, live, ports).items():
        where = f"fabric {vnet}, port{'s' if len(unguarded) > 1 else ''} {', '.join(unguarded)}"
        yield Difference(where, "", f"drops {dropped}", "lets it through", f"labkit logs {vnet}")
    for wrong in _wrong(vnet, live, ports):
        where = f"fabric {vnet}, from {', '.join(wrong.ports)}"
        if wrong.address is None:
            yield Difference(where, "", "a program", NOTHING, f"labkit logs {vnet}")
        else:
            right, there = f"to {text(wrong.right)}", f"to {text(wrong.there)}"
            yield Difference(where, str(wrong.prefix), right, there, f"labkit logs {vnet}")


def _unguarded(vnet: str, live: LiveState, ports: Mapping[str, Port]) -> dict[str, list[str]]:
    """What ports should drop whatever the routes, and do not: the ports by what it is."""
    ruleset = _ruleset(vnet, live)
    found: dict[str, list[str]] = {}
    for name, port in ports.items():
        guards = []
        if isinstance(port, NicPort) and not port.nic.ip_forwarding and ruleset.table_of(name) is not None:
            guards.append((f"in-{name}", "foreign-source"))
        if isinstance(port, NicPort) and not port.nic.ip_forwarding:
            guards.append((f"out-{name}", "foreign-destination"))
        if isinstance(port, PeeringPort) and port.sources is not None:
            guards.append((f"in-{name}", "forwarded"))
        for chain, reason in guards:
            if not ruleset.drops(chain, f"drop-{name}-{reason}"):
                found.setdefault(GUARDS[reason], []).append(beyond(port))
    return found


def _ruleset(vnet: str, live: LiveState) -> _Ruleset:
    return _Ruleset(json.loads(live.output(vnet, "nft", "-j", "list", "table", *TABLE)))


def _wrong(vnet: str, live: LiveState, ports: Mapping[str, Port]) -> Iterator[Wrong]:
    ruleset = _ruleset(vnet, live)
    surroundings = live.surroundings(vnet)
    internet = frozenset(port.mac for port in ports.values() if isinstance(port, InternetPort))
    sharing: list[tuple[str, ForwardingTable | None, list[str]]] = []
    bare = []
    for name, port in ports.items():
        table = ruleset.table_of(name) if isinstance(port, NicPort) else None
        if isinstance(port, NicPort) and table is None:
            bare.append(port.nic.name)
        elif isinstance(port, NicPort) and table is not None:
            wanted = live.state.forwarding.get(port.nic.name)
            alike = next((names for other, by_rules, names in sharing if (other, by_rules) == (table, wanted)), None)
            if alike is None:
                sharing.append((table, wanted, [port.nic.name]))
            else:
                alike.append(port.nic.name)
    if bare:
        yield Wrong(tuple(bare))
    for table, wanted, names in sharing:
        routes = _routes(live, vnet, wanted)
        match = LongestMatch(routes)
        seen: set[tuple[IPv4Network, Macs, Macs]] = set()
        for address in sorted(
            {*_corners(routes), *ruleset.corners(table), *surroundings.reachable, *surroundings.frontends}
        ):
            row = match.of(address)
            right, there = _right(surroundings, row, address, internet), ruleset.leads(table, address)
            if there == right:
                continue
            # Of what is brought to its own address, and of what has no route, every address is a row of its own.
            about = row.prefix if row is not None and row.next_hop_type not in ON_LINK else IPv4Network(address)
            if (about, right, there) not in seen:
                seen.add((about, right, there))
                yield Wrong(tuple(names), about, address, right, there)


def _routes(live: LiveState, vnet: str, table: ForwardingTable | None) -> Mapping[IPv4Network, EffectiveRoute]:
    """The routes of a forwarding table, by prefix."""
    if table is None:  # a route server instance: its subnet has system routes only
        return {row.prefix: row for row in active(effective_table(live.azure, ForwardingKey(vnet, None, None), {}))}
    routes = ((IPv4Network(text), table.groups[group]) for text, group in table.routes.items())
    return {
        prefix: EffectiveRoute(RouteSource.DEFAULT, RouteState.ACTIVE, prefix, hops.type, hops.next_hops)
        for prefix, hops in routes
    }


def _corners(routes: Iterable[IPv4Network]) -> Iterator[IPv4Address]:
    for prefix in routes:
        yield prefix[0]
        yield prefix[-1]
        if prefix.prefixlen <= 30:
            yield prefix[4 if prefix.num_addresses > 4 else 1]


def _right(surroundings: Surroundings, row: EffectiveRoute | None, address: IPv4Address, internet: Macs) -> Macs:
    """Where packets to an address should go by their effective route; whose they are makes no difference here."""
    verdicts = next_hops(surroundings, row, Packet(address, address))
    leaves = any(verdict.disposition is Disposition.INTERNET for verdict in verdicts)
    return frozenset(v.nic.mac for v in verdicts if v.nic is not None) | (internet if leaves else frozenset())


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
            # The key of what a backend's port remembers of its clients is no address.
            if "map" in item and isinstance(item["map"]["type"], str):
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

    def drops(self, chain: str, counter: str) -> bool:
        """Whether a chain has a rule that counts so and drops."""
        return any(
            {"counter": counter} in rule and any("drop" in statement for statement in rule)
            for rule in self._rules.get(chain, [])
        )

    def corners(self, table: str) -> Iterator[IPv4Address]:
        """The first and last address of every element of a forwarding map."""
        for first, last, _ in self._maps.get(table, ()):
            yield IPv4Address(first)
            yield IPv4Address(last)

    def leads(self, table: str, address: IPv4Address) -> Macs:
        """Where the program brings a packet to `address` by the forwarding map `table`."""
        verdict = self._lookup(table, address)
        if verdict is None or "drop" in verdict:
            return frozenset()
        if "jump" not in verdict:
            return frozenset({"wherever its sender sends it"})  # no program of ours: it leaves the packet as it is
        return frozenset(self._chain(verdict["jump"]["target"], address))

    def _chain(self, name: str, address: IPv4Address) -> set[str]:
        """Where the chain of a next-hop group or of a load balancer brings a packet."""
        found: set[str] = set()
        for rule in self._rules.get(name, []):
            for statement in rule:
                if _is_for_another(statement, address):
                    break
                if "mangle" in statement and statement["mangle"]["key"].get("payload", {}).get("field") == "daddr":
                    found |= self._values(statement["mangle"]["value"], address)
                verdicts = [verdict for _, verdict in statement["vmap"]["data"]["set"]] if "vmap" in statement else []
                for verdict in [statement, *verdicts]:
                    if "goto" in verdict:
                        found |= self._chain(verdict["goto"]["target"], address)
        return found

    def _values(self, value: Any, address: IPv4Address) -> set[str]:
        if isinstance(value, str):
            return {value}
        data = value["map"]["data"]
        if isinstance(data, str):
            mac = self._lookup(data.removeprefix("@"), address)
            return {mac} if mac is not None else set()
        return {mac for _, mac in data["set"]}

    def _lookup(self, name: str, address: IPv4Address) -> Any:
        elements = self._maps.get(name, [])
        position = bisect.bisect_right(elements, int(address), key=lambda element: element[0]) - 1
        if position >= 0 and elements[position][1] >= int(address):
            return elements[position][2]
        return None


def _is_for_another(statement: dict[str, Any], address: IPv4Address) -> bool:
    """Whether a statement compares the destination with another address: the rest of its rule is not for this one."""
    match = statement.get("match", {})
    destination = {"payload": {"protocol": "ip", "field": "daddr"}}
    return bool(match) and match["left"] == destination and match["right"] != str(address)


def _range(key: Any) -> tuple[int, int]:
    """The first and last address of a map's key: an address, a prefix or a range."""
    if isinstance(key, str):
        return int(IPv4Address(key)), int(IPv4Address(key))
    if "prefix" in key:
        network = IPv4Network(f"{key['prefix']['addr']}/{key['prefix']['len']}")
        return int(network[0]), int(network[-1])
    first, last = key["range"]
    return int(IPv4Address(first)), int(IPv4Address(last))
