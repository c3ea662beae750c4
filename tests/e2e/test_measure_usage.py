"""What `labkit measure failover` refuses and prints, how it counts flows, and commands that end badly.

No runtime makes a difference to that: `test_measure.py` has on each what gets there by it, and what is left there.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from labkit.pytest import Boot, RunningLab
from tests.e2e.in_lab import problems, run
from tests.e2e.test_measure import consistent, failover, labkit, measured, programs
from tests.e2e.waiting import SOON


@pytest.fixture(scope="module", autouse=True)
def lab(labkit_lab: Boot, overview_file: Path) -> RunningLab:
    return labkit_lab(overview_file)


@pytest.fixture
def whole_again(lab: RunningLab) -> Iterator[None]:
    """The test leaves the lab as it found it, and no program in its nodes."""
    yield
    assert programs(lab) == []
    assert problems(lab, SOON) == []


def test_the_table() -> None:
    done = failover("vm1", "10.250.0.10", "--seconds", "0.5", "--flows", "2")
    assert done.returncode == 0
    head, _, *rows = done.stdout.splitlines()
    assert head.split()[:3] == ["Flow", "Port", "Sent"]
    assert [row.split()[0] for row in rows] == ["1", "2"]
    assert [row.split()[-1] for row in rows] == ["yes", "yes"]
    assert "2 from vm1 to branch-host (10.250.0.10), a packet every 5 ms" in done.stderr
    assert "0 forward and 0 backward of" in done.stderr
    assert "all flows recovered." in done.stderr


@pytest.mark.usefixtures("whole_again")
def test_each_flow_is_counted_by_itself() -> None:
    """A filter that drops what comes from odd ports."""
    rules = "add table ip odd; add chain ip odd in { type filter hook input priority 0; }"
    rules += "; add rule ip odd in udp sport & 1 == 1 drop"
    script = f"nft {shlex.quote(rules)}; sleep 0.3; nft delete table ip odd"  # the length of the outage
    found = measured("vm1", "vm2", "--", *shlex.split(labkit("exec", "vm2", "--", "sh", "-c", script)))
    for flow in found["flows"]:
        consistent(flow)
        assert (flow["forward"]["lost"] > 0) == (flow["source_port"] % 2 == 1)
        assert flow["backward"]["lost"] == 0


@pytest.mark.usefixtures("whole_again")
def test_a_program_that_is_held_up_loses_nothing() -> None:
    """As on a busy machine, for longer than a packet may take there and back."""
    whose = "ss -uanpH src 10.1.10.5 | grep -o 'pid=[0-9]*' | sort -u | cut -d= -f2"  # of the sockets of the flows
    script = f"set -e; set -- $({whose}); kill -STOP $1; sleep 2.5; kill -CONT $1"  # how long it is held
    held = shlex.split(labkit("exec", "vm2", "--", "sh", "-c", script))
    found = measured("vm1", "vm2", "--settle", "0.5", "--", *held)
    assert found["recovered"]
    for flow in found["flows"]:
        assert (flow["forward"]["lost"], flow["backward"]["lost"], flow["unknown"]) == (0, 0, 0)


@pytest.mark.usefixtures("whole_again")
@pytest.mark.parametrize(
    ("node", "to", "says"),
    [
        ("branch-host", "10.1.10.4", "branch-host receives the packets of vm1, but none of its answers comes back."),
        ("vm1", "10.250.0.10", "no packet from vm1 reaches branch-host (10.250.0.10)."),
    ],
)
def test_no_answer(lab: RunningLab, node: str, to: str, says: str) -> None:
    run(lab, node, "ip", "route", "add", "blackhole", to)
    try:
        done = failover("vm1", "branch", "--", "touch", "/nothing/may/happen")
    finally:
        run(lab, node, "ip", "route", "del", "blackhole", to)
    assert (done.returncode, done.stdout) == (1, "")
    message, remedy = done.stderr.splitlines()[-2:]
    assert message == says
    assert "labkit trace" in remedy


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["vm9", "vm1"], "vm9 is not a virtual machine, NVA or site of lab overview-e2e."),
        (["vm1", "vm9"], "vm9 is not a machine of lab overview-e2e, nor the address of one."),
        (["vm1", "vm2", "--", "no-such-command"], "there is no command no-such-command on this machine."),
        (["vm1", "vm2", "--flows", "64"], "64 flows with a packet every 5 ms are 12800 packets a second; at most 5000"),
        (["vm1", "vm2", "--within", "3"], "--within is for a measurement with a command."),
        (["vm1", "vm2", "--seconds", "3", "--", "true"], "--seconds is for a measurement without a command."),
        (["vm1", "vm2", "--settle", "nan"], "nan s can't be measured."),
        (["vm1"], "labkit measure failover: Missing argument 'TO'."),
    ],
)
def test_bad_usage(words: list[str], says: str) -> None:
    done = failover(*words)
    assert (done.returncode, done.stdout) == (2, "")
    first, *rest = done.stderr.splitlines()
    assert first.startswith(says)
    assert rest


@pytest.mark.usefixtures("whole_again")
def test_a_command_that_fails() -> None:
    done = failover("vm1", "branch", "--flows", "1", "--settle", "0.2", "--", "sh", "-c", "echo oh no; exit 3")
    assert done.returncode == 1
    assert "oh no" in done.stderr
    assert done.stdout.splitlines()[-1].endswith("yes"), "what was measured is shown all the same"
    assert "The command failed: exit status 3." in done.stderr


@pytest.mark.usefixtures("whole_again")
def test_a_command_that_does_not_end() -> None:
    done = failover("vm1", "branch", "--flows", "1", "--within", "1", "--", "sh", "-c", "echo $$; exec sleep 1000")
    assert done.returncode == 1
    assert "The command did not end in time and was stopped." in done.stderr
    (pid,) = [line for line in done.stderr.splitlines() if line.isdigit()]
    assert not Path(f"/proc/{pid}").exists()
