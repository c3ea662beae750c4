"""Azure's objects as operators have made them of the running lab's, kept in a file so that a restart keeps them."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import TypeAdapter

from labkit.azure.model import Azure

_AZURE: TypeAdapter[Azure] = TypeAdapter(Azure)


def load(path: Path) -> Azure | None:
    """What was saved at `path`; None if nothing was."""
    try:
        return _AZURE.validate_json(path.read_bytes())
    except FileNotFoundError:
        return None


def save(path: Path, azure: Azure) -> None:
    """Write Azure's objects so that a crash leaves either the old file or the new one."""
    fresh = path.with_name(path.name + ".new")
    with fresh.open("wb") as file:
        file.write(_AZURE.dump_json(azure))
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
