"""labkit on a machine that is not as it should be: too small, full, slow, or odd."""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from labkit.runtimes.image import images
from labkit.runtimes.sandbox import logs, state
from tests.bench.accounts import descendants
from tests.e2e.command_line import Labkit, in_private_mounts
from tests.e2e.in_lab import overview_called
from tests.e2e.waiting import SOON, eventually


@pytest.fixture(scope="module", autouse=True)
def _image() -> None:
    """What fails below is not the building of the image."""
    images.ensure(images.node_image())


@pytest.fixture(scope="module")
def lab_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The overview lab under another name."""
    return overview_called("machine", tmp_path_factory.mktemp("lab"))


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, lab_file: Path) -> Iterator[Labkit]:
    """A running lab called `machine`."""
    labkit = Labkit(tmp_path_factory.mktemp("state"))
    try:
        labkit.ok("up", str(lab_file))
        yield labkit
    finally:
        labkit("down", "--all")


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Labkit]:
    """A labkit with no lab yet."""
    labkit = Labkit(tmp_path / "state")
    yield labkit
    assert labkit("down", "--all").returncode == 0
    assert labkit.left() == []


# --- Too small


def limited(labkit: Labkit, limit: str, *arguments: str) -> tuple[int, str]:
    done = labkit.run(["sh", "-c", f'{limit} || exit 99; exec "$@"', "sh", *labkit.argv(*arguments)])
    return done.returncode, done.stderr


def test_a_limit_on_open_files(empty: Labkit, lab_file: Path) -> None:
    status, text = limited(empty, "ulimit -n 100", "up", str(lab_file))
    assert status == 3
    message, remedy, force = text.splitlines()
    assert message == (
        "lab machine with its 11 nodes does not fit on this machine: it needs up to 152 open files in one process, "
        "of which 100 are allowed by the limit on open files (ulimit -Hn)."
    )
    assert "labkit list" in remedy
    assert "--force" in force
    assert not (empty.home / "labkit" / "labs").exists(), "it was found before anything was made"
    # A soft limit is none: the sandbox raises it for itself, and nodes have the one that was.
    status, text = limited(empty, "ulimit -Sn 64", "up", str(lab_file))
    assert status == 0, text
    for node in ("vm1", "sdwan-nva"):
        assert empty.ok("exec", node, "--", "sh", "-c", "ulimit -Sn").strip() == "64"
    services = empty.ok("exec", "vm1", "--", "sh", "-c", "grep -h 'Max open files' /proc/[0-9]*/limits")
    assert {line.split()[3] for line in services.splitlines()} == {"64"}


def test_too_few_open_files_while_a_lab_boots(empty: Labkit, lab_file: Path) -> None:
    """The check was turned off: no traceback of a child, and nothing stays."""
    status, text = limited(empty, "ulimit -n 34", "up", "--force", str(lab_file))
    assert status == 3, text
    *_, message, remedy = text.splitlines()
    assert "This is a limit on processes, open files or memory." in message
    assert "raise the limit" in remedy


@pytest.fixture
def group(request: pytest.FixtureRequest) -> Iterator[Path]:
    """A new control group of version 1 for the controller that the parameter names, where this user may make one."""
    folder = Path("/sys/fs/cgroup") / request.param / f"labkit-test-{os.getpid()}"
    try:
        folder.mkdir()
    except OSError as error:
        pytest.skip(f"{folder}: {error.strerror}")
    yield folder
    with suppress(OSError):
        (folder / "memory.force_empty").write_text("0")

    def empty() -> bool:
        with suppress(OSError):
            folder.rmdir()
        return not folder.exists()

    eventually(empty, bool, what="the last process of the group has ended")


@pytest.mark.parametrize(
    ("group", "limit", "short"),
    [
        ("memory", ("memory.limit_in_bytes", 256 << 20), "about 315 MB of memory, of which "),
        ("pids", ("pids.max", 60), "about 118 processes and threads, of which "),
    ],
    indirect=["group"],
)
def test_a_limit_of_a_control_group(
    empty: Labkit, lab_file: Path, group: Path, limit: tuple[str, int], short: str
) -> None:
    file, amount = limit
    (group / file).write_text(str(amount))
    status, text = limited(empty, f"echo $$ > {group}/cgroup.procs", "up", str(lab_file))
    assert status == 3, text
    assert short in text.splitlines()[0]
    assert f"{file} of the control group {group}" in text.splitlines()[0]
    assert not (empty.home / "labkit" / "labs").exists()


# --- Full


def test_the_disk_of_the_state_fills_while_a_lab_boots(empty: Labkit, lab_file: Path) -> None:
    """Whatever it is that finds no room: the disk is named, and nothing stays."""
    state = empty.home
    mounts = (
        f"mount -t tmpfs -o size=30m,nr_inodes=400 tmpfs {state} || exit 99\n"
        f"lab={state}/labkit/labs/machine\n"
        "(until [ -d $lab/topology ]; do :; done\n"
        f" i=0; while [ -d $lab ]; do true >{state}/filler.$i && i=$((i+1)); done) 2>/dev/null &\n"
        "true"
    )
    done = in_private_mounts(empty, mounts, "up", str(lab_file))
    assert done.returncode == 3, done.stderr
    reason, *_, remedy = [line for line in done.stderr.splitlines() if not line.startswith(" ") or "XDG" in line]
    # Either the disk is still full when the boot has failed, or what found no room tells of it.
    assert reason.startswith("the disk is full: ")
    assert str(state / "labkit") in reason
    assert "XDG_STATE_HOME" in remedy
    assert not [file for file in done.stdout.splitlines() if "/filler." not in file]


def test_a_lab_goes_down_without_an_inode(empty: Labkit, lab_file: Path) -> None:
    state = empty.home
    command = " ".join(map(shlex.quote, empty.argv()))
    script = f"""
        {command} up {lab_file} 2>&1 | tail -1
        i=0; while touch {state}/filler.$i; do i=$((i+1)); done 2>/dev/null
        set -e
        {command} verify machine | tail -1
        {command} stop vm1
        {command} start vm1
        {command} list
        {command} route-server update rs1 --branch-to-branch on && exit 98 || test $? = 3
        {command} down machine
    """
    done = in_private_mounts(
        empty, f"mount -t tmpfs -o size=30m,nr_inodes=400 tmpfs {state} && (set -e; {script}) 2>&1", "list"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "machine: all " in done.stdout, done.stdout
    assert "the controller can't keep the change: " in done.stdout
    assert "machine is down" in done.stdout
    assert not [file for file in done.stdout.splitlines() if file.startswith("/") and "/filler." not in file]


def test_a_node_that_fills_its_disk_stops_nobody(lab: Labkit) -> None:
    def in_node(node: str, script: str) -> str:
        return lab("exec", node, "--", "sh", "-c", script).stdout

    folders = ("/", "/tmp", "/run", "/dev/shm")
    for folder in folders:
        left = in_node("vm1", f"dd if=/dev/zero of={folder}/full bs=1M 2>/dev/null; df -k {folder} | tail -1")
        assert left.split()[3] == "0"
        assert in_node("vm2", f"dd if=/dev/zero of={folder}/more bs=1M count=40 2>&1; rm {folder}/more").endswith("s\n")
    left = in_node("vm1", "touch $(seq -f /full.%g 70000) 2>/dev/null; df -i / | tail -1")
    assert left.split()[3] == "0"
    lab.ok("verify", "machine")
    # It can be powered off and on, and then emptied.
    lab.ok("stop", "vm1")
    lab.ok("start", "vm1")
    lab.ok("verify", "machine")
    in_node("vm1", "rm -f /full*")
    assert int(in_node("vm1", "df -k / | tail -1").split()[3]) > 250_000


def test_a_log_has_a_bound(lab: Labkit) -> None:
    folder = lab.home / "labkit" / "labs" / "machine" / "sandbox" / "logs"
    too_much = f"yes 0123456789 | head -n {logs.MOST * 3 // 11} >/proc/1/fd/1; echo end >/proc/1/fd/1"
    lab.ok("exec", "vm2", "--", "sh", "-c", too_much)
    sizes = [file.stat().st_size for file in folder.glob("vm2.log*")]
    assert len(sizes) == 2
    assert max(sizes) <= logs.MOST
    lines = lab.ok("logs", "vm2").splitlines()
    assert lines[-1] == "end"
    assert logs.MOST / 11 <= len(lines) <= 2 * logs.MOST / 11


# --- Waiting


def in_time(labkit: Labkit, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A verb that meets what never answers: it gives up, after 15 s at most and what a busy machine takes."""
    began = time.monotonic()
    done = labkit.apart(*arguments)
    assert time.monotonic() - began < SOON, done.stderr
    return done


