"""The kernel of a gateway's instance: whether it has ways yet for what FRR has just learned."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Collection

PATIENCE = 0.3
"""Seconds. FRR takes a route, says so, and decides 50 ms later; what it does not use never gets into the kernel."""

_PAUSE = 0.01


def await_routes(wanted: Collection[str]) -> None:
    """Wait until the kernel has a route for each of these prefixes, but no longer than `PATIENCE`.

    Machines that are sent to a gateway before that would lose their packets there.
    """
    deadline = time.monotonic() + PATIENCE
    while not set(wanted) <= prefixes() and time.monotonic() < deadline:
        time.sleep(_PAUSE)


def prefixes() -> set[str]:
    """The prefixes of the main routing table."""
    command = ("ip", "-j", "-4", "route", "show", "table", "main")
    said = subprocess.run(command, check=True, capture_output=True, text=True, encoding="utf-8", timeout=5).stdout
    return {_prefix(route["dst"]) for route in json.loads(said)}


def _prefix(destination: str) -> str:
    if destination == "default":
        return "0.0.0.0/0"
    return destination if "/" in destination else f"{destination}/32"
