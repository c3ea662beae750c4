"""What a virtual network's fabric is told: its ports, and the forwarding tables that they share."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from functools import cache
from typing import Any

from labkit.azure.effective import ForwardingKey, effective_table
from labkit.controller.platform import Platform, TableChange, TableKey
from labkit.controller.tables import Table, desired, diff
from labkit.lab.fabric_ports import NicPort, fabric_ports
from labkit.lab.wires import FABRIC_MAC

SYSTEM_TABLE = "system"
"""The table of route server instances: their subnet has system routes only."""


class Switches:
    """The fabrics' side of a platform."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._names = {key: f"t{number}" for number, key in enumerate(platform.table_keys, 1)}
        self._seed = zlib.crc32(platform.lab.name.encode())
        self._system = cache(self._system_table)

    def snapshot(self, virtual_network: str) -> dict[str, Any]:
        """Everything that a fabric needs, as the body of its snapshot message."""
        ports: dict[str, object] = {}
        tables: dict[str, object] = {}
        for name, port in fabric_ports(self._platform.lab, virtual_network).items():
            if not isinstance(port, NicPort):
                ports[name] = port.wire()
                continue
            key = self._platform.table_key.get(port.nic.name)
            table_name = SYSTEM_TABLE if key is None else self._names[key]
            ports[name] = port.wire(table_name)
            table = self._system(virtual_network) if key is None else self._platform.table(key)
            tables[table_name] = table.wire()
        return {"mac": FABRIC_MAC, "seed": self._seed, "ports": ports, "tables": tables}

    def table_deltas(self, virtual_network: str, changes: Mapping[TableKey, TableChange]) -> dict[str, Any]:
        """The deltas of a fabric's tables, by table name."""
        return {
            self._names[key]: change.delta.wire()
            for key, change in changes.items()
            if key.virtual_network == virtual_network
        }

    def _system_table(self, virtual_network: str) -> Table:
        rows = effective_table(self._platform.lab.azure, ForwardingKey(virtual_network, None, None), {})
        return diff(Table(), desired(rows))[0]
