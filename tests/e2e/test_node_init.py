"""A node's first process and its services, as PID 1 of a node made of the image's own layers, without the runtime."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from labkit.runtimes.image import images

DEADLINE = 60.0
# $1 room, $2 lower layers; the rest are node-init's arguments.
ENTER = """
set -eu
mount --make-rprivate /
mount -t tmpfs tmpfs "$1/work"
mkdir "$1/work/up" "$1/work/work" "$1/work/root"
root="$1/work/root"
mount -t overlay -o "lowerdir=$2,upperdir=$1/work/up,workdir=$1/work/work,userxattr" overlay "$root"
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=755 dev "$root/dev"
for device in null zero urandom; do : >"$root/dev/$device"; mount --bind "/dev/$device" "$root/dev/$device"; done
mkdir "$root/run/labkit"
mount --bind "$1/platform" "$root/run/labkit"
mount -o remount,bind,ro "$root/run/labkit"
cp -r "$1/extra/." "$root"
ip link set lo up
shift 2
exec chroot "$root" /opt/labkit/bin/node-init "$@"
"""
FRR_CONF = """\
frr defaults traditional
ip route 10.99.0.0/16 Null0
router bgp 65001
 no bgp ebgp-requires-policy
 neighbor 10.1.0.4 remote-as 65515
exit
"""


class Node:
    """A running node: its PID 1, what it has printed, and its files as this side sees them."""

    def __init__(self, outside: subprocess.Popen[bytes], room: Path, log: Path) -> None:
        self.outside = outside
        self.platform = room / "platform"
        self._log = log
        children = Path(f"/proc/{outside.pid}/task/{outside.pid}/children")
        self.wait_for("PID 1", lambda: children.read_text().split() or outside.poll() is not None)
        self.init = int((children.read_text().split() or ["0"])[0])
        self.root = Path(f"/proc/{self.init}/root")

    @property
    def said(self) -> str:
        return self._log.read_text()

    def wait_for(self, what: str, condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + DEADLINE
        while not condition():
            assert time.monotonic() < deadline, f"no {what} after {DEADLINE} s; the node said:\n{self.said}"
            time.sleep(0.005)  # between two looks at the named condition

    def wait_for_output(self, pattern: str, times: int = 1) -> None:
        self.wait_for(pattern, lambda: len(re.findall(pattern, self.said)) >= times)

    def ready(self, service: str) -> bool:
        return (self.root / "run/labkit-ready" / service).exists()

    def run(self, *command: str) -> str:
        user = ["--user", "--preserve-credentials"] if os.geteuid() else []
        enter = ["nsenter", "--target", str(self.init), *user, "--mount", "--pid", "--net", "--root", "--wd"]
        return subprocess.run([*enter, *command], check=True, capture_output=True, text=True).stdout

    def pids(self) -> set[int]:
        """Every process of the node, as numbered on this side."""
        mine = Path(f"/proc/{self.init}/ns/pid").readlink()
        found = set()
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if (process / "ns/pid").readlink() == mine:
                    found.add(int(process.name))
            except (FileNotFoundError, PermissionError, ProcessLookupError):
                continue
        return found

    def process(self, *words: str) -> int:
        """The one process whose command line has these words, once there is one: a service is ready before."""
        self.wait_for(" ".join(words), lambda: self.processes(*words))
        (found,) = self.processes(*words)
        return found

    def processes(self, *words: str) -> list[int]:
        """The processes whose command lines have these words."""
        found = []
        for pid in self.pids():
            try:
                arguments = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
            except (FileNotFoundError, ProcessLookupError):
                continue
            if all(word in arguments for word in words):
                found.append(pid)
        return found


@pytest.fixture(scope="module")
def image() -> images.Image:
    return images.ensure(images.node_image())


@pytest.fixture
def boot(image: images.Image, tmp_path: Path) -> Iterator[Callable[..., Node]]:
    """Boots nodes on request: services' names, and files to put into the node first (path to text)."""
    for folder in ("work", "platform", "extra"):
        (tmp_path / folder).mkdir()
    (tmp_path / "platform" / "alive").touch()
    nodes: list[Node] = []

    def booted(*services: str, files: Mapping[str, str] = {}) -> Node:
        for path, text in files.items():
            target = tmp_path / "extra" / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
            target.chmod(0o755)
        user = ["--user", "--map-root-user"] if os.geteuid() else []
        unshare = ["unshare", *user, "--mount", "--net", "--pid", "--uts", "--fork", "--kill-child"]
        layers = ":".join(map(str, image.layers))
        log = tmp_path / f"log{len(nodes)}"
        with log.open("wb") as output:
            outside = subprocess.Popen(
                [*unshare, "sh", "-c", ENTER, "sh", str(tmp_path), layers, *services], stdout=output, stderr=output
            )
        nodes.append(Node(outside, tmp_path, log))
        return nodes[-1]

    yield booted
    for node in nodes:
        if node.outside.poll() is None:
            os.kill(node.init, signal.SIGKILL)
            node.outside.wait()


def heeds(pid: int, number: signal.Signals) -> bool:
    """Whether a process catches a signal, or blocks it to read it from a descriptor."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return bool((int(status["SigCgt"], 16) | int(status["SigBlk"], 16)) >> (number - 1) & 1)


def service(name: str, run: str) -> dict[str, str]:
    """A service for the tests, made like labkit's own."""
    folder = f"opt/labkit/services/{name}"
    return {
        f"{folder}/run": f"#!/bin/sh\nexec /opt/labkit/lib/supervised sh -c '{run}'\n",
        f"{folder}/finish": '#!/bin/sh\nexec /opt/labkit/lib/finished "$@"\n',
    }


