"""What this machine, and the limits on this process, leave for a lab: memory, tasks (processes and threads) and files.

A limit of a container or a service is one of a control group, and each group above it has its own.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

UNLIMITED = 1 << 62
"""More than there can be of anything."""

_VERSION_2 = "cgroup2"

Mounted = tuple[str, Path]
"""Which folder of a hierarchy of control groups is mounted, and where."""


@dataclass(frozen=True, slots=True)
class Left:
    """How much is left, in bytes or as a number, and what bounds it."""

    amount: int
    bound: str


@dataclass(frozen=True, slots=True)
class Capacity:
    """What is left for a lab. `descriptors` is the number of open files that one process may have."""

    memory: Left
    tasks: Left
    descriptors: Left


def of_machine(proc: Path = Path("/proc")) -> Capacity:
    """What the machine has left, whoever uses it."""
    memory = _numbers(proc / "meminfo").get("MemAvailable", UNLIMITED >> 10) << 10
    running = int((proc / "loadavg").read_text().split()[3].partition("/")[2])
    tasks = [
        Left(int((proc / "sys/kernel" / name).read_text()) - running, f"the sysctl kernel.{name}")
        for name in ("pid_max", "threads-max")
    ]
    return Capacity(Left(memory, "this machine's memory"), _least(tasks), Left(UNLIMITED, ""))


def of_process(proc: Path = Path("/proc")) -> Capacity:
    """What this process and what it starts may have: of the machine, under the limits of its groups and its user."""
    machine = of_machine(proc)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    memory = [Left(*each) for each in _memory_of_groups(proc)]
    tasks = [Left(*each) for each in _tasks_of_groups(proc)]
    return Capacity(
        _least([machine.memory, *memory]),
        _least([machine.tasks, *tasks, *_tasks_of_user(proc)]),
        Left(UNLIMITED if hard == resource.RLIM_INFINITY else hard, "the limit on open files (ulimit -Hn)"),
    )


def vmstat(proc: Path = Path("/proc")) -> Mapping[str, int]:
    """The kernel's counters of memory since it started."""
    return _numbers(proc / "vmstat")


def _least(found: list[Left]) -> Left:
    least = min(found, key=lambda each: each.amount)
    return Left(max(0, least.amount), least.bound)


def _memory_of_groups(proc: Path) -> Iterator[tuple[int, str]]:
    for group in _groups(proc, "memory"):
        old = (group / "memory.limit_in_bytes").exists()
        limit, used = ("memory.limit_in_bytes", "memory.usage_in_bytes") if old else ("memory.max", "memory.current")
        # Pages of files that nothing has used for a while are given up before anything is killed.
        unused = _numbers(group / "memory.stat").get("total_inactive_file" if old else "inactive_file", 0)
        if (most := _limit(group / limit)) is not None and (now := _limit(group / used)) is not None:
            yield most - now + unused, f"{limit} of the control group {group}"


def _tasks_of_groups(proc: Path) -> Iterator[tuple[int, str]]:
    for group in _groups(proc, "pids"):
        if (most := _limit(group / "pids.max")) is not None and (now := _limit(group / "pids.current")) is not None:
            yield most - now, f"pids.max of the control group {group}"


def _tasks_of_user(proc: Path) -> list[Left]:
    most = resource.getrlimit(resource.RLIMIT_NPROC)[0]
    user = os.getuid()
    if user == 0 or most == resource.RLIM_INFINITY:  # the kernel does not apply it to root
        return []
    running = 0
    for process in proc.glob("[0-9]*/status"):
        found = _numbers(process)
        if found.get("Uid") == user:
            running += found.get("Threads", 0)
    return [Left(most - running, "the limit on a user's processes (ulimit -u)")]


def _groups(proc: Path, controller: str) -> Iterator[Path]:
    """The folders of this process's control group and those above it, as far as they are visible here."""
    mounts = dict(_mounts(proc, controller))
    for line in (proc / "self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        name = controller if controller in controllers.split(",") else controllers or _VERSION_2
        if name in mounts:
            root, place = mounts[name]
            inside = os.path.relpath(path, root)
            # A container may see its group as the root of the mount, or by a path that is not mounted.
            folder = place if inside.startswith("..") else place / inside
            yield from (each for each in (folder, *folder.parents) if each.is_relative_to(place))


def _mounts(proc: Path, controller: str) -> Iterator[tuple[str, Mounted]]:
    """Where a controller's hierarchies are mounted: its own of version 1, and that of version 2."""
    for line in (proc / "self/mountinfo").read_text().splitlines():
        mount, _, kind = line.partition(" - ")
        root, place = mount.split()[3:5]
        name, _, options = kind.split(" ", 2)
        if name == "cgroup2":
            yield _VERSION_2, (root, Path(place))
        elif name == "cgroup" and controller in options.split(" ")[-1].split(","):
            yield controller, (root, Path(place))


def _limit(file: Path) -> int | None:
    """The number in a group's file; None if there is none, which is also what `max` means."""
    try:
        text = file.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() and int(text) < UNLIMITED else None


def _numbers(file: Path) -> Mapping[str, int]:
    """The first number of each line that has one, by the line's name; empty if the file is not there."""
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return {}
    words = (line.split() for line in lines)
    return {each[0].rstrip(":"): int(each[1]) for each in words if len(each) > 1 and each[1].isdigit()}
