"""What building an image needs of this machine, and the errors where it lacks that."""

from __future__ import annotations

import getpass
import os
import shutil
from pathlib import Path

from labkit.errors import EnvironmentProblem
from labkit.runtimes.kernel_probe import user_namespaces


def is_root() -> bool:
    """Whether labkit runs as root."""
    return os.geteuid() == 0


def need_tools(tools: dict[str, str], purpose: str) -> None:
    """Check that programs are installed: `tools` maps each to the Debian package that has it.

    Raises:
        EnvironmentProblem: some are missing.
    """
    missing = {tool: package for tool, package in tools.items() if shutil.which(tool) is None}
    if missing:
        raise EnvironmentProblem(
            f"{purpose} needs {', '.join(missing)}, which this machine lacks.",
            f"Run: sudo apt-get install {' '.join(sorted(set(missing.values())))}    (`make lab-up` does it for you)",
        )


def need_user_namespaces() -> None:
    """Check that an ordinary user may make user namespaces; root needs none to build an image.

    Raises:
        EnvironmentProblem: refused, with the setting of this distribution that refuses it.
    """
    if is_root():
        return
    probe = user_namespaces()
    if not probe.ok:
        raise EnvironmentProblem(
            f"An ordinary user needs user namespaces to build the image. {probe.why}", probe.remedy
        )


def need_subordinate_ids() -> None:
    """Check that the user has subordinate user and group ids; root needs none.

    Raises:
        EnvironmentProblem: /etc/subuid or /etc/subgid gives the user too few.
    """
    if is_root():
        return
    user = getpass.getuser()
    names = {user, str(os.getuid())}
    for file in (Path("/etc/subuid"), Path("/etc/subgid")):
        entries = [line.split(":") for line in file.read_text().splitlines()] if file.exists() else []
        if sum(int(entry[2]) for entry in entries if len(entry) == 3 and entry[0] in names) < 65536:
            raise EnvironmentProblem(
                f"User {user} has no 65536 subordinate ids in {file}; an ordinary user needs them to build the image.",
                f"Run: sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}    "
                "(take another range if another user has this one)",
            )
