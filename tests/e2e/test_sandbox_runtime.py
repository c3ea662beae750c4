"""What is the sandbox's own: as whoever runs the tests, and as an ordinary user too if that is root.

What it has in common with the other runtime is in `test_runtimes.py`.
"""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from labkit import linux
from labkit.errors import EnvironmentProblem, InvalidInput, LabkitError
from labkit.runtimes.protocol import CommandTimeout, Progress
from labkit.runtimes.sandbox import state
from labkit.runtimes.sandbox.runtime import SandboxRuntime
from tests.bench.accounts import descendants
from tests.e2e.beds import REPOSITORY, SandboxBed, apart, refused
from tests.e2e.images import image_layers
from tests.e2e.waiting import SOON, eventually
from tests.extent import LONG

ORDINARY_USER = 64123

# Docker's default set and NET_ADMIN, as a mask.
CAPABILITIES = 0xA80425FB | 1 << linux.CAPABILITIES.index("NET_ADMIN")


@pytest.fixture(scope="module")
def layers() -> list[Path]:
    return image_layers()


@pytest.fixture
def bed(tmp_path: Path, layers: list[Path]) -> Iterator[SandboxBed]:
    found = SandboxBed(tmp_path, layers)
    yield found
    found.end()


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory, layers: list[Path]) -> Iterator[SandboxBed]:
    """A bed with a lab `two` that tests look at and leave as it is."""
    found = SandboxBed(tmp_path_factory.mktemp("two"), layers)
    found.deploy()
    yield found
    found.end()


# --- booting


def test_progress_is_counted(bed: SandboxBed) -> None:
    seen: list[Progress] = []
    bed.runtime.deploy(bed.write(), seen.append)
    for kind in ("started", "healthy"):
        assert [(p.done, p.total) for p in seen if p.kind == kind] == [(1, 2), (2, 2)]
    assert bed.runtime.labs() == ("two",)


def test_what_is_prepared_for_an_image_and_not_deployed_leaves_nothing(tmp_path: Path, layers: list[Path]) -> None:
    before = set(descendants(os.getpid()))
    with SandboxRuntime(tmp_path, lambda _: layers).prepare("an image"):
        commands = eventually(
            lambda: [program(pid) for pid in descendants(os.getpid()) if pid not in before],
            lambda found: "/opt/labkit/bin/warm" in found,
        )
        assert len(commands) == 3, "the launcher, the sandbox's first process, the image's warm one"
    assert set(descendants(os.getpid())) == before
    assert list(tmp_path.iterdir()) == []


def program(pid: int) -> str:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return next((word for word in words[1:] if not word.startswith("-")), words[0])


def test_a_lab_goes_on_with_what_was_prepared(bed: SandboxBed) -> None:
    with bed.runtime.prepare("an image"):
        bed.deploy()
    assert bed.pings()


def test_a_lab_does_without_a_warm_process_that_has_ended(tmp_path: Path, layers: list[Path]) -> None:
    warm = tmp_path / "layer/opt/labkit/bin/warm"
    warm.parent.mkdir(parents=True)
    warm.write_text("#!/bin/sh\n")
    warm.chmod(0o755)
    bed = SandboxBed(tmp_path, [tmp_path / "layer", *layers])
    before = set(descendants(os.getpid()))
    with bed.runtime.prepare("an image"):
        eventually(lambda: zombies(before), lambda found: found == 1)
        bed.deploy()
    assert bed.pings()
    bed.end()


def zombies(known: set[int]) -> int:
    """How many descendants that are not known have ended and are not reaped yet."""
    states = (state_of(pid) for pid in descendants(os.getpid()) if pid not in known)
    return sum(state == "Z" for state in states)


def state_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def test_a_state_directory_with_a_very_long_and_strange_name(tmp_path: Path, layers: list[Path]) -> None:
    folder = tmp_path / ("long, with: colons" * 10) / ("x" * 200)
    folder.mkdir(parents=True)
    bed = SandboxBed(folder, layers)
    bed.deploy(node_a="binds: [two.clab.yml:/etc/topology:ro]")
    assert bed.pings()
    assert "name: two" in bed.runtime.exec("two", "a", ["cat", "/etc/topology"]).stdout
    assert bed.runtime.destroy("two")
    bed.nothing_left()


