"""A Docker engine that dies or has a full disk: a clear paragraph, exit status 3, and nothing stays in the end.

The engine is a real one of the tests' own, on a machine of its own as far as namespaces go.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from labkit.resources import topologies
from labkit.runtimes.containerlab.leftovers import SSH
from labkit.runtimes.image import images
from tests.e2e.engines import need_containerlab
from tests.e2e.waiting import eventually

REPOSITORY = Path(__file__).resolve().parent.parent.parent
LAB = "engineless"
ENGINE = Path("/run/engine")
"""On the machine: the engine's socket and folders."""
DATA = ENGINE / "data"
"""A file system of its own, so that it can be full."""
ROOM = "1g"
MEGABYTE = 1 << 20
PROMPT = 60.0
"""Seconds within which labkit must end. No more than a busy machine takes: it is to notice, not to time out."""
SILENT = rf"The Docker engine (does not answer|no longer answers) \({ENGINE}/docker.sock: [A-Za-z ]+\)\."


def children(process: int) -> list[int]:
    tasks = Path(f"/proc/{process}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


class Machine:
    """Processes, mounts, `/run`, network interfaces and what containerlab writes to in `/etc`, and a Docker engine.

    Everything hangs on one process that reads its standard input: when that ends, or whoever holds it, the kernel
    ends the rest and takes the mounts away.
    """

    def __init__(self, state: Path) -> None:
        self.state = state
        self._engine: subprocess.Popen[bytes] | None = None
        # The first process is everybody's heir, and must not keep the dead.
        heir = ["env", "--ignore-signal=CHLD", "cat"]
        self._process = subprocess.Popen(
            ["unshare", "--mount", "--net", "--pid", "--mount-proc", "--fork", "--kill-child", "--", *heir],
            stdin=subprocess.PIPE,
        )
        (self._first,) = eventually(lambda: children(self._process.pid), bool)
        eventually((Path("/proc") / str(self._first) / "comm").read_text, lambda name: name == "cat\n")
        self.run("umount", "--all", "--types", "nsfs")  # copies of names would keep other labs' namespaces alive
        for command in (
            "mount -t tmpfs tmpfs /run",
            f"mkdir -p {DATA} {ENGINE}/sys",
            f"mount -t tmpfs -o size={ROOM} tmpfs {DATA}",
            f"cp /etc/hosts {ENGINE}/hosts",
            f"mount --bind {ENGINE}/hosts /etc/hosts",
            *([f"mount -t tmpfs tmpfs {SSH}"] if SSH.is_dir() else []),
            # It shows the interfaces of the network namespace that it is mounted in.
            f"mount -t sysfs sysfs {ENGINE}/sys",
            f"mount --bind {ENGINE}/sys/class/net /sys/class/net",
        ):
            self.ok(*command.split())

    def close(self) -> None:
        """End it; returns when nothing of it is left."""
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(60)
        if self._engine is not None:
            self._engine.wait(60)

    def argv(self, *command: str) -> list[str]:
        here = ["nsenter", "--target", str(self._first), "--mount", "--net", "--pid", f"--wd={REPOSITORY}"]
        return [*here, "--", *command]

    @property
    def variables(self) -> dict[str, str]:
        own = {
            "DOCKER_HOST": f"unix://{ENGINE}/docker.sock",
            "XDG_STATE_HOME": str(self.state),
            "PYTHONPATH": os.pathsep.join((str(REPOSITORY), *filter(None, sys.path))),
        }
        return os.environ | own

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.argv(*command), env=self.variables, capture_output=True, text=True, check=False, timeout=120
        )

    def ok(self, *command: str) -> str:
        done = self.run(*command)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def labkit(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.run(sys.executable, "-m", "labkit.cli.main", *arguments)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """`labkit` under way."""
        return subprocess.Popen(
            self.argv(sys.executable, "-m", "labkit.cli.main", *arguments),
            env=self.variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def start_engine(self) -> None:
        """Start the engine, on what the one before has left."""
        places = [f"--host=unix://{ENGINE}/docker.sock", f"--data-root={DATA}", f"--exec-root={ENGINE}/exec"]
        no_network = ["--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-masq=false"]
        command = ["dockerd", *places, f"--pidfile={ENGINE}/pid", *no_network]
        self._engine = subprocess.Popen(
            self.argv(*command), env=self.variables,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        eventually(lambda: self.run("docker", "version").returncode, lambda status: status == 0)

    def kill_engine(self) -> None:
        """Kill the engine, as a crash would: its containers live on, and its containerd dies with it."""
        assert self._engine
        (dockerd,) = children(self._engine.pid)
        containerd = children(dockerd)
        os.kill(dockerd, signal.SIGKILL)
        self._engine.wait(60)
        eventually(lambda: [pid for pid in containerd if Path(f"/proc/{pid}").exists()], lambda left: left == [])

    def engine_lives(self) -> bool:
        return self._engine is not None and self._engine.poll() is None

    def containers(self) -> list[str]:
        """The containers that run."""
        return self.ok("docker", "ps", "--quiet").split()

    def written(self) -> int:
        """The bytes in the engine's data."""
        found = os.statvfs(f"/proc/{self._first}/root{DATA}")
        return (found.f_blocks - found.f_bfree) * found.f_frsize

    def give_room(self, size: str) -> None:
        self.ok("mount", "-o", f"remount,size={size}", str(DATA))

    def with_image(self) -> None:
        self._python(
            "from labkit.runtimes.containerlab import docker_images; from labkit.runtimes.image import images\n"
            "docker_images.ensure(images.node_image().reference)"
        )

    def without_image(self) -> None:
        found = self.ok("docker", "image", "ls", "--quiet").split()
        if found:
            self.ok("docker", "image", "rm", "--force", *found)

    def host(self) -> Any:
        return json.loads(self._python("import json; from tests.e2e.engines import host; print(json.dumps(host()))"))

    def records(self) -> list[str]:
        """What there is in the state folder beside empty folders."""
        return [path.name for folder in ("labs", "locks") for path in (self.state / "labkit" / folder).glob("*")]

    def _python(self, code: str) -> str:
        return self.ok(sys.executable, "-c", code)


@pytest.fixture(scope="module")
def its_machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    need_containerlab(with_its_own_engine=True)
    if os.geteuid() != 0:
        pytest.skip("only root can run a Docker engine of its own")
    if shutil.which("dockerd") is None:
        pytest.skip("dockerd is not installed on this machine, so there can't be a second engine")
    images.ensure(images.node_image())
    made = Machine(tmp_path_factory.mktemp("state"))
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def machine(its_machine: Machine) -> Iterator[Machine]:
    """The machine with its engine running, and with no lab before and after."""
    its_machine.give_room(ROOM)
    if not its_machine.engine_lives():
        its_machine.start_engine()
    before = its_machine.host()
    yield its_machine
    its_machine.give_room(ROOM)
    if not its_machine.engine_lives():
        its_machine.start_engine()
    left = (its_machine.host(), its_machine.records())
    its_machine.labkit("down", "--all")  # for the next test
    assert left == (before, [])


@pytest.fixture(scope="module")
def lab_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("lab") / "engineless.lab.yml"
    file.write_text((topologies() / "overview" / "lab.yml").read_text().replace("name: overview", f"name: {LAB}", 1))
    return file


def up(lab_file: Path) -> tuple[str, ...]:
    return ("up", str(lab_file), "--runtime", "containerlab")


def refused(status: int, stderr: str) -> str:
    """The paragraph that a labkit ended with: what failed, perhaps what also failed in undoing it, and the remedy."""
    assert status == 3, stderr
    assert not re.search(r"Traceback|bug of labkit's", stderr)
    phases = re.match(r"( [a-z]+ .*\n)*", stderr)
    assert phases
    paragraph = stderr[phases.end() :]
    assert re.fullmatch(r"(\S.*\n){1,2}(    .*\n)+", paragraph), stderr
    return paragraph


def ended(process: subprocess.Popen[str]) -> str:
    """What a labkit printed in the end that was under way when its engine died."""
    began = time.monotonic()
    _, stderr = process.communicate(timeout=120)
    assert time.monotonic() - began < PROMPT
    return refused(process.returncode, stderr)


def listed(machine: Machine) -> tuple[str, str]:
    """The state of the lab as `list` shows it, and what it prints with it."""
    done = machine.labkit("list", "--format", "json")
    assert done.returncode == 0, done.stderr
    (lab,) = json.loads(done.stdout)
    assert lab["lab"] == LAB
    return lab["state"], done.stderr


def back_and_down(machine: Machine) -> None:
    """The engine is started again, as the paragraph has asked for, and the lab is taken down."""
    machine.start_engine()
    # It answers before it has ended all containers that it finds alive.
    eventually(lambda: listed(machine)[0], lambda state: state == "dead")
    done = machine.labkit("down", LAB)
    assert (done.returncode, f"{LAB} is down" in done.stderr) == (0, True), done.stderr


@pytest.mark.parametrize("when", ["import", "boot"])
def test_the_engine_is_killed_during_up(machine: Machine, lab_file: Path, when: str) -> None:
    if when == "import":
        machine.without_image()
        before = machine.written()
        process = machine.start(*up(lab_file))
        eventually(machine.written, lambda now: now > before + 20 * MEGABYTE)
    else:
        machine.with_image()
        process = machine.start(*up(lab_file))
        eventually(machine.containers, bool)
    machine.kill_engine()
    paragraph = ended(process)
    assert re.search(SILENT, paragraph)
    assert "sudo systemctl restart docker" in paragraph or "sudo systemctl start docker" in paragraph
    assert f"Then run: labkit down {LAB}\n" in paragraph, "what is there can't be removed without the engine"
    state, said = listed(machine)
    assert state == "unknown"
    assert re.search(SILENT, said)
    back_and_down(machine)


def test_the_engine_is_killed_while_a_lab_runs(machine: Machine, lab_file: Path) -> None:
    done = machine.labkit(*up(lab_file))
    assert done.returncode == 0, done.stderr
    machine.kill_engine()
    for verb in (["status"], ["verify"], ["routes", "vm1"], ["exec", "vm1", "true"], ["down"], up(lab_file)):
        done = machine.labkit(*verb)
        paragraph = refused(done.returncode, done.stderr)
        assert re.search(SILENT, paragraph)
        assert "sudo systemctl start docker" in paragraph
        assert ("Then run: labkit down" in paragraph) == (verb == ["down"])
    assert listed(machine)[0] == "unknown"
    back_and_down(machine)


def test_a_full_disk_does_not_take_the_image(machine: Machine, lab_file: Path) -> None:
    machine.without_image()
    machine.give_room("100m")
    done = machine.labkit(*up(lab_file))
    paragraph = refused(done.returncode, done.stderr)
    assert re.match(r"Docker's disk is full: .*no space left on device\n    Free some space", paragraph)
    assert f"everything of {LAB} is removed" in done.stderr
    assert machine.ok("docker", "image", "ls", "--quiet") == ""


def test_a_full_disk_does_not_take_containers(machine: Machine, lab_file: Path) -> None:
    machine.with_image()
    machine.give_room(str(machine.written()))
    done = machine.labkit(*up(lab_file))
    paragraph = refused(done.returncode, done.stderr)
    assert re.match(r"Docker's disk is full: .*no space left on device\n    Free some space", paragraph)
    assert f"everything of {LAB} is removed" in done.stderr
