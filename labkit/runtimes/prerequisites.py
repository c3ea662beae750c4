"""What this machine must allow an ordinary user to do, and the words for when it doesn't."""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
from pathlib import Path

from labkit.errors import EnvironmentProblem

_PROC_SYS = Path("/proc/sys")


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
    """Check that an ordinary user may make user namespaces; root needs none.

    Raises:
        EnvironmentProblem: refused, with the setting of this distribution that refuses it.
    """
    if is_root():
        return
    probe = ["unshare", "--user", "--map-root-user", "--mount", "true"]
    result = subprocess.run(probe, capture_output=True, text=True, check=False)
    if result.returncode == 0:
        return
    cause, remedy = _why_no_user_namespaces()
    said = result.stderr.strip().splitlines()
    raise EnvironmentProblem(
        f"This machine lets no ordinary user make a user namespace: {cause}.{f' ({said[-1]})' if said else ''}", remedy
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


def _why_no_user_namespaces() -> tuple[str, str]:
    if _setting("kernel/unprivileged_userns_clone") == "0":
        return (
            "kernel.unprivileged_userns_clone is 0 (older Debian's setting)",
            "Run: sudo sysctl -w kernel.unprivileged_userns_clone=1    or run labkit as root.",
        )
    if _setting("kernel/apparmor_restrict_unprivileged_userns") == "1":
        return (
            "kernel.apparmor_restrict_unprivileged_userns is 1 (Ubuntu's setting since 23.10)",
            "Run: sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0    or run labkit as root.",
        )
    if _setting("user/max_user_namespaces") == "0":
        return (
            "user.max_user_namespaces is 0 (a setting of Red Hat's older systems and of hardened ones)",
            "Run: sudo sysctl -w user.max_user_namespaces=15000    or run labkit as root.",
        )
    if not _root_is_a_mount():
        return (
            "this is a chroot, where the kernel refuses them",
            "Run labkit outside of the chroot, or enter the root file system by pivot_root.",
        )
    if Path("/.dockerenv").exists() or Path("/run/.containerenv").exists():
        return (
            "this is a container, whose engine refuses them",
            "Run labkit on the machine itself, or start the container with --privileged.",
        )
    return (
        "the kernel, or a security module, refuses them",
        "Check that the kernel has CONFIG_USER_NS, or run labkit as root.",
    )


def _setting(name: str) -> str:
    path = _PROC_SYS / name
    return path.read_text().strip() if path.exists() else ""


def _root_is_a_mount() -> bool:
    """In a chroot, "/" is usually a directory of some mount, not a mount itself."""
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    return any(line.split()[4] == "/" for line in mounts)
