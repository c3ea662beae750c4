"""What is the containerlab runtime's own, on a real Docker engine, and labkit's labs under plain containerlab.

What it has in common with the sandbox is in `test_runtimes.py`.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from labkit.errors import EnvironmentProblem
from labkit.lab.build import plan
from labkit.lab.load import load
from labkit.pytest import RunningLab, labs_on
from labkit.render.render import render as render_folder
from labkit.resources import topologies
from labkit.runtimes.containerlab import docker_engine, leftovers, nodes
from labkit.runtimes.containerlab import tool as containerlab_tool
from labkit.runtimes.containerlab.docker_engine import engine
from labkit.runtimes.containerlab.runtime import CUT, MEND, ContainerlabRuntime
from labkit.runtimes.image import images
from labkit.runtimes.sandbox.runtime import SandboxRuntime
from labkit.runtimes.select import CONTAINERLAB
from tests.e2e.beds import ContainerlabBed, refused
from tests.e2e.engines import host, need_containerlab
from tests.e2e.images import docker_image
from tests.e2e.in_lab import variant
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
    return docker_image()


@pytest.fixture
def bed(tmp_path: Path, image: str) -> Iterator[ContainerlabBed]:
    found = ContainerlabBed(tmp_path, image)
    yield found
    found.end()


# --- links and nodes


def test_a_node_that_ends_while_its_health_is_tried(bed: ContainerlabBed) -> None:
    """What was asked of it before it ended: it is not healthy, and whoever looks again sees how it ended."""
    bed.deploy(extra="healthcheck: {test: [CMD, 'true'], interval: 3600}")
    (container,) = (
        each for each in ContainerlabRuntime().labs_containers(bed.name) if each["Labels"][nodes.NODE] == "a"
    )
    ran = engine().inspect_container(container["Id"])
    ran["State"].pop("Health", None)
    engine().stop(container["Id"], timeout=0)
    assert not nodes.is_healthy("a", ran, 0)
    with pytest.raises(EnvironmentProblem, match="node a: its command ended with status 137"):
        nodes.is_healthy("a", engine().inspect_container(container["Id"]), 0)


@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user's containerlab makes its links on the host")
def test_no_interface_is_ever_made_on_the_host(bed: ContainerlabBed) -> None:
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


def test_devices_that_a_node_makes_at_once_keep_their_names(bed: ContainerlabBed) -> None:
    """containerlab calls a link that it has moved by the index that it had before."""
    bridges = [f"br{i}" for i in range(40)]
    script = "\\n".join(f"link add {name} type bridge" for name in bridges)
    bed.runtime.deploy(bed.write(node_a=f"cmd: sh -c 'printf \"{script}\\n\" | ip -batch -; sleep 12345'"))
    found = json.loads(bed.runtime.exec(bed.name, "a", ["ip", "-j", "link", "show"]).stdout)
    assert {link["ifname"] for link in found} == {"lo", "eth0", *bridges}
    assert bed.pings()


def test_destroy_without_the_topology_file(bed: ContainerlabBed) -> None:
    file = bed.write()
    bed.runtime.deploy(file)
    bed.runtime.stop(bed.name, "a")
    file.unlink()
    assert "is gone" in refused(EnvironmentProblem, lambda: bed.runtime.start(bed.name, "a"))
    assert bed.runtime.destroy(bed.name)


def test_a_command_that_is_being_started_is_not_frozen(bed: ContainerlabBed) -> None:
    """The engine waits for it, and with the engine everybody who asks for the container."""
    bed.deploy()
    script = 'printf %s "$1" >/proc/$$/comm; echo $$; read -r _'
    commands = [bed.runtime.stream(bed.name, "a", ["sh", "-c", script, "sh", name]) for name in ("runc:[2:INIT]", "x")]
    try:
        pids = [command.stdout.readline().decode().strip() for command in commands if command.stdout]
        assert bed.run("a", "sh", "-c", CUT).rc == 0
        states = [bed.run("a", "cut", "-d", " ", "-f", "3", f"/proc/{pid}/stat").stdout.strip() for pid in pids]
        assert states == ["S", "T"]
        assert bed.run("a", "sh", "-c", MEND).rc == 0
    finally:
        for command in commands:
            command.kill()
            command.wait()
    assert bed.pings()


def test_settings_that_a_management_network_changes_are_set_back(
    bed: ContainerlabBed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a topology of someone else's; labkit's own have no management network. The bed compares rp_filter too."""
    monkeypatch.setenv("XDG_STATE_HOME", str(bed.folder / "state"))
    bed.runtime.deploy(bed.write(mgmt="network: labkit-test"))
    assert [path.read_text().strip() for path in leftovers.SETTINGS] == ["0", "0"]
    assert bed.runtime.destroy(bed.name)


# --- what is refused or fails, and leaves nothing


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """The tools are looked for again, during the test and after it."""

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
    ("answer", "message"),
    [
        ('{"version":"0.78.3"}', "0.78.3 .* is too old"),
        ("no JSON", "does not show its version"),
        (None, "is not installed"),
    ],
)
def test_a_containerlab_that_will_not_do(
    fresh: pytest.MonkeyPatch, tmp_path: Path, bed: ContainerlabBed, answer: str | None, message: str
) -> None:
    if answer is not None:
        program = tmp_path / "containerlab"
        program.write_text(f"#!/bin/sh\necho '{answer}'\n")
        program.chmod(0o755)
    fresh.setenv("PATH", f"{tmp_path}:/usr/bin:/bin" if answer else str(tmp_path))
    assert re.search(message, refused(EnvironmentProblem, lambda: bed.runtime.deploy(bed.write())))


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
            printed = containerlab(
                folder, "exec", *topology, "--label", f"clab-node-name={node}", "--format", "json", "--cmd", command
            )
            ((result,),) = json.loads(printed).values()
            return result

        def default() -> str:
            routes = run("vm1", "ip -j route show default")["stdout"]
            return str(routes[0].get("gateway", "")) if routes else ""

        eventually(default, lambda gateway: gateway == "10.1.2.4")
        eventually(lambda: run("vm1", "ping -c 1 -W 1 10.250.0.10")["return-code"], lambda status: status == 0)
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

        eventually(reached, lambda status: status == 0)
        runtime.stop("triangle", "r3")
        eventually(reached, lambda status: status == 0)
    finally:
        runtime.destroy("triangle")
