"""What the containerlab runtime decides without an engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from labkit.errors import EnvironmentProblem, InvalidInput
from labkit.runtimes.containerlab import docker_exec, leftovers
from labkit.runtimes.containerlab import nodes as containerlab_nodes
from labkit.runtimes.containerlab import tool as containerlab_tool
from labkit.runtimes.containerlab.docker_engine import Container
from labkit.runtimes.containerlab.logs import _lines
from labkit.runtimes.containerlab.nodes import is_healthy
from labkit.runtimes.containerlab.runtime import ContainerlabRuntime, _outline
from labkit.runtimes.protocol import CommandTimeout, Completed
from labkit.runtimes.select import CONTAINERLAB, runtime

CLAB = Path(__file__).parents[2] / "e2e" / "clab"


def test_it_is_chosen_by_its_name() -> None:
    assert isinstance(runtime(CONTAINERLAB), ContainerlabRuntime)


def test_the_outline_of_a_topology() -> None:
    lab, nodes, images = _outline(CLAB / "triangle.clab.yml")
    assert (lab, nodes, images) == ("triangle", ("r1", "r2", "r3", "h1", "h2"), ("labkit/node:latest",))


@pytest.mark.parametrize(
    "text", ["", "name: x", "- a", "name: x\ntopology: 1", "a: [", "name: x\ntopology: {nodes: [a]}"]
)
def test_what_is_no_topology(tmp_path: Path, text: str) -> None:
    file = tmp_path / "x.clab.yml"
    file.write_text(text)
    with pytest.raises(InvalidInput, match=r"x\.clab\.yml is not a containerlab topology"):
        _outline(file)
    with pytest.raises(InvalidInput):
        _outline(tmp_path / "missing.clab.yml")


def test_parked_names_are_containerlabs() -> None:
    assert leftovers.parked_name("clab-lab-a") == "clab-park-clab-lab-a"
    long = leftovers.parked_name("clab-" + "x" * 300)
    assert len(long) == 200
    assert long != leftovers.parked_name("clab-" + "x" * 301)


def test_only_the_labs_own_part_of_the_hosts_file_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hosts = tmp_path / "hosts"
    monkeypatch.setattr(leftovers, "HOSTS", hosts)
    other = "###### CLAB-b-START ######\n1.1.1.1 b\n###### CLAB-b-END ######\n"
    hosts.write_text(f"127.0.0.1 localhost\n###### CLAB-a-START ######\n1.2.3.4 x\n###### CLAB-a-END ######\n{other}")
    leftovers._without_hosts("a")
    assert hosts.read_text() == f"127.0.0.1 localhost\n{other}"
    hosts.write_text("###### CLAB-a-START ######\nno end\n")
    leftovers._without_hosts("a")
    assert hosts.read_text() == "###### CLAB-a-START ######\nno end\n"


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ('exec: "x": executable file not found in $PATH: unknown', 127),
        ("exec /x: no such file or directory", 127),
        ('exec: "/etc": is a directory: permission denied', 126),
        ("something else", 126),
    ],
)
def test_a_command_that_can_not_start(said: str, status: int) -> None:
    assert docker_exec._not_started(said).rc == status


def test_lines_of_a_terminals_log() -> None:
    assert list(_lines([b"one\r\nt", b"wo\r", b"\n", b"three"])) == ["one", "two", "three"]


def test_a_version_that_is_no_json(tmp_path: Path) -> None:
    program = tmp_path / "containerlab"
    program.write_text("#!/bin/sh\necho hello\n")
    program.chmod(0o755)
    with pytest.raises(EnvironmentProblem, match="does not show its version"):
        containerlab_tool.version(str(program))
    with pytest.raises(EnvironmentProblem):
        containerlab_tool.version(str(tmp_path / "missing"))


def container(*test: str) -> Container:
    """One that runs, with a healthcheck."""
    check = {"Test": ["CMD", *test], "Interval": 10**9, "Timeout": 2 * 10**9, "Retries": 3, "StartPeriod": 10**9}
    return {"Id": "c0", "State": {"Running": True}, "Config": {"Healthcheck": check}}


def test_a_healthcheck_that_takes_too_long_has_failed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def late(*_: object) -> Completed:
        raise CommandTimeout("node a: `slow` did not end within 2 s.", "It was killed.")

    monkeypatch.setattr(docker_exec, "run", late)
    monkeypatch.setattr(containerlab_nodes, "tail", lambda _: "")
    assert not is_healthy("a", container("slow"), 3.9)
    with pytest.raises(EnvironmentProblem, match=r"a did not become healthy.*`slow` did not end within 2 s"):
        is_healthy("a", container("slow"), 4.1)
