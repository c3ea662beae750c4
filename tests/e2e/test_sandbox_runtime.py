"""The sandbox in real namespaces: as whoever runs the tests, and as an ordinary user too if that is root."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from labkit.errors import EnvironmentProblem, InvalidInput, LabkitError
from labkit.runtimes import linux
from labkit.runtimes.image import images
from labkit.runtimes.protocol import CommandTimeout, LabStatus, Process, Progress, Runtime
from labkit.runtimes.sandbox import state
from labkit.runtimes.sandbox.runtime import SandboxRuntime
from tests.e2e.waiting import eventually

REPOSITORY = Path(__file__).resolve().parent.parent.parent
ORDINARY_USER = 64123

# Docker's default set and NET_ADMIN, as a mask.
CAPABILITIES = 0xA80425FB | 1 << linux.CAPABILITIES.index("NET_ADMIN")


def image_layers() -> list[Path]:
    """The node image's layers; the ordinary user's own copy if root has made one."""
    given = os.environ.get("LABKIT_TEST_LAYERS")
    return [Path(p) for p in given.split(":")] if given else list(images.ensure(images.node_image()).layers)


def apart() -> dict[str, str]:
    """The environment of a process that imports what this one imports."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(p for p in (str(REPOSITORY), *sys.path) if p)}


class Bed:
    """A runtime with a state directory of its own, and topologies for it."""

    def __init__(self, folder: Path, layers: list[Path]) -> None:
        self.folder = folder
        self.layers = layers
        self.state = folder / "state"
        self.runtime = SandboxRuntime(self.state, lambda _: layers)
        self.token = str(uuid.uuid4().int)[:12]
        """An argument that the nodes' commands have, by which their processes are found."""

    def write(self, name: str, extra: str = "", links: str = "", node_a: str = "", node_b: str = "") -> Path:
        """Two nodes `a` and `b`, linked and addressed."""
        file = self.folder / f"{name}.clab.yml"
        file.write_text(f"""
name: {name}
topology:
  defaults:
    kind: linux
    image: labkit/node:test
    network-mode: none
    privileged: false
    cap-add: [NET_ADMIN]
    cmd: sleep {self.token}
    {extra}
  nodes:
    a:
      exec: [ip addr add 10.0.0.1/24 dev eth1]
      {node_a}
    b:
      exec: [ip addr add 10.0.0.2/24 dev eth1]
      {node_b}
  links:
    - endpoints: ["a:eth1", "b:eth1"]
    {links}
""")
        return file

    def deploy(self, name: str, **parts: str) -> LabStatus:
        return self.runtime.deploy(self.write(name, **parts))

    def sandbox(self, name: str) -> Path:
        return self.state / "labs" / name / "sandbox"

    def init(self, name: str) -> state.Identity:
        found = state.read(self.sandbox(name))
        assert found
        return found

    def processes(self) -> list[str]:
        """The commands of all processes on this machine that have to do with this bed."""
        found = []
        for file in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = file.read_bytes().decode(errors="replace").replace("\0", " ")
            except (FileNotFoundError, ProcessLookupError):
                continue
            if self.token in words:
                found.append(words)
        return found

    def nothing_left(self) -> None:
        """Nothing of the bed's labs runs or lies anywhere."""
        eventually(self.processes, lambda found: not found, 10)
        eventually(lambda: list(self.state.glob("labs/*")), lambda found: not found, 10)

    def pings(self, name: str) -> bool:
        return self.runtime.exec(name, "a", ["ping", "-c1", "-W2", "10.0.0.2"], timeout=10).rc == 0

    def run_apart(self, topology: Path, progress: str = "lambda p: None") -> subprocess.Popen[str]:
        """Deploy in a process of its own, as the command line does; returns as it begins.

        Python may lose an interrupt that comes while it imports; the command line has its own handler before that.
        """
        code = (
            "import sys; from pathlib import Path; from labkit.runtimes.sandbox.runtime import SandboxRuntime\n"
            "layers = [Path(p) for p in sys.argv[3:]]\n"
            "print('begins', flush=True)\n"
            f"SandboxRuntime(Path(sys.argv[1]), lambda _: layers).deploy(Path(sys.argv[2]), {progress})\n"
            "print('deployed', flush=True)\n"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(self.state), str(topology), *map(str, self.layers)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=apart(),
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "begins\n"
        return process


@pytest.fixture(scope="module")
def layers() -> list[Path]:
    return image_layers()


@pytest.fixture
def bed(tmp_path: Path, layers: list[Path]) -> Iterator[Bed]:
    found = Bed(tmp_path, layers)
    yield found
    for lab in found.runtime.labs():
        found.runtime.destroy(lab)
    found.nothing_left()


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory, layers: list[Path]) -> Iterator[Bed]:
    """A bed with a lab `two` that tests look at and leave as it is."""
    found = Bed(tmp_path_factory.mktemp("two"), layers)
    found.deploy("two", node_a="env: {GREETING: hello world}")
    yield found
    found.runtime.destroy("two")
    found.nothing_left()


