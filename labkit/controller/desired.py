"""What operators have changed of a running lab's Azure, kept in a file so that a restart keeps it."""

from __future__ import annotations

import json
import os
from pathlib import Path

from labkit.azure.changes.difference import difference
from labkit.azure.changes.registry import from_json, to_json
from labkit.azure.model import Azure
from labkit.errors import EnvironmentProblem
from labkit.lab.model import Lab
from labkit.lab.running import applied


def load(path: Path, lab: Lab, version: str = "") -> Azure:
    """The lab's Azure with the changes that were saved at `path`; as its file has it if none of this version were."""
    try:
        saved = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return lab.azure
    return applied(lab, lab.azure, from_json(saved["changes"])) if saved["version"] == version else lab.azure


def save(path: Path, lab: Lab, azure: Azure, version: str = "") -> None:
    """Write what was changed so that a crash leaves either the old file or the new one.

    `version` is the lab file's: changes of another file are none of this lab.

    Raises:
        EnvironmentProblem: the disk is full; the old file is there.
    """
    fresh = path.with_name(path.name + ".new")
    try:
        with fresh.open("w", encoding="utf-8") as file:
            json.dump({"version": version, "changes": to_json(difference(lab.azure, azure))}, file)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise EnvironmentProblem(
            f"the controller can't keep the change: {path}: {error.strerror}.",
            "Free some space where labs are stored (XDG_STATE_HOME), then repeat the command.",
        ) from error