def test_health_by_a_command(bed: SandboxBed) -> None:
    test = "[CMD-SHELL, 'grep -q ready /etc/state']"
    status = bed.deploy(
        node_a=f"cmd: sh -c 'sleep 0.1; echo ready > /etc/state; sleep {bed.token}'\n"
        f"      healthcheck: {{test: {test}, interval: 1, start-period: 30}}",
    )
    assert status.nodes[0].health == "healthy"


# --- what is refused, and leaves nothing


@pytest.mark.parametrize(
    ("parts", "kind", "message"),
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
            {"links": '- endpoints: ["a:eth0", "b:eth2"]'},
            InvalidInput,
            "a:eth0 is an end of another link already",
        ),
    ],
)
def test_what_is_refused(bed: SandboxBed, parts: dict[str, str], kind: type[LabkitError], message: str) -> None:
    assert message in refused(kind, lambda: bed.deploy(**parts))
    bed.nothing_left()


@pytest.mark.parametrize("files", range(3, 11))
def test_a_full_disk(bed: SandboxBed, files: int) -> None:
    """Whichever file it is that does not fit any more."""
    code = (
        "import sys, os; from pathlib import Path; from labkit.errors import EnvironmentProblem\n"
        "from labkit import linux\n"
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
        [sys.executable, "-c", code, str(bed.state), str(bed.write()), str(files), *map(str, bed.layers)],
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
    bed = SandboxBed(tmp_path, [])
    runtime = SandboxRuntime(bed.state)
    message = refused(EnvironmentProblem, lambda: runtime.deploy(bed.write()))
    assert message == "Image labkit/node:test is not on this machine."


# --- commands


# --- what a node is


def test_a_node_is_a_container(two: SandboxBed) -> None:
    def run(*argv: str) -> str:
        return two.runtime.exec("two", "a", argv).stdout

    assert run("cat", "/proc/1/cmdline").split("\0")[:2] == ["sleep", two.token]
    # `sleep` as PID 1 does not reap what other tests orphaned here.
    commands = [line for line in run("ps", "-e", "-o", "args=").splitlines() if "<defunct>" not in line]
    assert sorted(commands) == ["ps -e -o args=", f"sleep {two.token}"], "it sees its own processes only"
    names = {line.split()[1].partition("@")[0].rstrip(":") for line in run("ip", "-o", "link").splitlines()}
    assert {"lo", "eth0"} <= names
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


def test_capabilities_are_those_of_a_docker_container(two: SandboxBed, bed: SandboxBed) -> None:
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
    bed.deploy(node_a="cap-add: [SYS_ADMIN]")
    assert bed.runtime.exec("two", "a", ["mount", "-t", "tmpfs", "x", "/mnt"]).rc == 0
    assert "x /mnt tmpfs" not in Path("/proc/self/mounts").read_text()


_AS_ROOT = """
import ctypes, errno, os, stat, sys, time
libc = ctypes.CDLL(None, use_errno=True)

def refused(what, attempt):
    try:
        result = attempt()
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EACCES, errno.EROFS, errno.ENOENT, errno.ESRCH, errno.ENOSYS):
            sys.exit(f"{what}: {error}")
    else:
        sys.exit(f"{what}: {result}")

def call(function, *arguments):
    if function(*arguments) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return "done"

def device(folder, kind, number):
    path = f"{folder}/device"
    os.mknod(path, kind | 0o600, number)
    try:
        return os.open(path, os.O_RDONLY)
    finally:
        os.unlink(path)

disk = os.makedev(*map(int, sys.argv[1].split(":")))
for folder in ("/", "/dev", "/dev/shm", "/dev/pts", "/etc", "/run", "/tmp"):
    refused(f"a disk in {folder}", lambda: device(folder, stat.S_IFBLK, disk))
    refused(f"the machine's memory in {folder}", lambda: device(folder, stat.S_IFCHR, os.makedev(1, 1)))
    refused(f"the kernel's log in {folder}", lambda: device(folder, stat.S_IFCHR, os.makedev(1, 11)))
finit_module = {"x86_64": 313, "aarch64": 273}[os.uname().machine]
refused("a kernel module", lambda: call(libc.syscall, finit_module, os.memfd_create("module"), b"", 0))
refused("the clock", lambda: time.clock_settime(time.CLOCK_REALTIME, time.time()))
refused("a reboot", lambda: call(libc.reboot, 0))
refused("a mount", lambda: call(libc.mount, b"x", b"/mnt", b"tmpfs", 0, None))
refused("the machine's devices", lambda: call(libc.mount, b"x", b"/mnt", b"devtmpfs", 0, None))
for file in ("/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/sys/kernel/uevent_helper"):
    refused(file, lambda: os.open(file, os.O_WRONLY))
refused("a process of the machine", lambda: os.kill(int(sys.argv[2]), 0))
print("all refused")
"""


def test_root_in_a_node_is_not_root_of_the_machine(two: SandboxBed) -> None:
    """No device, module, clock, mount, setting or process of the machine is within its reach, and no interface."""
    disk = next(Path("/sys/dev/block").iterdir()).name
    mine = subprocess.Popen(["sleep", "inf"])
    while (two.runtime.exec("two", "a", ["test", "-e", f"/proc/{mine.pid}"])).rc == 0:  # a number that a has, too
        mine.kill()
        mine.wait()
        mine = subprocess.Popen(["sleep", "inf"])
    try:
        done = two.runtime.exec("two", "a", ["python3", "-c", _AS_ROOT, disk, str(mine.pid)])
    finally:
        mine.kill()
        mine.wait()
    assert (done.rc, done.stdout) == (0, "all refused\n"), done.stderr
    links = ["ip", "-j", "link"]
    ours = {link["address"] for link in json.loads(subprocess.check_output(links)) if link["link_type"] != "loopback"}
    assert not ours & {link["address"] for link in json.loads(two.runtime.exec("two", "a", links).stdout)}


def test_nobody_else_may_command_a_lab(two: SandboxBed) -> None:
    """Who may open its control socket may do anything in its nodes."""
    (control,) = two.folder.parent.rglob("control.sock")
    assert stat.S_IMODE(control.stat().st_mode) == 0o600
    assert stat.S_IMODE(control.parent.stat().st_mode) == 0o700
    assert control.stat().st_uid == os.geteuid()


def test_a_topology_that_does_not_ask_for_privileges(tmp_path: Path, layers: list[Path]) -> None:
    """containerlab would make the node privileged; here it may set up its network, and only that."""
    bed = SandboxBed(tmp_path, layers)
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


def test_binds(bed: SandboxBed) -> None:
    (bed.folder / "folder").mkdir()
    (bed.folder / "file").write_text("content\n")
    bed.deploy(node_a="binds: [folder:/run/deep/er, folder:/srv/read-only:ro, file:/etc/new/file:ro]")
    run = bed.runtime.exec
    assert run("two", "a", ["cat", "/etc/new/file"]).stdout == "content\n"
    assert run("two", "a", ["sh", "-c", "echo x > /run/deep/er/written"]).rc == 0
    assert (bed.folder / "folder" / "written").read_text() == "x\n"
    assert run("two", "a", ["touch", "/srv/read-only/x"]).rc != 0
    assert run("two", "a", ["sh", "-c", "echo x >> /etc/new/file"]).rc != 0


def test_a_bind_can_not_leave_the_node(bed: SandboxBed) -> None:
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
    bed.deploy(node_a="binds: [inner:/srv/link/inner]")
    assert bed.runtime.exec("two", "a", ["ls", f"{outside}/inner"]).rc == 0
    assert list(outside.iterdir()) == []


def test_sysctls_and_macs(bed: SandboxBed) -> None:
    bed.deploy(
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


def test_a_reboot_empties_run(bed: SandboxBed) -> None:
    bed.deploy()
    assert bed.run("b", "touch", "/etc/kept", "/run/lost").rc == 0
    bed.runtime.stop("two", "b")
    assert not bed.pings()
    bed.runtime.start("two", "b")
    assert bed.run("b", "sh", "-c", "test -e /etc/kept && ! test -e /run/lost").rc == 0


@pytest.mark.parametrize(
    "made", ["rm /etc/hosts; mkfifo /etc/hosts", "printf '\\377' >/etc/hosts", "ln -sf /etc/passwd /etc/hosts"]
)
def test_a_node_starts_whatever_it_made_of_its_own_files(bed: SandboxBed, made: str) -> None:
    bed.deploy()
    before = bed.run("b", "cat", "/etc/hosts").stdout
    assert bed.run("b", "sh", "-c", made).rc == 0
    bed.runtime.stop("two", "b")
    bed.runtime.start("two", "b")
    assert bed.run("b", "cat", "/etc/hosts").stdout == before


def test_a_link_that_the_node_deleted_is_back_after_a_reboot(bed: SandboxBed) -> None:
    bed.deploy()
    bed.runtime.exec("two", "b", ["ip", "link", "del", "eth1"])
    bed.runtime.stop("two", "b")
    bed.runtime.start("two", "b")
    assert bed.runtime.exec("two", "a", ["ip", "addr", "add", "10.0.0.1/24", "dev", "eth0"]).rc == 0
    assert bed.pings()


def test_a_start_that_fails_can_be_repeated(bed: SandboxBed) -> None:
    bed.deploy(node_b="")
    bed.runtime.exec("two", "b", ["mv", "/usr/bin/ip", "/usr/bin/ip.away"])
    bed.runtime.exec("two", "b", ["mv", "/usr/sbin/ip", "/usr/sbin/ip.away"])
    bed.runtime.stop("two", "b")
    assert "failed with exit status 127" in refused(EnvironmentProblem, lambda: bed.runtime.start("two", "b"))
    found = bed.runtime.inspect("two")
    assert found
    assert found.nodes[1].state == "stopped"
    assert bed.runtime.exec("two", "a", ["ip", "link", "show", "eth0"]).rc == 0, "its links are still there"


def test_a_node_whose_command_ends(bed: SandboxBed) -> None:
    bed.deploy(node_b=f"cmd: sh -c 'test -e /etc/again && exec sleep {bed.token}; sleep 0.3; touch /etc/again; exit 4'")

    def node() -> tuple[str, int | None]:
        found = bed.runtime.inspect("two")
        assert found
        return found.nodes[1].state, found.nodes[1].exit_code

    eventually(node, lambda state: state == ("exited", 4))
    assert "node b is exited" in refused(InvalidInput, lambda: bed.runtime.exec("two", "b", ["true"]))
    bed.runtime.start("two", "b")
    assert node() == ("running", None)
    assert bed.pings()


# --- dying


def test_a_killed_init_leaves_nothing_but_its_state(bed: SandboxBed) -> None:
    bed.deploy()
    stream = bed.runtime.stream("two", "a", ["sleep", bed.token])
    os.kill(bed.init("two").pid, signal.SIGKILL)
    eventually(bed.processes, lambda found: not found)
    assert stream.wait(SOON) == 128 + signal.SIGKILL
    found = bed.runtime.inspect("two")
    assert found
    assert found.state == "dead"
    assert "No lab named two is running" in refused(InvalidInput, lambda: bed.runtime.exec("two", "a", ["true"]))
    assert bed.runtime.destroy("two")
    bed.nothing_left()


def test_a_dead_lab_does_not_hinder_its_name(bed: SandboxBed) -> None:
    bed.deploy()
    os.kill(bed.init("two").pid, signal.SIGKILL)
    eventually(bed.processes, lambda found: not found)
    bed.deploy()
    assert bed.pings()


@pytest.mark.parametrize("content", [None, "", '{"lab": "two", "init": {"pid":'])
def test_destroy_without_a_state_file(bed: SandboxBed, content: str | None) -> None:
    bed.deploy()
    file = bed.sandbox("two") / state.STATE
    if content is None:
        file.unlink()
    else:
        file.write_text(content)
    assert bed.runtime.destroy("two")
    bed.nothing_left()


def test_destroy_after_a_reboot_kills_no_stranger(bed: SandboxBed) -> None:
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


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("when", ["at once", "booting", "waiting"])
def test_a_deploy_that_is_interrupted_leaves_nothing(bed: SandboxBed, number: signal.Signals, when: str) -> None:
    """Whenever it is: before the sandbox exists, while it boots, while it waits for health."""
    process = bed.run_apart(bed.write(extra=SLOW))
    try:
        if when == "booting":
            eventually(lambda: bed.sandbox("two").exists(), bool)
        elif when == "waiting":
            eventually(bed.processes, lambda found: sum(words.startswith("sleep") for words in found) == 2)
        process.send_signal(number)
        assert process.wait(SOON) != 0
        bed.nothing_left()
    finally:
        process.kill()
        process.communicate()


def test_an_interrupt_at_any_moment_leaves_nothing(bed: SandboxBed) -> None:
    """Moments over the whole of a deploy."""
    topology = bed.write(extra=SLOW)
    moments = 20 if LONG else 10
    for step in range(moments):
        process = bed.run_apart(topology)
        threading.Event().wait(step * 0.24 / moments)  # the moment is what is tried
        process.send_signal(signal.SIGINT if step % 2 else signal.SIGKILL)
        process.communicate(timeout=SOON)
        bed.nothing_left()


def test_a_lab_outlives_who_deployed_it(bed: SandboxBed) -> None:
    process = bed.run_apart(bed.write())
    out, err = process.communicate(timeout=SOON)
    assert (process.returncode, out, err) == (0, "deployed\n", "")
    assert bed.pings()


def test_a_lab_taken_down_while_it_boots(bed: SandboxBed) -> None:
    process = bed.run_apart(bed.write(extra=SLOW))
    try:
        eventually(lambda: bed.runtime.inspect("two"), lambda found: found is not None and len(found.nodes) == 2)
        found = bed.runtime.inspect("two")
        assert found
        assert found.state == "deploying"
        assert bed.runtime.destroy("two")
        _, err = process.communicate(timeout=SOON)
        assert "The sandbox of lab two ended while it was booting" in err
        bed.nothing_left()
    finally:
        process.kill()
        process.communicate()


# --- what it costs, and what it leaves alone


def test_the_init_leaks_no_descriptors(bed: SandboxBed) -> None:
    bed.deploy(extra="healthcheck: {test: [CMD, 'true'], interval: 1}")

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

    def printed(*argv: str) -> str:
        return subprocess.run(argv, capture_output=True, text=True, check=False).stdout

    return {
        "interfaces": json.loads(printed("ip", "-j", "link")),
        "addresses": printed("ip", "-o", "addr").replace("\\", ""),
        "routes": printed("ip", "route", "show", "table", "all"),
        "rules": printed("ip", "rule"),
        "namespaces": printed("ip", "netns"),
        "firewall": printed("nft", "list", "ruleset"),
        "mounts": Path("/proc/self/mountinfo").read_text(),
        "hosts": Path("/etc/hosts").read_text(),
        "sysctls": sysctls,
        "hostname": os.uname().nodename,
    }


def test_the_host_is_as_it_was(bed: SandboxBed) -> None:
    before = host()
    bed.deploy(extra="sysctls: {net.ipv4.ip_forward: 1, net.ipv4.conf.all.rp_filter: 0}", node_a="cap-add: [SYS_ADMIN]")
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

    # In two parts: tests/side_by_side.py has the reason why one of them runs first.
    HOST = "tests/e2e/test_sandbox_runtime.py::test_the_host_is_as_it_was"

    def test_all_of_this_as_an_ordinary_user(layers: list[Path]) -> None:
        files = ("tests/e2e/test_runtimes.py", "tests/e2e/test_sandbox_runtime.py")
        as_an_ordinary_user(layers, *files, "--labkit-runtime=sandbox", f"--deselect={HOST}")

    def test_the_host_is_as_it_was_after_an_ordinary_user(layers: list[Path]) -> None:
        as_an_ordinary_user(layers, HOST)