def refused(kind: type[LabkitError], action: Callable[[], object]) -> str:
    """The message of the error that `action` raises."""
    with pytest.raises(kind) as caught:
        action()
    assert caught.value.remedy
    return caught.value.message


# --- booting


def test_a_lab_boots_and_goes(bed: Bed) -> None:
    seen: list[Progress] = []
    status = bed.runtime.deploy(bed.write("two"), seen.append)
    assert bed.pings("two")
    assert [(node.name, node.state, node.health) for node in status.nodes] == [
        ("a", "running", ""),
        ("b", "running", ""),
    ]
    assert [(p.kind, p.done, p.total) for p in seen if p.kind == "started"] == [("started", 1, 2), ("started", 2, 2)]
    assert [(p.kind, p.done, p.total) for p in seen if p.kind == "healthy"] == [("healthy", 1, 2), ("healthy", 2, 2)]
    assert list(status.timings) == sorted(status.timings, key=lambda phase: status.timings[phase])
    found = bed.runtime.inspect("two")
    assert found
    assert (found.state, found.nodes) == ("running", status.nodes)
    assert bed.runtime.labs() == ("two",)
    assert len(bed.processes()) == 2
    assert bed.runtime.destroy("two")
    bed.nothing_left()
    assert not bed.runtime.destroy("two"), "again: nothing to do"
    assert bed.runtime.inspect("two") is None
    assert bed.runtime.labs() == ()


def test_the_runtime_is_what_the_protocol_says(two: Bed) -> None:
    runtime: Runtime = two.runtime
    process: Process = runtime.stream("two", "a", ["true"])
    assert process.wait() == 0


def test_several_labs_at_once(bed: Bed) -> None:
    """The same nodes and addresses twice; each lab sees its own alone."""
    bed.deploy("one", node_b="env: {LAB: one}")
    bed.deploy("two", node_b="env: {LAB: two}")
    assert bed.pings("one")
    assert bed.pings("two")
    for lab in ("one", "two"):
        assert bed.runtime.exec(lab, "b", ["printenv", "LAB"]).stdout == f"{lab}\n"
    assert bed.runtime.labs() == ("one", "two")
    bed.runtime.destroy("one")
    assert bed.pings("two")


def test_a_name_in_use(bed: Bed) -> None:
    bed.deploy("two")
    before = bed.init("two")
    assert "two is running" in refused(InvalidInput, lambda: bed.deploy("two"))
    assert bed.init("two") == before
    assert bed.pings("two")


def test_a_state_directory_with_a_very_long_and_strange_name(tmp_path: Path, layers: list[Path]) -> None:
    folder = tmp_path / ("long, with: colons" * 10) / ("x" * 200)
    folder.mkdir(parents=True)
    bed = Bed(folder, layers)
    bed.deploy("two", node_a="binds: [two.clab.yml:/etc/topology:ro]")
    assert bed.pings("two")
    assert "name: two" in bed.runtime.exec("two", "a", ["cat", "/etc/topology"]).stdout
    assert bed.runtime.destroy("two")
    bed.nothing_left()


def test_health_decides_when_it_is_up(bed: Bed) -> None:
    check = "healthcheck: {test: [CMD, test, -e, /run/ready], interval: 1, start-period: 30}"
    begin = time.monotonic()
    status = bed.deploy("two", node_a=f"cmd: sh -c 'sleep 0.4; touch /run/ready; sleep {bed.token}'\n      {check}")
    assert 0.4 < time.monotonic() - begin < 5
    assert [node.health for node in status.nodes] == ["healthy", ""]
    assert bed.runtime.exec("two", "a", ["test", "-e", "/run/ready"]).rc == 0


def test_health_by_a_command(bed: Bed) -> None:
    test = "[CMD-SHELL, 'grep -q ready /etc/state']"
    status = bed.deploy(
        "two",
        node_a=f"cmd: sh -c 'sleep 0.1; echo ready > /etc/state; sleep {bed.token}'\n"
        f"      healthcheck: {{test: {test}, interval: 1, start-period: 30}}",
    )
    assert status.nodes[0].health == "healthy"


# --- what is refused, and leaves nothing


