"""`labkit measure failover` in real kernels: what it counts is what was lost, in the direction that lost it."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from labkit.pytest import Boot, RunningLab
from tests.e2e.in_lab import problems
from tests.e2e.waiting import SOON, eventually

REPOSITORY = Path(__file__).resolve().parent.parent.parent
NAME = "overview-e2e"
LABKIT = [sys.executable, "-m", "labkit.cli.main"]
ENDS = ("vm1", "vm2", "branch-host")
INTERVAL = 5.0
WITHIN = 120.0


@pytest.fixture(scope="module")
def lab(labkit_lab: Boot, overview_file: Path) -> RunningLab:
    return labkit_lab(overview_file)


@pytest.fixture(autouse=True)
def _whole_again(lab: RunningLab) -> Iterator[None]:
    """Every test leaves the lab as it found it, and no program in its nodes."""
    yield
    assert programs(lab) == []
    assert problems(lab, SOON) == []


def programs(lab: RunningLab) -> list[str]:
    """The nodes in which something measures."""
    return [node for node in ENDS if lab.client.run(node, "pgrep", "-f", "CLOCK_MONOTONIC").rc == 0]


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": os.pathsep.join((str(REPOSITORY), *filter(None, sys.path)))}


def arguments(*words: str) -> list[str]:
    return [*LABKIT, "measure", "failover", "--lab", NAME, *words]


def failover(*words: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        arguments(*words), env=environment(), capture_output=True, text=True, check=False, timeout=WITHIN
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


def measured(*words: str, status: int = 0) -> dict[str, Any]:
    done = failover(*words, "--format", "json") if "--" not in words else failover("--format", "json", *words)
    assert done.returncode == status, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def labkit(*words: str) -> str:
    """A verb for a shell."""
    return shlex.join([*LABKIT, words[0], "--lab", NAME, *words[1:]])


def consistent(flow: dict[str, Any]) -> None:
    """Packets lost in a row are time without packets, and nothing is lost twice."""
    assert flow["forward"]["lost"] + flow["backward"]["lost"] <= flow["sent"]
    for way in (flow["forward"], flow["backward"]):
        assert way["longest_packets"] <= way["lost"]
        # A sender that is held up sends fewer packets, never more; on a busy machine it is, for a while.
        assert way["longest_ms"] >= way["longest_packets"] * INTERVAL * 0.95 - INTERVAL
        assert way["longest_ms"] <= way["longest_packets"] * INTERVAL * 2 + 10_000


@pytest.mark.both_runtimes
def test_nothing_breaks() -> None:
    for source, target in (("vm1", "branch"), ("branch", "vm2"), ("vm2", "internet")):
        found = measured(source, target, "--seconds", "1", "--flows", "3")
        assert found["recovered"]
        assert [f["flow"] for f in found["flows"]] == [1, 2, 3]
        assert len({f["source_port"] for f in found["flows"]}) == 3
        for flow in found["flows"]:
            assert (flow["forward"]["lost"], flow["backward"]["lost"]) == (0, 0), (source, target)
            assert 20 < flow["sent"] <= 1.5 / 0.005, "some 200 in a second, fewer on a busy machine"


@pytest.mark.both_runtimes
def test_power_off_and_on() -> None:
    script = f"{labkit('stop', 'sdwan-nva')} && {labkit('start', 'sdwan-nva')}"
    found = measured("vm1", "branch", "--", "sh", "-c", script)
    assert found["recovered"]
    assert found["command_status"] == 0
    for flow in found["flows"]:
        consistent(flow)
        assert 20 < flow["forward"]["lost"] < flow["sent"], "not less than it takes to boot a router"
        assert 0 < flow["forward"]["began_s"] < 30
        assert 100 < flow["forward"]["longest_ms"] < found["seconds"] * 1000 - 1900, "two seconds without loss end it"


def test_a_silent_death_lasts_for_ever_where_there_is_no_other_way() -> None:
    try:
        found = measured("vm1", "branch", "--within", "8", "--", *shlex.split(labkit("stop", "sdwan-nva")), status=1)
    finally:
        subprocess.run(shlex.split(labkit("start", "sdwan-nva")), env=environment(), check=True, capture_output=True)
    assert not found["recovered"]
    for flow in found["flows"]:
        consistent(flow)
        assert not flow["recovered"]
        assert flow["forward"]["longest_ms"] + flow["forward"]["began_s"] * 1000 == pytest.approx(
            found["seconds"] * 1000, abs=20
        ), "it lasts until the end"


@pytest.mark.parametrize(
    ("node", "to", "loses", "keeps"),
    [("branch-host", "10.1.10.4", "backward", "forward"), ("vm1", "10.250.0.10", "forward", "backward")],
)
def test_one_direction(node: str, to: str, loses: str, keeps: str) -> None:
    route = f"route add blackhole {to}; sleep 0.5; ip route del blackhole {to}"  # the length of the outage
    command = shlex.split(labkit("exec", node, "--", "sh", "-c", f"ip {route}"))
    found = measured("vm1", "branch", "--", *command)
    assert found["recovered"]
    for flow in found["flows"]:
        consistent(flow)
        assert flow[keeps] == {"lost": 0, "longest_ms": 0.0, "longest_packets": 0, "began_s": None}
        assert flow[loses]["lost"] == flow[loses]["longest_packets"], "one outage"
        assert 490 < flow[loses]["longest_ms"] < 10_000


def test_an_end_that_is_off() -> None:
    subprocess.run(shlex.split(labkit("stop", "branch-host")), env=environment(), check=True, capture_output=True)
    try:
        done = failover("vm1", "branch")
        assert (done.returncode, done.stdout) == (2, "")
        assert "branch-host" in done.stderr
    finally:
        subprocess.run(shlex.split(labkit("start", "branch-host")), env=environment(), check=True, capture_output=True)


@pytest.mark.both_runtimes
@pytest.mark.parametrize("node", ["branch-host", "vm1"])
def test_an_end_that_goes_off(node: str) -> None:
    done = failover("vm1", "branch", "--", *shlex.split(labkit("stop", node)))
    subprocess.run(shlex.split(labkit("start", node)), env=environment(), check=True, capture_output=True)
    assert (done.returncode, done.stdout) == (1, "")
    message, remedy = done.stderr.splitlines()[-2:]
    assert message.startswith(f"the measurement on {node} ended early: "), done.stderr
    assert "Both ends must stay on" in remedy


@pytest.mark.both_runtimes
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interruption_leaves_nothing(lab: RunningLab, number: signal.Signals) -> None:
    """Killed at once, labkit can end nothing: the programs see that it is gone."""
    process = subprocess.Popen(
        arguments("vm1", "branch", "--", "sh", "-c", "echo $$; exec sleep 1000"),
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr
    pid = next(line for line in process.stderr if line.strip().isdigit()).strip()
    try:
        eventually(lambda: programs(lab), lambda there: there == ["vm1", "branch-host"])
        process.send_signal(number)
        out, err = process.communicate(timeout=SOON)
        assert out == ""
        if number is not signal.SIGKILL:
            assert (process.returncode, err) == (130, "interrupted.\n")
            assert not Path(f"/proc/{pid}").exists()
            assert programs(lab) == []
        eventually(lambda: programs(lab), lambda left: left == [])
    finally:
        if number is signal.SIGKILL:
            os.kill(int(pid), signal.SIGKILL)  # it is nobody's now