@contextmanager
def frozen(processes: Iterable[int]) -> Iterator[None]:
    stopped = list(processes)
    assert stopped
    for process in stopped:
        os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        for process in stopped:
            os.kill(process, signal.SIGCONT)


def init_of(lab: Labkit) -> int:
    identity = state.read(lab.home / "labkit" / "labs" / "machine" / "sandbox")
    assert identity
    return identity.pid


def nodes(lab: Labkit) -> dict[str, tuple[str, str]]:
    """The state and the health of every node, whether the controller answers or not."""
    found = json.loads(lab("status", "--format", "json").stdout)["nodes"]
    return {node["name"]: (node["state"], node["health"]) for node in found}


def test_a_node_starts_while_the_controller_is_off(lab: Labkit) -> None:
    for node in ("controller", "vm1", "vm2"):
        lab.ok("stop", node)
    done = in_time(lab, "start", "vm1")
    assert done.returncode == 1
    assert "waiting for the services of node vm1 to be ready, at most 3 s" in done.stderr
    assert "vm1 is on, but its services are not ready: the controller is off" in done.stderr
    assert "labkit start controller" in done.stderr
    assert nodes(lab)["vm1"] == ("running", "unhealthy")
    assert in_time(lab, "start", "vm1").stderr == done.stderr, "on already, and not ready either"
    assert nodes(lab)["vm2"] == ("stopped", "")
    # Whoever starts a node holds nobody off who stops it.
    start = lab.start("start", "vm2")
    eventually(lambda: nodes(lab)["vm2"], lambda found: found != ("stopped", ""))
    assert in_time(lab, "stop", "vm2").returncode == 0
    _, text = start.communicate(timeout=SOON)
    assert start.returncode != 0
    assert "vm2" in text
    lab.ok("start", "controller")
    for node in ("vm1", "vm2"):
        lab.ok("start", node)
        assert nodes(lab)[node] == ("running", "healthy")
    lab.ok("verify", "machine")