@pytest.mark.parametrize(
    ("parts", "kind", "says"),
    [
        (
            {"node_b": "startup-config: x"},
            InvalidInput,
            "key `startup-config` of node b is not supported by the sandbox",
        ),
        ({"node_a": "binds: [nothing-here:/x]"}, InvalidInput, "nothing-here does not exist"),
        ({"node_a": "cap-add: [NET_ADMIN, FLY]"}, InvalidInput, "`FLY` is not a capability"),
        (
            {"extra": "exec: [sh -c 'echo out; echo no such luck >&2; exit 7']"},
            EnvironmentProblem,
            "exec `sh -c 'echo out; echo no such luck >&2; exit 7'` failed with exit status 7: out\nno such luck",
        ),
        (
            {"extra": "exec: [no-such-command x]"},
            EnvironmentProblem,
            "exec `no-such-command x` failed with exit status 127",
        ),
        (
            {"extra": "healthcheck: {test: [CMD, sh, -c, 'echo not yet; false'], interval: 0.2, retries: 1}"},
            EnvironmentProblem,
            "did not become healthy. sh -c 'echo not yet; false': exit status 1: not yet",
        ),
        (
            {
                "node_a": "cmd: sh -c 'echo cannot start; exit 3'\n"
                "      healthcheck: {test: [CMD, test, -e, /run/ready], start-period: 600}"
            },
            EnvironmentProblem,
            "Its log ends:\ncannot start",
        ),
        ({"node_a": "sysctls: {net.ipv4.no_such: 1}"}, EnvironmentProblem, "node a: sysctl net.ipv4.no_such=1: "),
        ({"node_a": "sysctls: {kernel.panic: 1}"}, InvalidInput, "sysctl kernel.panic belongs to the whole machine"),
        (
            {"links": '- endpoints: ["a:eth1", "b:eth2"]'},
            InvalidInput,
            "a:eth1 is an end of another link already",
        ),
    ],
)
def test_what_is_refused(bed: Bed, parts: dict[str, str], kind: type[LabkitError], says: str) -> None:
    assert says in refused(kind, lambda: bed.deploy("two", **parts))
    bed.nothing_left()


@pytest.mark.parametrize("files", range(3, 11))
def test_a_full_disk(bed: Bed, files: int) -> None:
    """Whichever file it is that does not fit any more."""
    code = (
        "import sys, os; from pathlib import Path; from labkit.errors import EnvironmentProblem\n"
        "from labkit.runtimes import linux\n"
        "from labkit.runtimes.sandbox import launcher\n"
        "from labkit.runtimes.sandbox.runtime import SandboxRuntime\n"
        "launcher.make_namespaces()\n"
        "if os.fork(): os._exit(os.waitstatus_to_exitcode(os.wait()[1]))\n"
        "linux.unshare(linux.CLONE_NEWNS); linux.mount('none', '/', flags=linux.MS_REC | linux.MS_SLAVE)\n"
        "linux.mount('proc', '/proc', 'proc')\n"
        "linux.mount('small', sys.argv[1], 'tmpfs', 0, 'size=4k,nr_inodes=' + sys.argv[3])\n"
        "layers = [Path(p) for p in sys.argv[4:]]\n"
        "try: SandboxRuntime(Path(sys.argv[1]), lambda _: layers).deploy(Path(sys.argv[2]))\n"
        "except EnvironmentProblem as error: print(error.message, '|', error.remedy)\n"
        "print(*sorted(Path(sys.argv[1]).rglob('*')), flush=True)\n"
    )
    bed.state.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", code, str(bed.state), str(bed.write("two")), str(files), *map(str, bed.layers)],
        capture_output=True,
        text=True,
        check=False,
        env=apart(),
    )
    message, _, left = done.stdout.partition("\n")
    assert "No space left on device" in message, done.stdout + done.stderr
    assert "Take labs down" not in message, "that is not what mends it"
    assert left.strip() in ("", str(bed.state / "labs"))
    assert done.stderr == ""


def test_an_image_that_is_not_here(tmp_path: Path) -> None:
    bed = Bed(tmp_path, [])
    runtime = SandboxRuntime(bed.state)
    message = refused(EnvironmentProblem, lambda: runtime.deploy(bed.write("two")))
    assert message == "Image labkit/node:test is not on this machine."


def test_unknown_labs_and_nodes(two: Bed) -> None:
    runtime = two.runtime
    for action in (
        lambda: runtime.exec("nolab", "a", ["true"]),
        lambda: runtime.attach("nolab", "a", ["true"]),
        lambda: runtime.stream("nolab", "a", ["true"]),
        lambda: runtime.stop("nolab", "a"),
        lambda: runtime.logs("nolab", "a"),
    ):
        assert "No lab named nolab" in refused(InvalidInput, action)
    assert refused(InvalidInput, lambda: runtime.exec("two", "c", ["true"])) == "lab two has no node 'c'."
    refused(InvalidInput, lambda: runtime.logs("two", "c"))
    refused(InvalidInput, lambda: runtime.exec("two", "a", []))
    refused(InvalidInput, lambda: runtime.inspect("../two"))


# --- commands


def test_exec(two: Bed) -> None:
    run = two.runtime.exec
    assert run("two", "a", ["sh", "-c", "echo out; echo err >&2; exit 7"]).rc == 7
    done = run("two", "a", ["sh", "-c", "cat; echo err >&2; echo $GREETING"], input="in " * 100_000)
    assert (done.rc, done.stdout, done.stderr) == (0, "in " * 100_000 + "hello world\n", "err\n")
    assert run("two", "a", ["cat"]).stdout == "", "no input is an end of file"
    assert run("two", "a", ["head", "-c1"], input="x" * 1_000_000).stdout == "x", "not all input need be read"
    assert run("two", "a", ["sh", "-c", "kill -9 $$"]).rc == 128 + 9
    assert run("two", "a", ["nothing-of-that-name"]).rc == 127
    assert run("two", "a", ["/etc"]).rc == 126
    assert run("two", "a", ["hostname"]).stdout == "a\n"
    begin = time.monotonic()
    started = run("two", "a", ["sh", "-c", f"sleep {two.token} & echo $!"]).stdout
    assert time.monotonic() - begin < 5, "who inherits the streams does not delay the end"
    assert run("two", "a", ["kill", started.strip()]).rc == 0


