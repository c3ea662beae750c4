"""What `labkit.runtimes.protocol` promises, on both runtimes: as whoever runs the tests, and on the sandbox as an
ordinary user too if that is root (`test_sandbox_runtime.py`)."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from labkit.errors import InvalidInput, LabkitError
from labkit.runtimes.protocol import CommandTimeout, NotListening, NotReady, Process, Progress, Runtime
from labkit.runtimes.select import SANDBOX
from tests.e2e.beds import Bed, ContainerlabBed, SandboxBed, apart, refused
from tests.e2e.images import docker_image, image_layers
from tests.e2e.terminal import drained, read_until
from tests.e2e.waiting import SOON, eventually

pytestmark = pytest.mark.both_runtimes

NEVER = "test: [CMD, test, -e, /run/never], interval: 1, start-period: 60"
UNTIL_DEPLOYED = "until ping -c 1 -W 1 10.0.0.2 >/dev/null 2>&1; do sleep 0.1; done"
"""Both nodes have run their commands: what ends before takes the link along, which is another failure."""


@pytest.fixture(scope="module")
def make(labkit_runtime: str) -> Callable[[Path, str], Bed]:
    """Makes a bed of a folder and a lab's name."""
    if labkit_runtime == SANDBOX:
        layers = image_layers()
        return lambda folder, name: SandboxBed(folder, layers, name)
    image = docker_image()
    return lambda folder, name: ContainerlabBed(folder, image, name)


@contextmanager
def used(bed: Bed) -> Iterator[Bed]:
    yield bed
    bed.end()


@pytest.fixture
def bed(tmp_path: Path, make: Callable[[Path, str], Bed]) -> Iterator[Bed]:
    """A bed with no lab yet; nothing of its labs is left afterwards."""
    with used(make(tmp_path, "labkit-two")) as found:
        yield found


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory, make: Callable[[Path, str], Bed]) -> Iterator[Bed]:
    """A bed with a lab that tests look at and leave as it is."""
    with used(make(tmp_path_factory.mktemp("two"), "labkit-shared")) as found:
        found.deploy(node_a="env: {GREETING: hello world}")
        yield found


# --- booting


def test_a_lab_boots_and_goes(bed: Bed) -> None:
    runtime: Runtime = bed.runtime
    seen: list[Progress] = []
    status = runtime.deploy(bed.write(), seen.append)
    assert bed.pings()
    assert [(node.name, node.state, node.health) for node in status.nodes] == [
        ("a", "running", ""),
        ("b", "running", ""),
    ]
    assert {p.node for p in seen if p.kind == "started"} == {"a", "b"}
    assert list(status.timings) == sorted(status.timings, key=lambda phase: status.timings[phase])
    found = runtime.inspect(bed.name)
    assert found
    assert (found.state, found.nodes) == ("running", status.nodes)
    assert bed.name in runtime.labs()
    assert sum(words.startswith("sleep") for words in bed.processes()) == 2
    assert bed.name in refused(InvalidInput, bed.deploy), "a name in use"
    assert bed.pings(), "the lab that has it is as it was"
    assert runtime.destroy(bed.name)
    bed.nothing_left()
    assert not runtime.destroy(bed.name), "again: nothing to do"
    assert runtime.inspect(bed.name) is None
    assert bed.name not in runtime.labs()


def test_health_decides_when_it_is_up(bed: Bed) -> None:
    check = "healthcheck: {test: [CMD, test, -e, /run/ready], interval: 1, start-period: 30}"
    began = time.monotonic()
    status = bed.deploy(node_a=f"cmd: sh -c 'sleep 0.4; touch /run/ready; sleep {bed.token}'\n      {check}")
    assert 0.4 < time.monotonic() - began < 30, "it is not the start period that ends it"
    assert [node.health for node in status.nodes] == ["healthy", ""]
    assert bed.run("a", "test", "-e", "/run/ready").rc == 0


# --- what fails, and leaves nothing


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"extra": "exec: [sh -c 'echo no such luck >&2; exit 7']"}, "no such luck"),
        ({"node_a": "binds: [nothing-here:/x]"}, "nothing-here"),
        ({"extra": "sysctls: {net.ipv4.no_such: 1}"}, "no_such"),
        ({"extra": "healthcheck: {test: [CMD, sh, -c, 'echo not yet; false'], interval: 1, retries: 1}"}, "not yet"),
        (
            {"node_a": f"cmd: sh -c '{UNTIL_DEPLOYED}; echo cannot start; exit 3'\n      healthcheck: {{{NEVER}}}"},
            "cannot start",
        ),
        ({"node_b": "no-such-key: 1"}, "no-such-key"),
    ],
)
def test_what_fails_leaves_nothing(bed: Bed, parts: dict[str, str], message: str) -> None:
    found = refused(LabkitError, lambda: bed.deploy(**parts))
    assert message in found.replace("-\n", "-"), "containerlab folds long lines, and long words at their hyphens"
    bed.nothing_left()


