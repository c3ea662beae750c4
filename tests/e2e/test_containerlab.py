"""The containerlab runtime on a real Docker engine, and labkit's labs under plain containerlab."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from labkit.errors import EnvironmentProblem, InvalidInput, LabkitError
from labkit.lab.file.load import load
from labkit.lab.plan.build import plan
from labkit.pytest import RunningLab, labs_on
from labkit.render.render import render as render_folder
from labkit.resources import topologies
from labkit.runtimes.containerlab import docker_engine, docker_images, leftovers
from labkit.runtimes.containerlab import tool as containerlab_tool
from labkit.runtimes.containerlab.docker_engine import engine
from labkit.runtimes.containerlab.runtime import ContainerlabRuntime
from labkit.runtimes.image import images
from labkit.runtimes.protocol import CommandTimeout, Progress
from labkit.runtimes.sandbox.runtime import SandboxRuntime
from labkit.runtimes.select import CONTAINERLAB
from tests.e2e.engines import host, need_containerlab
from tests.e2e.in_lab import variant
from tests.e2e.terminal import drained, read_until
from tests.e2e.waiting import eventually

TOPOLOGIES = Path(__file__).parent / "clab"
DEFAULT_CAPABILITIES = 0xA80425FB
"""What Docker gives a container that asks for nothing."""
NET_ADMIN, SYS_ADMIN = 1 << 12, 1 << 21


@pytest.fixture(scope="module", autouse=True)
def _engine() -> None:
    need_containerlab()


@pytest.fixture(scope="module")
def image() -> str:
    spec = images.node_image()
    images.ensure(spec)
    docker_images.ensure(spec.reference)
    return spec.reference


class Bed:
    """A folder for topologies of two linked nodes, `a` and `b`."""

    def __init__(self, folder: Path, image: str) -> None:
        self.folder = folder
        self.image = image
        self.name = "labkit-two"
        self.runtime = ContainerlabRuntime()

    def write(self, extra: str = "", node_a: str = "", node_b: str = "", mgmt: str = "skip-when-unused: true") -> Path:
        file = self.folder / f"{self.name}.clab.yml"
        file.write_text(f"""
name: {self.name}
mgmt:
  {mgmt}
topology:
  defaults:
    kind: linux
    image: {self.image}
    network-mode: none
    privileged: false
    restart-policy: "no"
    cap-add: [NET_ADMIN]
    cmd: sleep 12345
    {extra}
  nodes:
    a:
      exec: [ip addr replace 10.0.0.1/24 dev eth0]
      {node_a}
    b:
      exec: [ip addr replace 10.0.0.2/24 dev eth1]
      {node_b}
  links:
    - endpoints: ["a:eth0", "b:eth1"]