def test_a_command_that_takes_too_long_is_killed(two: Bed) -> None:
    before = len(two.processes())
    command = ["sh", "-c", f"sleep 9{two.token}; true"]
    with pytest.raises(CommandTimeout, match=r"did not end within 0.2 s"):
        two.runtime.exec("two", "a", command, timeout=0.2)
    eventually(two.processes, lambda found: len(found) == before)


def test_stream(two: Bed) -> None:
    before = len(two.processes())
    process = two.runtime.stream("two", "b", ["sh", "-c", f"read x; echo got $x; sleep 9{two.token}"])
    assert process.stdin
    assert process.stdout
    process.stdin.write(b"this\n")
    process.stdin.flush()
    assert process.stdout.readline() == b"got this\n"
    assert process.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.01)
    process.terminate()
    assert process.wait(10) == 128 + signal.SIGTERM
    assert process.poll() == 128 + signal.SIGTERM
    process.kill()  # harmless
    process = two.runtime.stream("two", "b", ["sleep", f"9{two.token}"])
    process.kill()
    assert process.wait(10) == 128 + signal.SIGKILL
    eventually(two.processes, lambda found: len(found) == before)


def test_attached_to_pipes(two: Bed) -> None:
    code = (
        "import sys; from pathlib import Path; from labkit.runtimes.sandbox.runtime import SandboxRuntime\n"
        "sys.exit(SandboxRuntime(Path(sys.argv[1])).attach('two', 'a', sys.argv[2:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(two.state), "sh", "-c", "cat; echo err >&2; exit 5"],
        input="in",
        capture_output=True,
        text=True,
        check=False,
        env=apart(),
    )
    assert (done.returncode, done.stdout, done.stderr) == (5, "in", "err\n")


def test_attached_to_a_terminal(two: Bed) -> None:
    """A shell has job control, a terminal with a name, the window's size, and its exit status comes through."""
    pid, master = pty.fork()
    if pid == 0:
        status = 255
        try:
            status = two.runtime.attach("two", "a", ["bash", "--norc", "--noediting", "-i"])
        finally:
            os._exit(status)
    try:
        fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("4H", 33, 99, 0, 0))
        os.kill(pid, signal.SIGWINCH)
        seen = b""

        def expect(text: bytes) -> None:
            nonlocal seen
            deadline = time.monotonic() + 15
            while text not in seen:
                assert select.select([master], [], [], max(0.0, deadline - time.monotonic()))[0], seen
                seen += os.read(master, 4096)
            seen = seen.partition(text)[2]

        def foreground() -> str:
            """The state of the shell's job."""
            lines = two.runtime.exec("two", "a", ["ps", "-e", "-o", "stat=,args="]).stdout.splitlines()
            return next((line.split()[0] for line in lines if line.endswith("sleep 8765")), "")

        expect(b"# ")
        os.write(master, b"tty; stty size; echo $((40+2))\n")
        expect(b"/dev/pts/0")
        expect(b"33 99")
        expect(b"42")
        os.write(master, b"sleep 8765\n")
        eventually(foreground, lambda state: state == "S+")
        os.write(master, b"\x1a")  # Ctrl-Z
        expect(b"Stopped")
        expect(b"# ")
        os.write(master, b"fg\n")
        expect(b"fg\r\nsleep 8765\r\n")
        eventually(foreground, lambda state: state == "S+")
        os.write(master, b"\x03")  # Ctrl-C
        expect(b"# ")
        os.write(master, b"echo still-$((1+1))\n")
        expect(b"still-2")
        assert b"no job control" not in seen
        os.write(master, b"exit 9\n")
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9
    finally:
        os.close(master)


def test_logs(bed: Bed) -> None:
    bed.deploy(
        "two",
        node_a="cmd: sh -c 'echo one; echo two >&2; until [ -e /run/go ]; do sleep 0.05; done; "
        f"echo three; sleep {bed.token}'",
    )
    eventually(lambda: list(bed.runtime.logs("two", "a")), lambda lines: lines == ["one", "two"])
    follower = bed.runtime.logs("two", "a", follow=True)
    assert [next(follower), next(follower)] == ["one", "two"]
    bed.runtime.exec("two", "a", ["touch", "/run/go"])
    assert next(follower) == "three"
    bed.runtime.destroy("two")
    assert list(follower) == [], "it ends when the lab does"


# --- what a node is


