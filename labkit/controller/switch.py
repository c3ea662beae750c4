"""What a virtual network's fabric is told: its ports, and the forwarding tables that they share."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from typing import Any

from labkit.azure.model import Azure
from labkit.azure.rules.effective import ForwardingKey, effective_table
from labkit.controller.platform import Platform, TableKey
from labkit.controller.tables import Delta, Table, desired, diff
from labkit.lab.plan.fabric_ports import NicPort, fabric_ports
from labkit.lab.plan.wires import FABRIC_MAC

SYSTEM_TABLE = "system"
"""The table of route server instances: their subnet has system routes only."""


@dataclass(frozen=True, slots=True)
class _Built:
    """What follows from Azure's objects and the instances that are gone, and what it followed from."""

    azure: Azure
    gone: frozenset[str]
    ports: Mapping[str, dict[str, object]]
    tables: Set[str]
    system: Table


class Switches:
    """The fabrics' side of a platform."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._names: dict[TableKey, str] = {}
        self._seed = zlib.crc32(platform.declared.name.encode())
        self._told: dict[str, _Built] = {}

    def snapshot(self, virtual_network: str) -> dict[str, Any]:
        """Everything that a fabric needs, as the body of its snapshot message; deltas count from here."""
        built, _ = self._build(virtual_network, Table())
        self._told[virtual_network] = built
        tables: dict[str, object] = {
            name: self._platform.table(key).wire() for name, key in self._tables(virtual_network)
        }
        tables[SYSTEM_TABLE] = built.system.wire()
        return {"mac": FABRIC_MAC, "seed": self._seed, "ports": built.ports, "tables": tables}

    def delta(self, virtual_network: str, deltas: Mapping[TableKey, Delta]) -> dict[str, Any] | None:
        """What is new for a fabric since it was last told, as the body of its delta message; None if nothing is.

        `deltas` say what is new in the tables that it knows.
        """
        former = self._told[virtual_network]
        tables: dict[str, object] = {}
        for name, key in self._tables(virtual_network):
            if name not in former.tables:
                tables[name] = {"full": self._platform.table(key).wire()}
            elif key in deltas:
                tables[name] = deltas[key].wire()
        ports: dict[str, object] = {}
        if former.azure is not self._platform.azure or former.gone != self._gone():
            built, system = self._build(virtual_network, former.system)
            self._told[virtual_network] = built
            if system:
                tables[SYSTEM_TABLE] = system.wire()
            tables |= dict.fromkeys(former.tables - built.tables)
            ports |= {name: None for name in former.ports if name not in built.ports}
            ports |= {name: port for name, port in built.ports.items() if former.ports.get(name) != port}
        return {"ports": ports, "tables": tables} if ports or tables else None

    def _build(self, virtual_network: str, system_before: Table) -> tuple[_Built, Delta]:
        platform = self._platform
        ports: dict[str, dict[str, object]] = {}
        gone = self._gone()
        for name, port in fabric_ports(platform.declared, virtual_network, platform.azure, gone).items():
            if isinstance(port, NicPort):
                key = platform.table_key.get(port.nic.name)
                ports[name] = port.wire(SYSTEM_TABLE if key is None else self._name(key))
            else:
                ports[name] = port.wire()
        rows = effective_table(platform.azure, ForwardingKey(virtual_network, None, None), {})
        system, change = diff(system_before, desired(rows))
        tables = {name for name, _ in self._tables(virtual_network)}
        return _Built(platform.azure, gone, ports, tables, system), change

    def _tables(self, virtual_network: str) -> Iterator[tuple[str, TableKey]]:
        """The tables that NICs of a virtual network have, by the names that its fabric knows them by."""
        for key in self._platform.table_keys:
            if key.virtual_network == virtual_network:
                yield self._name(key), key

    def _name(self, key: TableKey) -> str:
        return self._names.setdefault(key, f"t{len(self._names) + 1}")

    def _gone(self) -> frozenset[str]:
        """The nodes of deleted route servers, once nobody waits for a last word of theirs."""
        return frozenset(instance.node for instance in self._platform.alone)
