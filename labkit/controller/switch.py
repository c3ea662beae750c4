"""What a virtual network's fabric receives: its ports, and the forwarding tables that they share."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass

from labkit.azure.model import Azure
from labkit.azure.rules.effective import ForwardingKey, effective_table
from labkit.controller.platform import Platform, TableKey
from labkit.controller.tables import Delta, Table, diff
from labkit.feed import switch as feed
from labkit.feed.tables import ForwardingTable, TableDelta, desired
from labkit.lab import fabric_ports as plan
from labkit.lab.plan.macs import FABRIC_MAC

SYSTEM_TABLE = "system"
"""The table of route server instances: their subnet has system routes only."""


@dataclass(frozen=True, slots=True)
class _Built:
    """What follows from Azure's objects and the instances that are gone or idle, and what it followed from."""

    azure: Azure
    gone: frozenset[str]
    idle: frozenset[tuple[str, str]]
    ports: Mapping[str, feed.Port]
    tables: Set[str]
    system: Table


class Switches:
    """The fabrics' side of a platform."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._names: dict[TableKey, str] = {}
        self._seed = zlib.crc32(platform.declared.name.encode())
        self._sent: dict[str, _Built] = {}

    def snapshot(self, virtual_network: str, load_balancers: Mapping[str, feed.Frontend]) -> feed.FabricSnapshot:
        """Everything that a fabric needs; deltas count from here."""
        built, _ = self._build(virtual_network, Table())
        self._sent[virtual_network] = built
        tables = {name: self._platform.table(key).message() for name, key in self._tables(virtual_network)}
        tables[SYSTEM_TABLE] = built.system.message()
        return feed.FabricSnapshot(FABRIC_MAC, self._seed, built.ports, tables, load_balancers)

    def delta(self, virtual_network: str, deltas: Mapping[TableKey, Delta]) -> feed.FabricDelta | None:
        """What is new for a fabric since its last message; None if nothing is.

        `deltas` are what is new in the tables that it knows.
        """
        former = self._sent[virtual_network]
        tables: dict[str, TableDelta | None] = {}
        new_tables: dict[str, ForwardingTable] = {}
        for name, key in self._tables(virtual_network):
            if name not in former.tables:
                new_tables[name] = self._platform.table(key).message()
            elif key in deltas:
                tables[name] = deltas[key].message()
        ports: dict[str, feed.Port | None] = {}
        platform = self._platform
        if former.azure is not platform.azure or (former.gone, former.idle) != (platform.gone, platform.idle):
            built, system = self._build(virtual_network, former.system)
            self._sent[virtual_network] = built
            if system:
                tables[SYSTEM_TABLE] = system.message()
            tables |= dict.fromkeys(former.tables - built.tables)
            ports |= {name: None for name in former.ports if name not in built.ports}
            ports |= {name: port for name, port in built.ports.items() if former.ports.get(name) != port}
        return feed.FabricDelta(ports, tables, new_tables) if ports or tables or new_tables else None

    def _build(self, virtual_network: str, system_before: Table) -> tuple[_Built, Delta]:
        platform = self._platform
        ports: dict[str, feed.Port] = {}
        gone, idle = platform.gone, platform.idle
        for name, port in plan.fabric_ports(platform.declared, virtual_network, platform.azure, gone, idle).items():
            ports[name] = self._port(port)
        rows = effective_table(platform.azure, ForwardingKey(virtual_network, None, None), {})
        system, change = diff(system_before, desired(rows))
        tables = {name for name, _ in self._tables(virtual_network)}
        return _Built(platform.azure, gone, idle, ports, tables, system), change

    def _port(self, port: plan.Port) -> feed.Port:
        match port:
            case plan.NicPort(nic, beyond):
                key = self._platform.table_key.get(nic.name)
                table = SYSTEM_TABLE if key is None else self._name(key)
                farther, secondary = (tuple(map(str, each)) for each in (beyond, nic.secondary))
                return feed.NicPort(nic.mac, str(nic.address), nic.ip_forwarding, table, farther, secondary)
            case plan.InternetPort(mac):
                return feed.InternetPort(mac)
            case plan.PeeringPort(_, neighbours, sources):
                return feed.PeeringPort(
                    tuple((str(address), mac) for address, mac in neighbours),
                    None if sources is None else tuple(map(str, sources)),
                )

    def _tables(self, virtual_network: str) -> Iterator[tuple[str, TableKey]]:
        """The tables that NICs of a virtual network have, by the names that its fabric knows them by."""
        for key in self._platform.table_keys:
            if key.virtual_network == virtual_network:
                yield self._name(key), key

    def _name(self, key: TableKey) -> str:
        return self._names.setdefault(key, f"t{len(self._names) + 1}")