def test_a_node_is_a_container(two: Bed) -> None:
    def run(*argv: str) -> str:
        return two.runtime.exec("two", "a", argv).stdout

    assert run("cat", "/proc/1/cmdline").split("\0")[:2] == ["sleep", two.token]
    # `sleep` as PID 1 does not reap what other tests orphaned here.
    commands = [line for line in run("ps", "-e", "-o", "args=").splitlines() if "<defunct>" not in line]
    assert sorted(commands) == ["ps -e -o args=", f"sleep {two.token}"], "it sees its own processes only"
    names = {line.split()[1].partition("@")[0].rstrip(":") for line in run("ip", "-o", "link").splitlines()}
    assert {"lo", "eth1"} <= names
    assert run("cat", "/etc/hosts").splitlines()[-1] == "127.0.1.1\ta"
    assert run("cat", "/etc/hostname") == "a\n"
    assert run("cat", "/etc/resolv.conf") == ""
    assert run("id", "-u") == "0\n"
    assert two.runtime.exec("two", "a", ["sysctl", "-w", "net.ipv4.ip_forward=1"]).rc != 0, "/proc/sys is read-only"
    assert two.runtime.exec("two", "a", ["touch", "/sys/x"]).rc != 0
    assert two.runtime.exec("two", "a", ["touch", "/etc/new", "/run/new", "/tmp/new", "/dev/shm/new"]).rc == 0
    assert two.runtime.exec("two", "b", ["ls", "/etc/new"]).rc != 0, "files are its own"
    assert not any((layer / "etc/new").exists() for layer in two.layers)
    two.runtime.exec("two", "a", ["rm", "/etc/new", "/run/new", "/tmp/new", "/dev/shm/new"])
    mounts = run("cat", "/proc/self/mountinfo")
    assert str(two.folder) not in mounts
    assert len(mounts.splitlines()) < 40, "nothing of the host's mounts is left"


def test_capabilities_are_those_of_a_docker_container(two: Bed, bed: Bed) -> None:
    for command in (["cat", "/proc/1/status"], ["cat", "/proc/self/status"]):
        found = {
            key: int(value, 16)
            for key, _, value in (
                line.partition(":\t") for line in two.runtime.exec("two", "a", command).stdout.splitlines()
            )
            if key.startswith("Cap")
        }
        assert found == {
            "CapInh": 0, "CapPrm": CAPABILITIES, "CapEff": CAPABILITIES, "CapBnd": CAPABILITIES, "CapAmb": 0
        }  # fmt: skip
    assert two.runtime.exec("two", "a", ["mount", "-t", "tmpfs", "x", "/mnt"]).rc != 0, "that takes SYS_ADMIN"
    bed.deploy("two", node_a="cap-add: [SYS_ADMIN]")
    assert bed.runtime.exec("two", "a", ["mount", "-t", "tmpfs", "x", "/mnt"]).rc == 0
    assert "x /mnt tmpfs" not in Path("/proc/self/mounts").read_text()


def test_a_topology_that_does_not_ask_for_privileges(tmp_path: Path, layers: list[Path]) -> None:
    """containerlab would make the node privileged; here it may set up its network, and only that."""
    bed = Bed(tmp_path, layers)
    file = bed.folder / "plain.clab.yml"
    file.write_text(
        f"name: plain\ntopology:\n  nodes:\n    a: {{kind: linux, image: x, cmd: sleep {bed.token}, exec: "
        "['sysctl -w net.ipv4.ip_forward=1', 'ip link add br0 type bridge']}\n"
    )
    bed.runtime.deploy(file)
    assert bed.runtime.exec("plain", "a", ["cat", "/proc/sys/net/ipv4/ip_forward"]).stdout == "1\n"
    assert bed.runtime.exec("plain", "a", ["sysctl", "-w", "kernel.panic=0"]).rc != 0
    bed.runtime.destroy("plain")
    bed.nothing_left()


def test_binds(bed: Bed) -> None:
    (bed.folder / "folder").mkdir()
    (bed.folder / "file").write_text("content\n")
    bed.deploy("two", node_a="binds: [folder:/run/deep/er, folder:/srv/read-only:ro, file:/etc/new/file:ro]")
    run = bed.runtime.exec
    assert run("two", "a", ["cat", "/etc/new/file"]).stdout == "content\n"
    assert run("two", "a", ["sh", "-c", "echo x > /run/deep/er/written"]).rc == 0
    assert (bed.folder / "folder" / "written").read_text() == "x\n"
    assert run("two", "a", ["touch", "/srv/read-only/x"]).rc != 0
    assert run("two", "a", ["sh", "-c", "echo x >> /etc/new/file"]).rc != 0