def test_a_frozen_sandbox(lab: Labkit) -> None:
    with frozen([init_of(lab)]):
        done = in_time(lab, "status")
        assert done.returncode == 3
        assert "waiting for the sandbox of lab machine, at most 10 s" in done.stderr
        assert f"its first process ({init_of(lab)}) is stopped" in done.stderr
        assert "labkit down machine" in done.stderr
    lab.ok("status")


def test_a_frozen_controller(lab: Labkit) -> None:
    commands = {pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in descendants(init_of(lab))}
    with frozen(pid for pid, command in commands.items() if b"labkit.controller" in command):
        done = in_time(lab, "status")
        assert "waiting for the controller of lab machine, at most 15 s" in done.stderr
        assert "the controller of lab machine does not answer" in done.stderr
        assert "vm1" in done.stdout, "the nodes are shown"
        done = in_time(lab, "stop", "vm1")
        assert done.returncode == 0, done.stderr
    lab.ok("start", "vm1")
    lab.ok("verify", "machine")


def test_a_docker_engine_that_never_answers(lab: Labkit, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "docker.sock"))
        listener.listen()
        silent = Labkit(lab.home, {"DOCKER_HOST": f"unix://{tmp_path}/docker.sock"})
        done = in_time(silent, "list")
        assert done.returncode == 0
        assert "waiting for the Docker engine at " in done.stderr
        assert "labs on Docker are not listed: The Docker engine does not answer within 5 s" in done.stderr
        assert "machine" in done.stdout


# --- Odd


def test_a_working_directory_that_is_gone(empty: Labkit, lab_file: Path, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    script = f'mkdir {gone} && cd {gone} && rmdir {gone} && exec "$@"'
    for arguments in (["list"], ["validate", str(lab_file)], ["up", "--dry-run", str(lab_file)], ["up", str(lab_file)]):
        done = empty.run(["sh", "-c", script, "sh", *empty.argv(*arguments)])
        assert done.returncode == 0, done.stderr
    done = empty.run(["sh", "-c", script, "sh", *empty.argv("validate", "here.lab.yml")])
    assert done.returncode == 2
    assert "there is no lab file here.lab.yml" in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may chroot")
def test_root_in_a_chroot(empty: Labkit, lab_file: Path, tmp_path: Path) -> None:
    """A node's commands would see the machine's files there: doctor shows it, and no lab is started."""
    root = tmp_path / "root"
    root.mkdir()
    script = f'mount --make-rprivate / && mount --rbind / {root} && exec chroot {root} "$@"'
    for arguments in (["doctor"], ["up", str(lab_file)]):
        done = empty.run(["unshare", "--mount", "sh", "-c", script, "sh", *empty.argv(*arguments)])
        assert done.returncode == 3, done.stdout + done.stderr
        text = done.stdout + done.stderr
        assert "This is a chroot, where commands in nodes would see the files of the machine." in text
        assert "Run labkit outside the chroot" in text
