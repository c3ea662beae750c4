"""What a virtual network's fabric is told: its ports, and the forwarding tables that they share."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from labkit.azure.effective import ForwardingKey, effective_table
from labkit.azure.model import Azure
from labkit.controller.platform import Platform, TableChange, TableKey
from labkit.controller.tables import Delta, Table, desired, diff
from labkit.lab.fabric_ports import NicPort, fabric_ports
from labkit.lab.wires import FABRIC_MAC

SYSTEM_TABLE = "system"
"""The table of route server instances: their subnet has system routes only."""


@dataclass(frozen=True, slots=True)
class _Built:
    """What follows from Azure's objects and the instances that are gone, and what it followed from."""

    azure: Azure
    gone: frozenset[str]
    ports: Mapping[str, dict[str, object]]
    system: Table


class Switches:
    """The fabrics' side of a platform."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._names = {key: f"t{number}" for number, key in enumerate(platform.table_keys, 1)}
        self._seed = zlib.crc32(platform.declared.name.encode())
        self._told: dict[str, _Built] = {}

    def snapshot(self, virtual_network: str) -> dict[str, Any]:
        """Everything that a fabric needs, as the body of its snapshot message; deltas count from here."""
        built, _ = self._build(virtual_network, Table())
        self._told[virtual_network] = built
        tables: dict[str, object] = {
            self._names[key]: self._platform.table(key).wire()
            for key in self._platform.table_keys
            if key.virtual_network == virtual_network
        }
        tables[SYSTEM_TABLE] = built.system.wire()
        return {"mac": FABRIC_MAC, "seed": self._seed, "ports": built.ports, "tables": tables}

    def delta(self, virtual_network: str, changes: Mapping[TableKey, TableChange]) -> dict[str, Any] | None:
        """What is new for a fabric since it was last told, as the body of its delta message; None if nothing is."""
        tables = {
            self._names[key]: change.delta.wire()
            for key, change in changes.items()
            if key.virtual_network == virtual_network
        }
        ports: dict[str, object] = {}
        former = self._told[virtual_network]
        if former.azure is not self._platform.azure or former.gone != self._gone():
            built, system = self._build(virtual_network, former.system)
            self._told[virtual_network] = built
            if system:
                tables[SYSTEM_TABLE] = system.wire()
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
                ports[name] = port.wire(SYSTEM_TABLE if key is None else self._names[key])
            else:
                ports[name] = port.wire()
        rows = effective_table(platform.azure, ForwardingKey(virtual_network, None, None), {})
        system, change = diff(system_before, desired(rows))
        return _Built(platform.azure, gone, ports, system), change

    def _gone(self) -> frozenset[str]:
        """The nodes of deleted route servers, once nobody waits for a last word of theirs."""
        return frozenset(instance.node for instance in self._platform.alone)