def test_a_bind_can_not_leave_the_node(bed: Bed) -> None:
    """An image's symbolic link leads where it leads in the node, not on the host."""
    outside = bed.folder / "outside"
    outside.mkdir()
    layer = bed.folder / "layer"
    (layer / "srv").mkdir(parents=True)
    (layer / "srv" / "link").symlink_to(outside)
    (layer / "etc").mkdir()
    (layer / "etc" / "hostname").symlink_to(outside / "hostname")
    (bed.folder / "inner").mkdir()
    bed.runtime = SandboxRuntime(bed.state, lambda _: [layer, *bed.layers])
    bed.deploy("two", node_a="binds: [inner:/srv/link/inner]")
    assert bed.runtime.exec("two", "a", ["ls", f"{outside}/inner"]).rc == 0
    assert list(outside.iterdir()) == []


def test_sysctls_and_macs(bed: Bed) -> None:
    bed.deploy(
        "two",
        extra="sysctls: {net.ipv4.ip_forward: 1, net.ipv4.conf.default.rp_filter: 2, net/ipv4/conf/all/arp_notify: 1}",
        links="""- type: veth
      mtu: 1400
      endpoints:
        - {node: a, interface: wan, mac: "02:00:00:00:00:0a"}
        - {node: b, interface: wan, mac: "02:00:00:00:00:0b"}""",
    )
    run = bed.runtime.exec
    for name, value in (("ip_forward", "1"), ("conf/wan/rp_filter", "2"), ("conf/all/arp_notify", "1")):
        assert run("two", "a", ["cat", f"/proc/sys/net/ipv4/{name}"]).stdout == f"{value}\n"
    (link,) = json.loads(run("two", "b", ["ip", "-j", "link", "show", "wan"]).stdout)
    assert (link["address"], link["mtu"], link["operstate"]) == ("02:00:00:00:00:0b", 1400, "UP")


# --- power


def test_power_off_and_on(bed: Bed) -> None:
    """Like a reboot: links and files are kept, addresses and /run are not, exec lines run again."""
    bed.deploy("two", extra="sysctls: {net.ipv4.ip_forward: 1}")
    run = bed.runtime.exec
    run(
        "two",
        "b",
        ["sh", "-c", "touch /etc/kept /run/lost; ip link add br0 type bridge; ip route add 10.9.0.0/16 via 10.0.0.1"],
    )
    mac = json.loads(run("two", "b", ["ip", "-j", "link", "show", "eth1"]).stdout)[0]["address"]
    bed.runtime.stop("two", "b")
    bed.runtime.stop("two", "b")  # harmless
    assert not bed.pings("two")
    (link,) = json.loads(run("two", "a", ["ip", "-j", "link", "show", "eth1"]).stdout)
    assert "NO-CARRIER" in link["flags"]
    found = bed.runtime.inspect("two")
    assert found
    assert [node.state for node in found.nodes] == ["running", "stopped"]
    assert "node b is stopped" in refused(InvalidInput, lambda: run("two", "b", ["true"]))
    bed.runtime.start("two", "b")
    bed.runtime.start("two", "b")  # harmless
    # The other end's kernel takes up to a second to notice the carrier.
    eventually(lambda: bed.pings("two"), bool)
    assert run("two", "b", ["sh", "-c", "test -e /etc/kept && ! test -e /run/lost && ! ip link show br0"]).rc == 0
    assert "10.9.0.0/16" not in run("two", "b", ["ip", "route"]).stdout
    assert run("two", "b", ["cat", "/proc/sys/net/ipv4/ip_forward"]).stdout == "1\n"
    assert json.loads(run("two", "b", ["ip", "-j", "link", "show", "eth1"]).stdout)[0]["address"] == mac


def test_power_off_is_silent(bed: Bed) -> None:
    """The peer's TCP connection stays: nobody said goodbye."""
    server = "import socket; s = socket.create_server(('10.0.0.2', 999)); c, _ = s.accept(); c.recv(1)"
    client = (
        "import socket; s = socket.create_connection(('10.0.0.2', 999), 5); "
        "print('up', flush=True); s.settimeout(1.5); s.recv(1)"
    )
    bed.deploy("two")
    listening = bed.runtime.stream("two", "b", ["python3", "-c", server])
    eventually(lambda: bed.runtime.exec("two", "b", ["ss", "-ltnH"]).stdout, lambda out: ":999" in out)
    talking = bed.runtime.stream("two", "a", ["python3", "-c", client])
    assert talking.stdout
    assert talking.stderr
    assert talking.stdout.readline() == b"up\n"
    bed.runtime.stop("two", "b")
    assert listening.wait(10) == 128 + signal.SIGKILL
    talking.wait(10)
    assert b"TimeoutError" in talking.stderr.read(), "neither an end of file nor a reset"


def test_a_link_that_the_node_deleted_is_back_after_a_reboot(bed: Bed) -> None:
    bed.deploy("two")
    bed.runtime.exec("two", "b", ["ip", "link", "del", "eth1"])
    bed.runtime.stop("two", "b")
    bed.runtime.start("two", "b")
    assert bed.runtime.exec("two", "a", ["ip", "addr", "add", "10.0.0.1/24", "dev", "eth1"]).rc == 0
    assert bed.pings("two")