@pytest.mark.parametrize("when", ["at once", "started", "healthy"])
def test_a_deploy_that_is_interrupted_leaves_nothing(bed: Bed, when: str) -> None:
    healthy = "healthcheck: {test: [CMD, 'true'], interval: 1}"
    file = bed.write(
        node_a=f"healthcheck: {{{NEVER}}}",
        node_b=healthy if when == "healthy" else f"healthcheck: {{{NEVER}}}",
    )
    process = bed.run_apart(file, "lambda p: print(p.kind, flush=True)")
    try:
        assert process.stdout
        while when != "at once" and process.stdout.readline() != f"{when}\n":
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=SOON)
        assert process.returncode != 0
        bed.nothing_left()
    finally:
        process.kill()
        process.communicate()


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
    assert refused(InvalidInput, lambda: two.run("c", "true")) == f"lab {two.name} has no node 'c'."
    refused(InvalidInput, lambda: runtime.logs(two.name, "c"))
    refused(InvalidInput, lambda: two.run("a"))
    refused(InvalidInput, lambda: runtime.inspect("../two"))


# --- commands


def test_exec(two: Bed) -> None:
    assert two.run("a", "sh", "-c", "echo out; echo err >&2; exit 7").rc == 7
    done = two.run("a", "sh", "-c", "cat; echo err >&2; echo $GREETING", text="in " * 100_000)
    assert (done.rc, done.stdout, done.stderr) == (0, "in " * 100_000 + "hello world\n", "err\n")
    assert two.run("a", "cat").stdout == "", "no input is an end of file"
    assert two.run("a", "head", "-c1", text="x" * 1_000_000).stdout == "x", "not all input need be read"
    assert two.run("a", "sh", "-c", "kill -9 $$").rc == 128 + 9
    assert two.run("a", "nothing-of-that-name").rc == 127
    assert two.run("a", "/etc").rc == 126
    assert two.run("a", "hostname").stdout == "a\n"
    began = time.monotonic()
    started = two.run("a", "sh", "-c", f"sleep 9{two.token} & echo $!").stdout
    assert time.monotonic() - began < SOON, "who inherits the streams does not delay the end"
    assert two.run("a", "kill", started.strip()).rc == 0


def test_a_command_that_takes_too_long_is_killed(two: Bed) -> None:
    command = ["sh", "-c", f"sleep 8{two.token}; true"]
    with pytest.raises(CommandTimeout, match=r"did not end within 0.3 s"):
        two.runtime.exec(two.name, "a", command, timeout=0.3)
    eventually(two.processes, lambda found: not any(f"8{two.token}" in words for words in found))


def test_stream(two: Bed) -> None:
    command = ["sh", "-c", f"read x; echo got $x; sleep 7{two.token}"]
    process: Process = two.runtime.stream(two.name, "b", command)
    assert process.stdin
    assert process.stdout
    process.stdin.write(b"this\n")
    process.stdin.flush()
    assert process.stdout.readline() == b"got this\n"
    assert process.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.01)
    process.terminate()
    assert process.wait(SOON) == 128 + signal.SIGTERM
    assert process.poll() == 128 + signal.SIGTERM
    process.kill()  # harmless
    process = two.runtime.stream(two.name, "b", ["sleep", f"7{two.token}"])
    process.kill()
    assert process.wait(SOON) == 128 + signal.SIGKILL
    eventually(two.processes, lambda found: not any(f"7{two.token}" in words for words in found))


LISTENER = """
import socket
listener = socket.socket(socket.AF_UNIX)
listener.bind("/run/upper.sock")
listener.listen()
print("listening", flush=True)
connection, _ = listener.accept()
while data := connection.recv(65536):
    connection.sendall(data.upper())
"""


