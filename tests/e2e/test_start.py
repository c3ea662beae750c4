"""How services start in the sandbox: forks of one warm process, which are what a container's own would be."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from labkit import paths
from labkit.linux import permitted_capabilities
from labkit.pytest import Boot, RunningLab
from labkit.runtimes.sandbox import state
from labkit.runtimes.sandbox.runtime import SandboxRuntime
from tests.bench.accounts import descendants
from tests.e2e.in_lab import SCAN, run
from tests.e2e.waiting import SOON, eventually

VM, INSTANCE, NVA = "vm1", "rs1-0", "sdwan-nva"


@pytest.fixture(scope="module")
def lab(labkit_lab: Boot) -> RunningLab:
    return labkit_lab("overview")


@pytest.fixture(autouse=True)
def _whole_again(lab: RunningLab) -> Iterator[None]:
    yield
    assert [o.problem for o in lab.verify(SOON) if not o.ok] == []


def sandbox_processes(lab: RunningLab) -> dict[int, list[str]]:
    """Every process of the lab, by its PID here, with its command line."""
    init = state.read(paths.state_home() / "labs" / lab.client.record.lab / "sandbox")
    assert init is not None
    found = {}
    for pid in descendants(init.pid):
        try:
            found[pid] = Path(f"/proc/{pid}/cmdline").read_text().rstrip("\0").split("\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def of_node(lab: RunningLab, node: str, *words: str) -> list[int]:
    """The processes of a node whose command line has these words."""
    mine = [pid for pid, command in sandbox_processes(lab).items() if set(words) <= set(command)]
    return [pid for pid in mine if hostname(pid) == node]


def hostname(pid: int) -> str:
    """That of the node of a process; empty for what belongs to none."""
    try:
        return Path(f"/proc/{pid}/root/etc/hostname").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def service(lab: RunningLab, node: str, module: str) -> int:
    (pid,) = of_node(lab, node, "-m", module)
    return pid


def client(lab: RunningLab, node: str) -> int:
    (pid,) = of_node(lab, node, "/opt/labkit/lib/warm-client")
    return pid


def warm(lab: RunningLab) -> int:
    (pid,) = (pid for pid, command in sandbox_processes(lab).items() if "/opt/labkit/bin/warm" in command)
    return pid


def test_a_fork_has_no_more_than_what_asked_for_it(lab: RunningLab) -> None:
    agent, asked = service(lab, VM, "labkit.agent"), client(lab, VM)
    assert permitted_capabilities(agent) == permitted_capabilities(asked)
    assert permitted_capabilities(agent) != permitted_capabilities(warm(lab))
    one, other = Path(f"/proc/{agent}"), Path(f"/proc/{asked}")
    for link in ("ns/mnt", "ns/net", "ns/uts", "ns/ipc", "ns/pid", "cwd"):
        assert (one / link).readlink() == (other / link).readlink(), link


def test_a_fork_holds_the_node_s_lock_and_nothing_of_another_node(lab: RunningLab) -> None:
    agent = service(lab, VM, "labkit.agent")
    opened = {int(file.name): str(file.readlink()) for file in Path(f"/proc/{agent}/fd").iterdir()}
    assert opened[9] == "/run/labkit/alive"
    logs = {
        hostname(pid): str(Path(f"/proc/{pid}/fd/1").readlink())
        for pid, command in sandbox_processes(lab).items()
        if command[0] == "s6-svscan"
    }
    assert opened[1] == logs.pop(VM)
    assert len(logs) == len(set(logs.values())) == 10
    assert not set(logs.values()) & set(opened.values())


def test_a_killed_service_is_reported_and_comes_back(lab: RunningLab) -> None:
    before = service(lab, VM, "labkit.agent")
    os.kill(before, signal.SIGKILL)
    eventually(lambda: of_node(lab, VM, "-m", "labkit.agent"), lambda now: now not in ([], [before]))
    assert "node-init: agent was killed by signal 9, restarting" in "\n".join(
        lab.client.runtime.logs(lab.client.record.lab, VM)
    )


def test_a_killed_client_takes_its_service_along(lab: RunningLab) -> None:
    before = service(lab, VM, "labkit.agent")
    handle = os.pidfd_open(before)
    os.kill(client(lab, VM), signal.SIGKILL)
    eventually(lambda: of_node(lab, VM, "-m", "labkit.agent"), lambda now: len(now) == 1 and now != [before])
    os.close(handle)


def test_a_stop_reaches_the_service(lab: RunningLab) -> None:
    """ExaBGP's policy process closes its sessions when it is asked to end, as in a container."""
    run(lab, INSTANCE, "s6-svc", "-wd", "-d", f"{SCAN}/exabgp")
    eventually(lambda: of_node(lab, INSTANCE, "-m", "labkit.routeserver.exabgp"), lambda now: now == [])
    run(lab, INSTANCE, "s6-svc", "-u", f"{SCAN}/exabgp")
    eventually(lambda: of_node(lab, INSTANCE, "-m", "labkit.routeserver.exabgp"), lambda now: len(now) == 3)


def test_without_the_warm_process_services_start_themselves(lab: RunningLab) -> None:
    forks = {service(lab, VM, "labkit.agent"), service(lab, "vnet1", "labkit.fabric")}
    os.kill(warm(lab), signal.SIGKILL)
    eventually(
        lambda: of_node(lab, VM, "-m", "labkit.agent") + of_node(lab, "vnet1", "-m", "labkit.fabric"),
        lambda now: len(now) == 2 and not forks & set(now),
    )
    assert of_node(lab, VM, "/opt/labkit/lib/warm-client") == []


def test_a_boot_takes_few_processes(tmp_path: Path) -> None:
    """Of everything that a router's node has started when it is ready, lines of `exec` included, threads not."""
    folder = tmp_path / "rendered"
    subprocess.run([sys.executable, "-m", "labkit.cli.main", "render", "overview", "--out", str(folder)], check=True)
    runtime = SandboxRuntime(tmp_path / "state")
    runtime.deploy(folder / "overview.clab.yml")
    try:
        script = "echo $$; cat /proc/[0-9]*/status | grep ^Threads"
        last, *threads = runtime.exec("overview", NVA, ["sh", "-c", script]).stdout.split("\n")
        started = int(last) - 1 - sum(int(line.split()[1]) - 1 for line in threads if line)
        assert len(threads) > 10, "there are FRR's four daemons, and their supervisors"
        assert started <= 20
    finally:
        runtime.destroy("overview")