""")
        return file

    def pings(self) -> bool:
        return self.runtime.exec(self.name, "a", ["ping", "-c1", "-W2", "10.0.0.2"], timeout=10).rc == 0


@pytest.fixture
def bed(tmp_path: Path, image: str) -> Iterator[Bed]:
    before = host()
    made = Bed(tmp_path, image)
    yield made
    made.runtime.destroy(made.name)
    assert host() == before


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory, image: str) -> Iterator[Bed]:
    """A lab that tests look at and leave as it is."""
    made = Bed(tmp_path_factory.mktemp("two"), image)
    made.name = "labkit-shared"
    made.runtime.deploy(made.write(node_a="env: {GREETING: hello world}"))
    yield made
    made.runtime.destroy(made.name)


def refused(kind: type[LabkitError], action: Callable[[], object]) -> str:
    with pytest.raises(kind) as caught:
        action()
    assert caught.value.remedy
    return caught.value.message


# --- the protocol


def test_a_lab_boots_and_goes(bed: Bed) -> None:
    seen: list[Progress] = []
    status = bed.runtime.deploy(bed.write(), seen.append)
    assert [(node.name, node.state, node.health) for node in status.nodes] == [
        ("a", "running", ""),
        ("b", "running", ""),
    ]
    assert {progress.node for progress in seen if progress.kind == "started"} == {"a", "b"}
    assert bed.pings()
    assert bed.name in bed.runtime.labs()
    found = bed.runtime.inspect(bed.name)
    assert found
    assert (found.state, found.nodes) == ("running", status.nodes)
    assert bed.name in refused(InvalidInput, lambda: bed.runtime.deploy(bed.write()))
    assert bed.runtime.destroy(bed.name)
    assert not bed.runtime.destroy(bed.name)
    assert bed.runtime.inspect(bed.name) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user's containerlab makes its links on the host")
def test_no_interface_is_ever_made_on_the_host(bed: Bed) -> None:
    link_messages = 1
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE) as monitor:
        monitor.bind((0, link_messages))
        bed.runtime.deploy(bed.write())
        assert bed.pings()
        bed.runtime.stop(bed.name, "a")
        bed.runtime.start(bed.name, "a")
        bed.runtime.destroy(bed.name)
        with pytest.raises(BlockingIOError):
            monitor.recv(65536)


def test_devices_that_a_node_makes_at_once_keep_their_names(bed: Bed) -> None:
    """containerlab calls a link that it has moved by the index that it had before."""
    bridges = [f"br{i}" for i in range(40)]
    script = "\\n".join(f"link add {name} type bridge" for name in bridges)
    bed.runtime.deploy(bed.write(node_a=f"cmd: sh -c 'printf \"{script}\\n\" | ip -batch -; sleep 12345'"))
    found = json.loads(bed.runtime.exec(bed.name, "a", ["ip", "-j", "link", "show"]).stdout)
    assert {link["ifname"] for link in found} == {"lo", "eth0", *bridges}
    assert bed.pings()


def test_exec(two: Bed) -> None:
    def run(*argv: str, text: str | None = None) -> Any:
        return two.runtime.exec(two.name, "a", argv, input=text)

    assert run("sh", "-c", "echo out; echo err >&2; exit 7").rc == 7
    done = run("sh", "-c", "cat; echo err >&2; echo $GREETING", text="in " * 100_000)
    assert (done.rc, done.stdout, done.stderr) == (0, "in " * 100_000 + "hello world\n", "err\n")
    assert run("cat").stdout == "", "no input is an end of file"
    assert run("head", "-c1", text="x" * 1_000_000).stdout == "x", "not all input need be read"
    assert run("sh", "-c", "kill -9 $$").rc == 128 + 9
    assert run("nothing-of-that-name").rc == 127
    assert run("/etc").rc == 126
    assert run("hostname").stdout == "a\n"
    began = time.monotonic()
    started = run("sh", "-c", "sleep 54321 & echo $!").stdout
    assert time.monotonic() - began < 5, "who inherits the streams does not delay the end"
    assert run("kill", started.strip()).rc == 0


def processes(two: Bed, word: str) -> int:
    listing = two.runtime.exec(two.name, "a", ["ps", "-e", "-o", "args="]).stdout
    return sum(word in line for line in listing.splitlines())


def test_a_command_that_takes_too_long_is_killed(two: Bed) -> None:
    with pytest.raises(CommandTimeout, match=r"did not end within 0.3 s"):
        two.runtime.exec(two.name, "a", ["sh", "-c", "sleep 67890; true"], timeout=0.3)
    eventually(lambda: processes(two, "67890"), lambda found: found == 0)


def test_stream(two: Bed) -> None:
    process = two.runtime.stream(two.name, "a", ["sh", "-c", "read x; echo got $x; sleep 67891"])
    assert process.stdin
    assert process.stdout
    process.stdin.write(b"this\n")
    process.stdin.flush()
    assert process.stdout.readline() == b"got this\n"
    assert process.poll() is None
    process.terminate()
    assert process.wait(10) == 128 + signal.SIGTERM
    process.kill()  # harmless
    process = two.runtime.stream(two.name, "a", ["sleep", "67891"])
    process.kill()
    assert process.wait(10) == 128 + signal.SIGKILL
    eventually(lambda: processes(two, "67891"), lambda found: found == 0)


def test_attached_to_pipes(two: Bed) -> None:
    code = (
        "import sys; from labkit.runtimes.containerlab.runtime import ContainerlabRuntime\n"
        "sys.exit(ContainerlabRuntime().attach(sys.argv[1], 'a', sys.argv[2:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, two.name, "sh", "-c", "cat; echo err >&2; exit 5"],
        input="in", capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (5, "in", "err\n")


def test_attached_to_a_terminal(two: Bed) -> None:
    """As `labkit shell`: a terminal of the node's own, Ctrl-C for what runs in it, and the exit status."""
    code = (
        "import sys; from labkit.runtimes.containerlab.runtime import ContainerlabRuntime\n"
        "sys.exit(ContainerlabRuntime().attach(sys.argv[1], 'a', ['bash']))"
    )
    master, slave = pty.openpty()
    shell = subprocess.Popen([sys.executable, "-c", code, two.name], stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    try:
        read_until(master, b"# ")
        for keys, answer in (
            ("tty\n", b"/dev/pts/"),
            ("sleep 1000 & fg\n", b"sleep 1000\r\n"),
            ("\x03", b"# "),
            ("echo after $?\n", b"after 130"),
        ):
            os.write(master, keys.encode())
            read_until(master, answer)
        os.write(master, b"exit 5\n")
        eventually(lambda: drained(master, shell), lambda ended: ended == 5)
    finally:
        shell.kill()
        shell.wait()
        os.close(master)


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
    assert refused(InvalidInput, lambda: runtime.exec(two.name, "c", ["true"])) == f"lab {two.name} has no node 'c'."
    refused(InvalidInput, lambda: runtime.exec(two.name, "a", []))
    refused(InvalidInput, lambda: runtime.inspect("../two"))


def test_logs(bed: Bed) -> None:
    bed.runtime.deploy(bed.write(node_a="cmd: sh -c 'echo one; echo two >&2; sleep 12345'"))
    assert list(bed.runtime.logs(bed.name, "a")) == ["one", "two"]
    lines = bed.runtime.logs(bed.name, "a", follow=True)
    assert [next(lines), next(lines)] == ["one", "two"]
    bed.runtime.destroy(bed.name)
    assert list(lines) == []


def test_power_off_and_on(bed: Bed) -> None:
    """Like a reboot: links and files are kept, addresses are not, exec lines run again. Both kinds of names."""
    bed.runtime.deploy(bed.write(extra="sysctls: {net.ipv4.ip_forward: 1}"))
    run = bed.runtime.exec
    for node, interface in (("a", "eth0"), ("b", "eth1")):
        run(bed.name, node, ["sh", "-c", "touch /etc/kept; ip link add br0 type bridge"])
        link = json.loads(run(bed.name, node, ["ip", "-j", "link", "show", interface]).stdout)[0]
        bed.runtime.stop(bed.name, node)
        bed.runtime.stop(bed.name, node)  # harmless
        found = bed.runtime.inspect(bed.name)
        assert found
        assert {each.name: each.state for each in found.nodes}[node] == "stopped"
        other, its = ("b", "eth1") if node == "a" else ("a", "eth0")
        (end,) = json.loads(run(bed.name, other, ["ip", "-j", "link", "show", its]).stdout)
        assert "NO-CARRIER" in end["flags"]
        assert f"node {node} is stopped" in refused(InvalidInput, partial(run, bed.name, node, ["true"]))
        bed.runtime.start(bed.name, node)
        bed.runtime.start(bed.name, node)  # harmless
        assert bed.pings()
        assert run(bed.name, node, ["sh", "-c", "test -e /etc/kept && ! ip link show br0"]).rc == 0
        assert run(bed.name, node, ["cat", "/proc/sys/net/ipv4/ip_forward"]).stdout == "1\n"
        assert (
            json.loads(run(bed.name, node, ["ip", "-j", "link", "show", interface]).stdout)[0]["address"]
            == link["address"]
        )


def test_power_off_is_silent(bed: Bed) -> None:
    """The peer's TCP connection stays: nobody said goodbye."""
    server = "import socket; s = socket.create_server(('10.0.0.1', 999)); c, _ = s.accept(); c.recv(1)"
    client = (
        "import socket; s = socket.create_connection(('10.0.0.1', 999), 5); "
        "print('up', flush=True); s.settimeout(3); s.recv(1)"
    )
    bed.runtime.deploy(bed.write())
    listening = bed.runtime.stream(bed.name, "a", ["python3", "-c", server])
    eventually(lambda: bed.runtime.exec(bed.name, "a", ["ss", "-ltnH"]).stdout, lambda out: ":999" in out)
    talking = bed.runtime.stream(bed.name, "b", ["python3", "-c", client])
    assert talking.stdout
    assert talking.stderr
    assert talking.stdout.readline() == b"up\n"
    bed.runtime.stop(bed.name, "a")
    assert listening.wait(10) == 128 + signal.SIGKILL
    talking.wait(10)
    assert b"TimeoutError" in talking.stderr.read(), "neither an end of file nor a reset"


def test_destroy_of_a_lab_with_a_stopped_node(bed: Bed) -> None:
    bed.runtime.deploy(bed.write())
    bed.runtime.stop(bed.name, "a")
    assert bed.runtime.destroy(bed.name)


def test_destroy_without_the_topology_file(bed: Bed) -> None:
    file = bed.write()
    bed.runtime.deploy(file)
    bed.runtime.stop(bed.name, "a")
    file.unlink()
    assert "is gone" in refused(EnvironmentProblem, lambda: bed.runtime.start(bed.name, "a"))
    assert bed.runtime.destroy(bed.name)


def test_settings_that_a_management_network_changes_are_set_back(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a topology of someone else's; labkit's own have no management network. The bed compares rp_filter too."""
    monkeypatch.setenv("XDG_STATE_HOME", str(bed.folder / "state"))
    bed.runtime.deploy(bed.write(mgmt="network: labkit-test"))
    assert [path.read_text().strip() for path in leftovers.SETTINGS] == ["0", "0"]
    assert bed.runtime.destroy(bed.name)


# --- what is refused or fails, and leaves nothing


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        ({"extra": "exec: [sh -c 'echo no such luck >&2; exit 7']"}, "no such luck"),
        ({"node_a": "binds: [nothing-here:/x]"}, "nothing-here"),
        ({"extra": "sysctls: {net.ipv4.no_such: 1}"}, "no_such"),
        ({"node_b": "image: labkit/node:0123456789abcdef"}, "neither in Docker nor on this machine"),
        ({"extra": "healthcheck: {test: [CMD, sh, -c, 'echo not yet; false'], interval: 1, retries: 1}"}, "not yet"),
        ({"node_a": "cmd: sh -c 'echo cannot start; exit 3'"}, "cannot start"),
        ({"node_b": "no-such-key: 1"}, "no-such-key"),
    ],
)
def test_what_fails_leaves_nothing(bed: Bed, parts: dict[str, str], says: str) -> None:
    said = refused(EnvironmentProblem, lambda: bed.runtime.deploy(bed.write(**parts)))
    assert says in said.replace("-\n", "-"), "containerlab folds long lines, and long words at their hyphens"


@pytest.mark.parametrize("when", ["at-once", "started", "healthy"])
def test_a_deploy_that_is_interrupted_leaves_nothing(bed: Bed, when: str) -> None:
    code = (
        "import sys; from pathlib import Path; from labkit.runtimes.containerlab.runtime import ContainerlabRuntime\n"
        "print('begin', flush=True)\n"
        "ContainerlabRuntime().deploy(Path(sys.argv[1]), lambda p: print(p.kind, flush=True))\n"
    )
    file = bed.write(extra="healthcheck: {test: [CMD, test, -e, /run/never], interval: 1, start-period: 60}")
    if when == "healthy":
        file = bed.write(
            node_a="healthcheck: {test: [CMD, test, -e, /run/never], interval: 1, start-period: 60}",
            node_b="healthcheck: {test: [CMD, 'true'], interval: 1}",
        )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(file)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout
    word = "begin" if when == "at-once" else when
    for line in process.stdout:
        if line.strip() == word:
            break
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode != 0
    eventually(bed.runtime.labs, lambda labs: bed.name not in labs)


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """The tools are looked for anew, during the test and after it."""

    def forget() -> None:
        containerlab_tool.program.cache_clear()
        docker_engine._client.cache_clear()

    forget()
    yield monkeypatch
    monkeypatch.undo()
    forget()


def test_an_engine_that_is_not_there(fresh: pytest.MonkeyPatch, tmp_path: Path) -> None:
    missing = tmp_path / "docker.sock"
    fresh.setenv("DOCKER_HOST", f"unix://{missing}")
    assert "No Docker engine runs" in refused(EnvironmentProblem, lambda: ContainerlabRuntime().labs())
    missing.touch()
    assert "does not answer" in refused(EnvironmentProblem, lambda: ContainerlabRuntime().labs())
    fresh.setenv("DOCKER_HOST", "tcp://198.51.100.1:2375")
    assert "on this machine" in refused(EnvironmentProblem, lambda: ContainerlabRuntime().labs())


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ('{"version":"0.78.3"}', "0.78.3 .* is too old"),
        ("no JSON", "can't tell its version"),
        (None, "is not installed"),
    ],
)
def test_a_containerlab_that_will_not_do(
    fresh: pytest.MonkeyPatch, tmp_path: Path, bed: Bed, answer: str | None, says: str
) -> None:
    if answer is not None:
        program = tmp_path / "containerlab"
        program.write_text(f"#!/bin/sh\necho '{answer}'\n")
        program.chmod(0o755)
    fresh.setenv("PATH", f"{tmp_path}:/usr/bin:/bin" if answer else str(tmp_path))
    assert re.search(says, refused(EnvironmentProblem, lambda: bed.runtime.deploy(bed.write())))


def test_a_user_who_may_not_use_docker() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    code = (
        "import os\n"
        "from labkit.runtimes.containerlab.runtime import ContainerlabRuntime\n"
        "from labkit.errors import EnvironmentProblem\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "try: ContainerlabRuntime().labs()\n"
        "except EnvironmentProblem as problem: print(problem.message, '|', problem.remedy)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd="/")
    assert "You may not use the Docker engine" in done.stdout, done.stderr


# --- labkit's lab


@pytest.fixture(scope="module")
def overview(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    """The overview lab, under a name of its own."""
    file = variant(
        topologies() / "overview" / "lab.yml", tmp_path_factory.mktemp("lab"), {"name: overview": "name: overview-clab"}
    )
    with labs_on(CONTAINERLAB) as boot:
        yield boot(file)


def test_least_privilege(overview: RunningLab) -> None:
    """The engine's default capabilities and NET_ADMIN; SYS_ADMIN for FRR, which refuses to start without."""
    client, lab = engine(), overview.client.record.lab
    for container in ContainerlabRuntime().labs_containers(lab):
        node, role = container["Labels"]["clab-node-name"], container["Labels"]["labkit-role"]
        settings = client.inspect_container(container["Id"])["HostConfig"]
        assert settings["Privileged"] is False
        assert settings["NetworkMode"] == "none"
        assert (settings["PidMode"], settings["UTSMode"]) == ("", "")
        assert settings["IpcMode"] in ("private", "shareable")
        assert not settings["Devices"]
        assert not settings["SecurityOpt"]
        wanted = {"controller": set()}.get(role, {"NET_ADMIN"}) | ({"SYS_ADMIN"} if role in ("nva", "site") else set())
        assert {name.removeprefix("CAP_") for name in settings["CapAdd"] or ()} == wanted, node
        assert not settings["CapDrop"]
        bound = overview.client.run(node, "grep", "CapBnd", "/proc/1/status").stdout.split()[1]
        mask = (NET_ADMIN if "NET_ADMIN" in wanted else 0) | (SYS_ADMIN if "SYS_ADMIN" in wanted else 0)
        assert int(bound, 16) & ~(DEFAULT_CAPABILITIES | mask) == 0, node


def test_no_socket_of_the_lab_is_open_to_others(overview: RunningLab) -> None:
    """Whoever may use Docker may use every verb, and nobody else: what lies on the host is not to be connected to."""
    sockets = [path for path in overview.client.record.folder.rglob("*") if path.is_socket()]
    assert sockets, "feeds are there"
    assert [path for path in sockets if path.stat().st_mode & 0o022] == []
    assert not any("api" in path.name for path in sockets)


# --- with plain containerlab


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, image: str) -> Path:
    """The overview lab's rendered folder, and nothing else of labkit."""
    file = topologies() / "overview" / "lab.yml"
    out = tmp_path_factory.mktemp("plain") / "rendered"
    content = file.read_bytes().replace(b"name: overview", b"name: plain", 1)
    own = out.parent / "plain.lab.yml"
    own.write_bytes(content)
    render_folder(plan(load(own)), out, image=image, lab_file=content)
    return out


def containerlab(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["containerlab", *arguments], cwd=folder, capture_output=True, text=True, check=False, timeout=300,
        env={**os.environ, "CLAB_VERSION_CHECK": "disable"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_plain_containerlab(folder: Path) -> None:
    """The rendered folder alone converges under `containerlab deploy`, and containerlab's verbs work on it."""
    before = host()
    topology = ("--topo", "plain.clab.yml")
    containerlab(folder, "deploy", *topology)
    try:

        def run(node: str, command: str) -> Any:
            said = containerlab(
                folder, "exec", *topology, "--label", f"clab-node-name={node}", "--format", "json", "--cmd", command
            )
            ((result,),) = json.loads(said).values()
            return result

        def default() -> str:
            routes = run("vm1", "ip -j route show default")["stdout"]
            return str(routes[0].get("gateway", "")) if routes else ""

        eventually(default, lambda gateway: gateway == "10.1.2.4", 60)
        eventually(lambda: run("vm1", "ping -c 1 -W 1 10.250.0.10")["return-code"], lambda status: status == 0, 60)
        assert run("vm1", "ping -c 1 -W 1 198.51.100.10")["return-code"] == 0
        assert len(json.loads(containerlab(folder, "inspect", *topology, "--format", "json"))["plain"]) == 11
        containerlab(folder, "graph", *topology, "--mermaid")
        (graph,) = (folder / "clab-plain").rglob("*.mermaid")
        assert "sdwan-nva" in graph.read_text()
        containerlab(folder, "save", *topology)
        assert "plain" in ContainerlabRuntime().labs(), "labkit sees what it did not deploy"
    finally:
        containerlab(folder, "destroy", *topology, "--cleanup")
    assert not (folder / "clab-plain").exists()
    assert host() == before


# --- someone else's topology, in the sandbox


def test_a_topology_written_by_hand_runs_in_the_sandbox(tmp_path: Path) -> None:
    image = images.ensure(images.node_image())
    runtime = SandboxRuntime(tmp_path / "state", lambda _: image.layers)
    runtime.deploy(TOPOLOGIES / "triangle.clab.yml")
    try:

        def reached() -> int:
            return runtime.exec("triangle", "h1", ["ping", "-c1", "-W1", "192.168.2.10"]).rc

        eventually(reached, lambda status: status == 0, 30)
        runtime.stop("triangle", "r3")
        eventually(reached, lambda status: status == 0, 30)
    finally:
        runtime.destroy("triangle")