def test_a_connection_into_a_node(two: Bed) -> None:
    """Both ways, as long as either side likes; an end is an end on the other side too."""
    with pytest.raises(NotListening, match=r"nothing listens at /run/upper\.sock on b"):
        two.runtime.connect(two.name, "b", "/run/upper.sock")
    listener = two.runtime.stream(two.name, "b", ["python3", "-c", LISTENER])
    assert listener.stdout
    assert listener.stdout.readline() == b"listening\n"
    with two.runtime.connect(two.name, "b", "/run/upper.sock") as connection:
        connection.settimeout(SOON)
        for _ in range(100):
            connection.sendall(b"x" * 10_000)
            received = 0
            while received < 10_000:
                data = connection.recv(65536)
                assert set(data) == {ord("X")}
                received += len(data)
    assert listener.wait(SOON) == 0
    with pytest.raises(NotListening):
        two.runtime.connect(two.name, "b", "/run/upper.sock")
    with pytest.raises(InvalidInput, match="no node"):
        two.runtime.connect(two.name, "c", "/run/upper.sock")
    two.run("b", "rm", "/run/upper.sock")


def test_attached_to_pipes(two: Bed) -> None:
    command = two.attached("sh", "-c", "cat; echo err >&2; exit 5")
    done = subprocess.run(command, input="in", capture_output=True, text=True, check=False, env=apart())
    assert (done.returncode, done.stdout, done.stderr) == (5, "in", "err\n")


def test_attached_to_a_terminal(two: Bed) -> None:
    """As `labkit shell`: job control, a terminal with a name and the window's size, and the exit status."""
    master, slave = pty.openpty()
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("4H", 33, 99, 0, 0))
    shell = subprocess.Popen(
        two.attached("bash", "--norc", "--noediting", "-i"), env=apart(), stdin=slave, stdout=slave, stderr=slave
    )
    os.close(slave)

    def foreground() -> str:
        """The state of the shell's job."""
        lines = two.run("a", "ps", "-e", "-o", "stat=,args=").stdout.splitlines()
        return next((line.split()[0] for line in lines if line.endswith("sleep 8765")), "")

    def type_in(keys: bytes, until: bytes) -> bytes:
        os.write(master, keys)
        return read_until(master, until)

    try:
        assert b"no job control" not in read_until(master, b"# ")
        type_in(b"tty\n", b"/dev/pts/")
        # Docker gives the terminal its size a moment after the shell has started.
        type_in(b"until stty size | grep -q '33 99'; do :; done; echo si''zed\n", b"sized")
        type_in(b"sleep 8765\n", b"sleep 8765\r\n")
        eventually(foreground, lambda state: state[:1] == "S" and "+" in state)
        assert b"Stopped" in type_in(b"\x1a", b"sleep 8765\r\nbash-")  # Ctrl-Z, and the prompt that follows
        type_in(b"fg\n", b"fg\r\nsleep 8765\r\n")
        eventually(foreground, lambda state: state[:1] == "S" and "+" in state)
        type_in(b"\x03", b"# ")  # Ctrl-C
        type_in(b"echo after $?\n", b"after 130")
        os.write(master, b"exit 9\n")
        eventually(lambda: drained(master, shell), lambda ended: ended == 9)
    finally:
        shell.kill()
        shell.wait()
        os.close(master)


def test_logs(bed: Bed) -> None:
    script = "echo one; echo two >&2; until [ -e /run/go ]; do sleep 0.05; done; echo three"
    bed.deploy(node_a=f"cmd: sh -c '{script}; sleep {bed.token}'")
    eventually(lambda: list(bed.runtime.logs(bed.name, "a")), lambda lines: lines == ["one", "two"])
    follower = bed.runtime.logs(bed.name, "a", follow=True)
    assert [next(follower), next(follower)] == ["one", "two"]
    bed.run("a", "touch", "/run/go")
    assert next(follower) == "three"
    bed.runtime.destroy(bed.name)
    assert list(follower) == [], "it ends when the lab does"


# --- power


