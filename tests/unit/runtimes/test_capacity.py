"""What the machine and the limits on a process leave, read from files as the kernel has them."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from labkit.runtimes import capacity
from labkit.runtimes.capacity import UNLIMITED, Left

GIGABYTE = 1 << 30


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """/proc of a machine with 8 GiB available, 500 tasks, and no limits."""
    proc = tmp_path / "proc"
    write(proc / "meminfo", f"MemTotal: {16 << 20} kB\nMemAvailable: {8 << 20} kB\n")
    write(proc / "loadavg", "0.1 0.2 0.3 2/500 1234\n")
    write(proc / "sys/kernel/pid_max", "32768\n")
    write(proc / "sys/kernel/threads-max", "40000\n")
    write(proc / "self/cgroup", "")
    write(proc / "self/mountinfo", "22 27 0:21 / /proc rw - proc proc rw\n")
    return proc


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def test_a_machine_without_limits(proc: Path) -> None:
    found = capacity.of_process(proc)
    assert found == capacity.of_process(proc)
    assert found.memory == Left(8 * GIGABYTE, "this machine's memory")
    assert found.tasks == Left(32768 - 500, "the sysctl kernel.pid_max")
    assert found.descriptors.amount == resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    assert capacity.of_machine(proc).descriptors.amount == UNLIMITED


def test_a_kernel_with_few_threads(proc: Path) -> None:
    write(proc / "sys/kernel/threads-max", "400\n")
    assert capacity.of_machine(proc).tasks == Left(0, "the sysctl kernel.threads-max")


@pytest.mark.parametrize(
    ("mounted", "path", "folder"),
    [
        ("/", "/slice/service", "slice/service"),
        ("/docker/x", "/docker/x", "."),
        ("/docker/x", "/docker/x/service", "service"),
        ("/docker/x", "/", "."),
    ],
    ids=["on a machine", "a container", "in a container", "a container with a namespace for groups"],
)
def test_version_2(proc: Path, tmp_path: Path, mounted: str, path: str, folder: str) -> None:
    place = tmp_path / "cgroup"
    write(proc / "self/mountinfo", f"40 31 0:38 {mounted} {place} rw,relatime shared:9 - cgroup2 cgroup2 rw\n")
    write(proc / "self/cgroup", f"0::{path}\n")
    group = place / folder
    write(group / "memory.max", f"{GIGABYTE}\n")
    write(group / "memory.current", f"{GIGABYTE // 2}\n")
    write(group / "memory.stat", f"anon 1\ninactive_file {GIGABYTE // 4}\n")
    write(group / "pids.max", "max\n")
    write(group / "pids.current", "7\n")
    found = capacity.of_process(proc)
    assert found.memory == Left(GIGABYTE * 3 // 4, f"memory.max of the control group {group}")
    assert found.tasks.bound == "the sysctl kernel.pid_max"
    assert capacity.of_machine(proc).memory.amount == 8 * GIGABYTE


def test_a_limit_of_a_group_above(proc: Path, tmp_path: Path) -> None:
    place = tmp_path / "cgroup"
    write(proc / "self/mountinfo", f"40 31 0:38 / {place} rw,relatime - cgroup2 cgroup2 rw\n")
    write(proc / "self/cgroup", "0::/user/session\n")
    for group, most, now in ((place / "user", "100", "90"), (place / "user/session", "1000", "30")):
        write(group / "pids.max", most)
        write(group / "pids.current", now)
        write(group / "memory.max", "max")
        write(group / "memory.current", "5")
    found = capacity.of_process(proc)
    assert found.tasks == Left(10, f"pids.max of the control group {place}/user")
    assert found.memory.bound == "this machine's memory"


def test_version_1(proc: Path, tmp_path: Path) -> None:
    memory, pids = tmp_path / "memory", tmp_path / "pids"
    write(
        proc / "self/mountinfo",
        f"35 31 0:32 / {memory} rw,relatime - cgroup cgroup rw,memory\n"
        f"39 31 0:36 / {pids} rw,relatime - cgroup cgroup rw,pids\n"
        f"41 31 0:38 / {tmp_path}/unified rw,relatime - cgroup2 cgroup2 rw\n",
    )
    write(proc / "self/cgroup", "8:pids:/batch\n4:memory:/batch/job\n0::/\n")
    write(memory / "batch/job/memory.limit_in_bytes", "9223372036854771712\n")
    write(memory / "batch/job/memory.usage_in_bytes", "4096\n")
    write(memory / "batch/memory.limit_in_bytes", f"{GIGABYTE}\n")
    write(memory / "batch/memory.usage_in_bytes", "8192\n")
    write(memory / "batch/memory.stat", "inactive_file 1\ntotal_inactive_file 4096\n")
    write(pids / "batch/pids.max", "20\n")
    write(pids / "batch/pids.current", "25\n")
    found = capacity.of_process(proc)
    assert found.memory == Left(GIGABYTE - 4096, f"memory.limit_in_bytes of the control group {memory}/batch")
    assert found.tasks == Left(0, f"pids.max of the control group {pids}/batch")


@pytest.mark.parametrize(("user", "left"), [(1000, 100 - 12), (0, 32768 - 500)])
def test_the_processes_of_a_user(proc: Path, monkeypatch: pytest.MonkeyPatch, user: int, left: int) -> None:
    limits = {resource.RLIMIT_NPROC: (100, 200), resource.RLIMIT_NOFILE: (10, resource.RLIM_INFINITY)}
    monkeypatch.setattr(resource, "getrlimit", limits.__getitem__)
    monkeypatch.setattr("os.getuid", lambda: user)
    for number, owner, threads in ((1, 0, 1), (20, 1000, 5), (21, 1000, 7), (22, 1001, 9)):
        write(proc / str(number) / "status", f"Name:\tx\nUid:\t{owner}\t0\t0\t0\nThreads:\t{threads}\n")
    found = capacity.of_process(proc)
    assert found.tasks.amount == left
    assert found.descriptors.amount == UNLIMITED
