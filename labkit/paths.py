"""Where labkit keeps things: one directory per lab under XDG state, images under XDG cache."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

from labkit.errors import EnvironmentProblem

CONTROLLERS_LAB_FILE = "/etc/labkit/lab.yml"
"""The lab file, in the lab's controller."""


def _xdg(variable: str, default: str) -> Path:
    value = os.environ.get(variable, "")
    return (Path(value) if value.startswith("/") else _home(variable) / default) / "labkit"


def _home(variable: str) -> Path:
    """The user's home folder. What depends on the working directory is none, as with XDG's own variables.

    Raises:
        EnvironmentProblem: it is not known.
    """
    home = os.environ.get("HOME", "")
    if not home.startswith("/"):
        try:
            home = pwd.getpwuid(os.getuid()).pw_dir
        except KeyError:
            home = ""
    if not home.startswith("/"):
        raise EnvironmentProblem(
            f"it is not known where to store labkit's files: HOME is not an absolute path, and user {os.getuid()} has "
            "no home folder.",
            f"Set HOME or {variable} to the absolute path of a folder.",
        )
    return Path(home)


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