def test_power_off_and_on(bed: Bed) -> None:
    """Like a reboot: links and files are kept, addresses are not, exec lines run again; eth0 or another name."""
    bed.deploy(extra="sysctls: {net.ipv4.ip_forward: 1}")
    for node, interface, other, its in (("a", "eth0", "b", "eth1"), ("b", "eth1", "a", "eth0")):
        change = "touch /etc/kept; ip link add br0 type bridge; ip addr add 10.9.0.1/16 dev lo"
        assert bed.run(node, "sh", "-c", change).rc == 0
        (before,) = json.loads(bed.run(node, "ip", "-j", "link", "show", interface).stdout)
        bed.runtime.stop(bed.name, node)
        bed.runtime.stop(bed.name, node)  # harmless
        assert bed.states() == {node: "stopped", other: "running"}
        (end,) = json.loads(bed.run(other, "ip", "-j", "link", "show", its).stdout)
        assert "NO-CARRIER" in end["flags"]
        assert f"node {node} is stopped" in refused(InvalidInput, partial(bed.run, node, "true"))
        bed.runtime.start(bed.name, node)
        bed.runtime.start(bed.name, node)  # harmless
        # The other end's kernel takes up to a second to notice the carrier.
        eventually(bed.pings, bool)
        assert bed.run(node, "sh", "-c", "test -e /etc/kept && ! ip link show br0").rc == 0
        assert "10.9.0.1" not in bed.run(node, "ip", "addr").stdout
        assert bed.run(node, "cat", "/proc/sys/net/ipv4/ip_forward").stdout == "1\n"
        (after,) = json.loads(bed.run(node, "ip", "-j", "link", "show", interface).stdout)
        assert after["address"] == before["address"]


def test_a_node_that_is_on_is_waited_for_until_it_is_ready(bed: Bed) -> None:
    check = "healthcheck: {test: [CMD, test, -e, /run/ready], interval: 1, start-period: 30}"
    bed.deploy(node_b=f"cmd: sh -c 'test -e /etc/again || touch /run/ready; sleep {bed.token}'\n      {check}")
    assert bed.run("b", "sh", "-c", "touch /etc/again; rm /run/ready").rc == 0
    bed.runtime.stop(bed.name, "b")
    for _ in range(2):
        with pytest.raises(NotReady, match="did not become healthy"):
            bed.runtime.start(bed.name, "b", 0.2)
    with ThreadPoolExecutor() as threads:
        start = threads.submit(bed.runtime.start, bed.name, "b")
        with pytest.raises(TimeoutError):
            start.result(0.5)
        assert bed.run("b", "touch", "/run/ready").rc == 0
        start.result(SOON)
        found = bed.runtime.inspect(bed.name)
        assert found
        assert found.nodes[1].health == "healthy"
        assert bed.run("b", "rm", "/run/ready").rc == 0
        bed.runtime.stop(bed.name, "b")
        with pytest.raises(NotReady):
            bed.runtime.start(bed.name, "b", 0.2)
        start = threads.submit(bed.runtime.start, bed.name, "b")
        with pytest.raises(TimeoutError):
            start.result(0.5)
        bed.runtime.stop(bed.name, "b")
        assert "node b" in str(start.exception(SOON))


def test_power_off_is_silent(bed: Bed) -> None:
    """The peer's TCP connection stays: the node that is off has ended none."""
    server = "import socket; s = socket.create_server(('10.0.0.1', 999)); c, _ = s.accept(); c.recv(1)"
    client = (
        "import socket; s = socket.create_connection(('10.0.0.1', 999), 30); "
        "print('up', flush=True); s.settimeout(3); s.recv(1)"
    )
    bed.deploy()
    listening = bed.runtime.stream(bed.name, "a", ["python3", "-c", server])
    eventually(lambda: bed.run("a", "ss", "-ltnH").stdout, lambda out: ":999" in out)
    talking = bed.runtime.stream(bed.name, "b", ["python3", "-c", client])
    assert talking.stdout
    assert talking.stderr
    assert talking.stdout.readline() == b"up\n"
    bed.runtime.stop(bed.name, "a")
    assert listening.wait(SOON) == 128 + signal.SIGKILL
    talking.wait(SOON)
    assert b"TimeoutError" in talking.stderr.read(), "neither an end of file nor a reset"


def test_destroy_of_a_lab_with_a_stopped_node(bed: Bed) -> None:
    bed.deploy()
    bed.runtime.stop(bed.name, "a")
    assert bed.runtime.destroy(bed.name)
    bed.nothing_left()


def test_several_labs_at_once(bed: Bed) -> None:
    """The same nodes and addresses twice; each lab has its own alone."""
    other = f"{bed.name}-other"
    try:
        bed.deploy(node_b="env: {LAB: one}")
        bed.deploy(other, node_b="env: {LAB: other}")
        for lab, value in ((bed.name, "one"), (other, "other")):
            assert bed.pings(lab)
            assert bed.runtime.exec(lab, "b", ["printenv", "LAB"]).stdout == f"{value}\n"
        assert {bed.name, other} <= set(bed.runtime.labs())
        bed.runtime.destroy(bed.name)
        assert bed.pings(other)
    finally:
        bed.runtime.destroy(other)