@contextmanager
def held(file: Path) -> Iterator[bool]:
    """Whether somebody holds the lock of a file."""
    with file.open() as opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            yield True
        else:
            yield False


def test_a_node_without_services_idles_and_stops(boot: Callable[..., Node]) -> None:
    node = boot()
    node.wait_for("s6-svscan", lambda: b"s6-svscan" in Path(f"/proc/{node.init}/cmdline").read_bytes())
    # The kernel drops a signal that the first process of a PID namespace does not heed yet.
    node.wait_for("s6-svscan to heed SIGTERM", lambda: heeds(node.init, signal.SIGTERM))
    os.kill(node.init, signal.SIGTERM)
    assert node.outside.wait(DEADLINE) == 0


def test_an_unknown_service_is_an_error(boot: Callable[..., Node]) -> None:
    node = boot("agent", "nonsense")
    assert node.outside.wait(DEADLINE) == 100
    assert "node-init: no service named nonsense" in node.said


def test_a_service_that_dies_is_logged_and_comes_back(boot: Callable[..., Node]) -> None:
    node = boot(
        "steady",
        files=service("steady", "echo up; : >/run/labkit-ready/steady; exec sleep 1000"),
    )
    node.wait_for("ready", lambda: node.ready("steady"))
    os.kill(node.process("sleep", "1000"), signal.SIGKILL)
    node.wait_for_output("node-init: steady was killed by signal 9, restarting\n")
    node.wait_for_output("up\n", times=2)
    node.wait_for("ready again", lambda: node.ready("steady"))


def test_a_service_that_never_lives_long_rests_longer_and_longer(boot: Callable[..., Node]) -> None:
    node = boot("broken", files=service("broken", ": >/run/labkit-ready/broken; exit 3"))
    node.wait_for_output("broken exited with status 3, restarting in 4 s\n")
    rests = re.findall(r"node-init: broken exited with status 3, restarting(?: in (\d+) s)?\n", node.said)
    assert rests == ["", "1", "2", "4"]
    assert not node.ready("broken")
    # A stop doesn't wait for the rest to end.
    node.wait_for("rest", (node.root / "run/labkit-services/broken/pausing").exists)
    began = time.monotonic()
    os.kill(node.init, signal.SIGTERM)
    assert node.outside.wait(DEADLINE) == 0
    assert time.monotonic() - began < 2


def test_a_stop_is_in_order_and_not_held_up_by_the_stubborn(boot: Callable[..., Node]) -> None:
    node = boot(
        "polite",
        "stubborn",
        files=service("polite", 'trap "echo farewell; exit 0" TERM; echo up; sleep 1000 & wait')
        | service("stubborn", 'trap "" TERM; echo up; while :; do sleep 1000; done')
        | {"opt/labkit/services/stubborn/timeout-kill": "300\n"},
    )
    node.wait_for_output("up\n", times=2)
    os.kill(node.init, signal.SIGTERM)
    assert node.outside.wait(DEADLINE) == 0
    assert "farewell" in node.said
    assert "node-init: polite exited with status 0, stopped" in node.said
    assert "node-init: stubborn was killed by signal 9, stopped" in node.said


def test_pid_1_reaps_orphans(boot: Callable[..., Node]) -> None:
    node = boot("parent", files=service("parent", "(sleep 0.01 &); (sleep 0.02 &); echo up; exec sleep 1000"))
    node.wait_for_output("up\n")

    def processes() -> int:
        return len(node.pids())

    node.wait_for("s6-svscan, s6-supervise and the service alone", lambda: processes() == 3)


def test_the_lock_shows_whether_the_node_lives(boot: Callable[..., Node]) -> None:
    node = boot("steady", files=service("steady", "echo up; exec sleep 1000"))
    alive = node.platform / "alive"
    node.wait_for_output("up\n")
    with held(alive) as first:
        assert first
    # Every process holds it, not only the first: the service alone would do.
    descriptors = Path(f"/proc/{node.process('sleep', '1000')}/fd")
    assert any(alive.samefile(descriptor) for descriptor in descriptors.iterdir())
    os.kill(node.init, signal.SIGKILL)
    with alive.open() as opened:
        fcntl.flock(opened, fcntl.LOCK_SH)  # returns when the last one is gone
    node.outside.wait(DEADLINE)
    again = boot("steady")
    again.wait_for_output("up\n")
    with held(alive) as second:
        assert second


def test_frr_gets_its_configuration_at_boot_and_after_a_kill(boot: Callable[..., Node]) -> None:
    daemons = ("mgmtd", "zebra", "staticd", "bgpd")
    node = boot(*daemons, files={"etc/frr/frr.conf": FRR_CONF})
    node.wait_for("all four daemons", lambda: all(map(node.ready, daemons)))
    node.wait_for("the static route", lambda: "10.99.0.0/16" in node.run("vtysh", "-c", "show ip route static"))
    os.kill(node.process("/usr/lib/frr/bgpd"), signal.SIGKILL)
    node.wait_for("loss of readiness", lambda: not node.ready("bgpd"))
    node.wait_for("bgpd again", lambda: node.ready("bgpd"))
    assert "neighbor 10.1.0.4 remote-as 65515" in node.run("vtysh", "-c", "show running-config bgpd")
    os.kill(node.init, signal.SIGTERM)
    assert node.outside.wait(DEADLINE) == 0


def test_frr_s_mistakes_are_logged_and_never_ready(boot: Callable[..., Node]) -> None:
    daemons = ("mgmtd", "zebra", "staticd", "bgpd")
    node = boot(*daemons, files={"etc/frr/frr.conf": FRR_CONF + "router bgp nonsense\n"})
    node.wait_for_output("frr: bgpd has not taken its configuration: line 7: .*router bgp nonsense")
    assert not node.ready("bgpd")