def test_a_start_that_fails_can_be_repeated(bed: Bed) -> None:
    bed.deploy("two", node_b="")
    bed.runtime.exec("two", "b", ["mv", "/usr/bin/ip", "/usr/bin/ip.away"])
    bed.runtime.exec("two", "b", ["mv", "/usr/sbin/ip", "/usr/sbin/ip.away"])
    bed.runtime.stop("two", "b")
    assert "failed with exit status 127" in refused(EnvironmentProblem, lambda: bed.runtime.start("two", "b"))
    found = bed.runtime.inspect("two")
    assert found
    assert found.nodes[1].state == "stopped"
    assert bed.runtime.exec("two", "a", ["ip", "link", "show", "eth1"]).rc == 0, "its links are still there"


def test_a_node_whose_command_ends(bed: Bed) -> None:
    bed.deploy(
        "two", node_b=f"cmd: sh -c 'test -e /etc/again && exec sleep {bed.token}; sleep 0.3; touch /etc/again; exit 4'"
    )

    def node() -> tuple[str, int | None]:
        found = bed.runtime.inspect("two")
        assert found
        return found.nodes[1].state, found.nodes[1].exit_code

    eventually(node, lambda state: state == ("exited", 4))
    assert "node b is exited" in refused(InvalidInput, lambda: bed.runtime.exec("two", "b", ["true"]))
    bed.runtime.start("two", "b")
    assert node() == ("running", None)
    assert bed.pings("two")


# --- dying


def test_a_killed_init_leaves_nothing_but_its_state(bed: Bed) -> None:
    bed.deploy("two")
    stream = bed.runtime.stream("two", "a", ["sleep", bed.token])
    os.kill(bed.init("two").pid, signal.SIGKILL)
    eventually(bed.processes, lambda found: not found)
    assert stream.wait(10) == 128 + signal.SIGKILL
    found = bed.runtime.inspect("two")
    assert found
    assert found.state == "dead"
    assert "No lab named two is running" in refused(InvalidInput, lambda: bed.runtime.exec("two", "a", ["true"]))
    assert bed.runtime.destroy("two")
    bed.nothing_left()


def test_a_dead_lab_does_not_hinder_its_name(bed: Bed) -> None:
    bed.deploy("two")
    os.kill(bed.init("two").pid, signal.SIGKILL)
    eventually(bed.processes, lambda found: not found)
    bed.deploy("two")
    assert bed.pings("two")


@pytest.mark.parametrize("content", [None, "", '{"lab": "two", "init": {"pid":'])
def test_destroy_without_a_state_file(bed: Bed, content: str | None) -> None:
    bed.deploy("two")
    file = bed.sandbox("two") / state.STATE
    if content is None:
        file.unlink()
    else:
        file.write_text(content)
    assert bed.runtime.destroy("two")
    bed.nothing_left()


def test_destroy_after_a_reboot_kills_no_stranger(bed: Bed) -> None:
    with subprocess.Popen(["sleep", bed.token]) as stranger:
        identity = state.identify(stranger.pid)
        assert identity
        bed.sandbox("two").mkdir(parents=True)
        for changed in ({"boot_id": "before"}, {"start_ticks": identity.start_ticks + 1}):
            fields = {
                "pid": identity.pid, "start_ticks": identity.start_ticks, "boot_id": identity.boot_id,
                "pid_namespace": identity.pid_namespace,
            }  # fmt: skip
            bed.sandbox("two").mkdir(parents=True, exist_ok=True)
            state.write(bed.sandbox("two"), "two", state.Identity(**(fields | changed)))  # type: ignore[arg-type]
            assert bed.runtime.destroy("two")
            assert stranger.poll() is None
        stranger.kill()


SLOW = "healthcheck: {test: [CMD, test, -e, /run/never], start-period: 600}"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("when", ["at once", "booting", "waiting"])
def test_a_deploy_that_is_interrupted_leaves_nothing(bed: Bed, number: signal.Signals, when: str) -> None:
    """Whenever it is: before the sandbox exists, while it boots, while it waits for health."""
    process = bed.run_apart(bed.write("two", extra=SLOW))
    try:
        if when == "booting":
            eventually(lambda: bed.sandbox("two").exists(), bool)
        elif when == "waiting":
            eventually(bed.processes, lambda found: sum(words.startswith("sleep") for words in found) == 2)
        process.send_signal(number)
        assert process.wait(15) != 0
        bed.nothing_left()
    finally:
        process.kill()
        process.communicate()


def test_an_interrupt_at_any_moment_leaves_nothing(bed: Bed) -> None:
    """Twenty moments over the whole of a deploy."""
    topology = bed.write("two", extra=SLOW)
    for step in range(20):
        process = bed.run_apart(topology)
        threading.Event().wait(step * 0.012)  # the moment is what is tried
        process.send_signal(signal.SIGINT if step % 2 else signal.SIGKILL)
        process.communicate(timeout=15)
        bed.nothing_left()


