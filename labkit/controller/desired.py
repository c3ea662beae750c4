"""What an operator changed in the running lab: route tables, kept in a file so that a restart keeps them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from pydantic import TypeAdapter

from labkit.azure.model import RouteTable

_TABLES: TypeAdapter[tuple[RouteTable, ...]] = TypeAdapter(tuple[RouteTable, ...])


def load(path: Path) -> tuple[RouteTable, ...]:
    """The route tables that were saved at `path`; none if nothing was."""
    try:
        return _TABLES.validate_json(path.read_bytes())
    except FileNotFoundError:
        return ()


def save(path: Path, tables: Iterable[RouteTable]) -> None:
    """Write the route tables so that a crash leaves either the old file or the new one."""
    fresh = path.with_name(path.name + ".new")
    with fresh.open("wb") as file:
        file.write(_TABLES.dump_json(tuple(tables)))
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
