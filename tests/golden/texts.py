"""Texts kept in files: what labkit prints is compared with them, or with LABKIT_UPDATE_GOLDEN=1 written to them."""

from __future__ import annotations

import difflib
import os
from pathlib import Path


def compare(actual: str, golden: Path) -> None:
    if os.environ.get("LABKIT_UPDATE_GOLDEN") == "1":
        golden.write_text(actual, encoding="utf-8")
    expected = golden.read_text(encoding="utf-8") if golden.exists() else ""
    there, here = expected.splitlines(keepends=True), actual.splitlines(keepends=True)
    difference = "".join(difflib.unified_diff(there, here, golden.name, "what labkit prints"))
    assert not difference, f"\n{difference}\nLABKIT_UPDATE_GOLDEN=1 accepts it."