def test_a_lab_outlives_who_deployed_it(bed: Bed) -> None:
    process = bed.run_apart(bed.write("two"))
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (0, "deployed\n", "")
    assert bed.pings("two")


def test_a_lab_taken_down_while_it_boots(bed: Bed) -> None:
    process = bed.run_apart(bed.write("two", extra=SLOW))
    try:
        eventually(lambda: bed.runtime.inspect("two"), lambda found: found is not None and len(found.nodes) == 2)
        found = bed.runtime.inspect("two")
        assert found
        assert found.state == "deploying"
        assert bed.runtime.destroy("two")
        _, err = process.communicate(timeout=15)
        assert "The sandbox of lab two ended while it was booting" in err
        bed.nothing_left()
    finally:
        process.kill()
        process.communicate()


# --- what it costs, and what it leaves alone


def test_the_init_leaks_no_descriptors(bed: Bed) -> None:
    bed.deploy("two", extra="healthcheck: {test: [CMD, 'true'], interval: 1}")

    def descriptors() -> tuple[int, int]:
        return len(list(Path(f"/proc/{bed.init('two').pid}/fd").iterdir())), len(list(Path("/proc/self/fd").iterdir()))

    def use() -> None:
        for _ in range(10):
            bed.runtime.exec("two", "a", ["true"], input="x")
            refused(InvalidInput, lambda: bed.runtime.exec("two", "c", ["true"]))
            with pytest.raises(CommandTimeout):
                bed.runtime.exec("two", "a", ["sleep", "9"], timeout=0.001)
            stream = bed.runtime.stream("two", "a", ["sleep", "9"])
            stream.kill()
            stream.wait()
            for end in (stream.stdin, stream.stdout, stream.stderr):
                assert end
                end.close()
            bed.runtime.stop("two", "b")
            bed.runtime.start("two", "b")

    use()
    before = descriptors()
    use()
    eventually(descriptors, lambda after: after[0] <= before[0] and after[1] <= before[1])


def host() -> dict[str, object]:
    """Everything of this machine that a lab might touch by mistake."""
    sysctls = {}
    for file in Path("/proc/sys/net").rglob("*"):
        try:
            sysctls[str(file)] = file.read_text() if file.is_file() else ""
        except OSError:
            continue
    for changing in ("/proc/sys/net/netfilter/nf_conntrack_count", "/proc/sys/net/ipv4/tcp_mem"):
        sysctls.pop(changing, None)

    def said(*argv: str) -> str:
        return subprocess.run(argv, capture_output=True, text=True, check=False).stdout

    return {
        "interfaces": json.loads(said("ip", "-j", "link")),
        "addresses": said("ip", "-o", "addr").replace("\\", ""),
        "routes": said("ip", "route", "show", "table", "all"),
        "rules": said("ip", "rule"),
        "namespaces": said("ip", "netns"),
        "firewall": said("nft", "list", "ruleset"),
        "mounts": Path("/proc/self/mountinfo").read_text(),
        "hosts": Path("/etc/hosts").read_text(),
        "sysctls": sysctls,
        "hostname": os.uname().nodename,
    }


def test_the_host_is_as_it_was(bed: Bed) -> None:
    before = host()
    bed.deploy(
        "two", extra="sysctls: {net.ipv4.ip_forward: 1, net.ipv4.conf.all.rp_filter: 0}", node_a="cap-add: [SYS_ADMIN]"
    )
    bed.runtime.exec(
        "two", "a", ["sh", "-c", "ip link add br0 type bridge; nft add table netdev t; mount -t tmpfs x /mnt"]
    )
    during = host()
    bed.runtime.stop("two", "b")
    bed.runtime.start("two", "b")
    bed.runtime.destroy("two")
    bed.nothing_left()
    after = host()
    for what, found in before.items():
        assert during[what] == found, f"{what} changed while the lab ran"
        assert after[what] == found, f"{what} changed"


if os.geteuid() == 0:

    def as_an_ordinary_user(layers: list[Path], *which: str) -> None:
        """Root runs tests of this file again as somebody who has no privileges and no subordinate ids."""
        helper = [sys.executable, "-m", "tests.e2e.as_user", str(ORDINARY_USER), *map(str, layers)]
        done = subprocess.run(
            [*helper, "--", "-q", "-p", "no:cacheprovider", *which],
            capture_output=True,
            text=True,
            check=False,
            cwd=REPOSITORY,
            env=apart(),
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert re.search(r"^\d+ passed\b", done.stdout, re.MULTILINE), done.stdout

    # In two parts: tests/side_by_side.py says why one of them is not run beside all others.
    HOST = "tests/e2e/test_sandbox_runtime.py::test_the_host_is_as_it_was"

    def test_all_of_this_as_an_ordinary_user(layers: list[Path]) -> None:
        as_an_ordinary_user(layers, "tests/e2e/test_sandbox_runtime.py", f"--deselect={HOST}")

    def test_the_host_is_as_it_was_after_an_ordinary_user(layers: list[Path]) -> None:
        as_an_ordinary_user(layers, HOST)
