"""Where labkit keeps things: one directory per lab under XDG state, images under XDG cache."""

from __future__ import annotations

import os
from pathlib import Path

CONTROLLERS_LAB_FILE = "/etc/labkit/lab.yml"
"""The lab file, in the lab's controller."""


def _xdg(variable: str, default: str) -> Path:
    value = os.environ.get(variable, "")
    return (Path(value) if value.startswith("/") else Path.home() / default) / "labkit"


def state_home() -> Path:
    """The directory that holds every lab's state (XDG_STATE_HOME)."""
    return _xdg("XDG_STATE_HOME", ".local/state")


def cache_home() -> Path:
    """The directory that holds images (XDG_CACHE_HOME)."""
    return _xdg("XDG_CACHE_HOME", ".cache")


def lab_dir(lab: str) -> Path:
    """The directory of one lab's state."""
    return state_home() / "labs" / lab


CONTROLLERS_API = "/run/labkit-api.sock"
"""Where the API listens in the controller's node."""
