"""How a service of a node says that it is ready: a file in its node, which the node's healthcheck looks for."""

from __future__ import annotations

from pathlib import Path

READY = Path("/run/labkit-ready")


def mark_ready(service: str) -> None:
    """Say that `service` is ready."""
    READY.mkdir(exist_ok=True)
    (READY / service).touch()


def clear_ready(service: str) -> None:
    """Say that `service` is not ready, or not yet."""
    (READY / service).unlink(missing_ok=True)
