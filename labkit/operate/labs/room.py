"""Whether a lab fits on this machine, by what was measured of its kinds of nodes."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from labkit.errors import EnvironmentProblem
from labkit.lab.plan.model import Plan
from labkit.runtimes import capacity
from labkit.runtimes.capacity import Capacity, Left
from labkit.runtimes.select import SANDBOX

ON_DISK = "Free some space there, or store labs elsewhere: XDG_STATE_HOME=/a/folder labkit up ..."

_MEGABYTE = 1_000_000
# A lab begins with 0.1 MB; its logs and events grow.
_STATE_MEGABYTES = 20
_FILES = 30
_FILES_OF_A_NODE = 6


@dataclass(frozen=True, slots=True)
class Footprint:
    """What a part of a lab takes: bytes of memory with the kernel's part, and tasks (processes and threads)."""

    memory: int
    tasks: int


# Measured on the sandbox with a control group's `memory.usage_in_bytes` and /proc/PID/task, on the bundled labs and on
# labs of up to 185 nodes: the sum is at most a tenth more than these take.
_LAB = Footprint(80 * _MEGABYTE, 4)
_NODE = Footprint(2 * _MEGABYTE, 1)
_SERVICE = Footprint(12 * _MEGABYTE, 6)
_SHIM = Footprint(5 * _MEGABYTE, 12)
"""What Docker has for each container, outside it: measured with 11 and 15 nodes. Its engine runs anyway."""
_SERVICES = {
    "controller": Footprint(18 * _MEGABYTE, 5),
    "exabgp": Footprint(24 * _MEGABYTE, 10),
    "mgmtd": Footprint(11 * _MEGABYTE, 4),  # with the service that starts the daemons
    "zebra": Footprint(10 * _MEGABYTE, 9),
    "staticd": Footprint(4 * _MEGABYTE, 2),
    "bgpd": Footprint(12 * _MEGABYTE, 5),
    "bird": Footprint(5 * _MEGABYTE, 3),
}
_DESCRIPTORS = 64
_DESCRIPTORS_OF_A_NODE = 8
"""Of the process that starts the nodes, and of the one that starts their services; all start together."""


@dataclass(frozen=True, slots=True)
class Need:
    """What a lab needs: bytes of memory, tasks, and open files of one process."""

    nodes: int
    memory: int
    tasks: int
    descriptors: int


def need(plan: Plan, runtime: str) -> Need:
    """What a planned lab needs on a runtime, about."""
    services = Counter(service for node in plan.nodes for service in node.services)
    shares = [(_LAB, 1), (_NODE, len(plan.nodes)), *((_SERVICES.get(s, _SERVICE), n) for s, n in services.items())]
    if runtime != SANDBOX:
        shares.append((_SHIM, len(plan.nodes)))
    return Need(
        len(plan.nodes),
        sum(share.memory * number for share, number in shares),
        sum(share.tasks * number for share, number in shares),
        _DESCRIPTORS + _DESCRIPTORS_OF_A_NODE * len(plan.nodes),
    )


def left_for(runtime: str) -> Capacity:
    """What is left for a lab on a runtime. Docker's engine starts nodes outside the limits of this process."""
    return capacity.of_process() if runtime == SANDBOX else capacity.of_machine()


def must_fit(lab: str, wanted: Need, left: Capacity) -> None:
    """Check that a lab fits on this machine.

    Raises:
        EnvironmentProblem: it does not, with everything that is short.
    """
    short = list(_short(wanted, left))
    if short:
        raise EnvironmentProblem(
            f"lab {lab} with its {wanted.nodes} nodes does not fit on this machine: it needs {'; '.join(short)}.",
            "Take other labs down (`labkit list` shows them), raise the limit, or give the lab fewer nodes.\n"
            "To start it anyway: labkit up LAB --force",
        )


def must_fit_on_disk(folder: Path, nodes: int) -> None:
    """Check that a lab of so many nodes has room for its state.

    Raises:
        EnvironmentProblem: it has not.
    """
    megabytes, files = _free(folder)
    if megabytes < _STATE_MEGABYTES:
        raise EnvironmentProblem(
            f"not enough disk space for a lab's state: {folder} has {megabytes} MB free, "
            f"{_STATE_MEGABYTES} MB are needed.",
            ON_DISK,
        )
    needed = _FILES + _FILES_OF_A_NODE * nodes
    if files < needed:
        raise EnvironmentProblem(
            f"not enough room for a lab's state: {folder} has {files} inodes free, {needed} are needed.", ON_DISK
        )


def _free(folder: Path) -> tuple[int, int]:
    """Megabytes and inodes that this user may still use."""
    found = os.statvfs(folder)
    # Some file systems make inodes as they need them, and report none.
    return found.f_bavail * found.f_frsize // _MEGABYTE, found.f_favail if found.f_files else capacity.UNLIMITED


def killed_for_memory() -> int:
    """How many processes the kernel has ended for lack of memory since it started, in control groups too."""
    return capacity.vmstat().get("oom_kill", 0)


def reason(folder: Path, killed_before: int) -> EnvironmentProblem | None:
    """Why a lab with its state in `folder` may have failed, as far as the machine shows it."""
    megabytes, files = _free(folder)
    if not megabytes or not files:
        left = "nothing" if not megabytes else "no inode"
        return EnvironmentProblem(f"the disk is full: {folder} has {left} left.", ON_DISK)
    if killed_for_memory() > killed_before:
        return EnvironmentProblem(
            "meanwhile the kernel ended processes of this machine for lack of memory.",
            "Take other labs down (`labkit list` shows them), or give the lab fewer nodes or more memory.",
        )
    return None


def _short(wanted: Need, left: Capacity) -> Iterator[str]:
    if wanted.memory > left.memory.amount:
        yield f"about {_size(wanted.memory)} of memory, of which {_size(left.memory.amount)} is left {_by(left.memory)}"
    if wanted.tasks > left.tasks.amount:
        yield f"about {wanted.tasks} processes and threads, of which {left.tasks.amount} are left {_by(left.tasks)}"
    if wanted.descriptors > left.descriptors.amount:
        yield (
            f"up to {wanted.descriptors} open files in one process, of which {left.descriptors.amount} are allowed "
            f"{_by(left.descriptors)}"
        )


def _by(left: Left) -> str:
    return f"by {left.bound}"


def _size(amount: int) -> str:
    megabytes = amount / _MEGABYTE
    return f"{megabytes:.0f} MB" if megabytes < 1000 else f"{megabytes / 1000:.1f} GB"
