"""What `labkit measure failover` refuses, and commands that end badly. No runtime makes a difference to that."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from labkit.pytest import RunningLab, labs_on
from labkit.resources import topologies
from labkit.runtimes.select import SANDBOX
from tests.e2e.in_lab import variant
from tests.e2e.test_measure import NAME, failover


@pytest.fixture(scope="module", autouse=True)
def _lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    file = variant(
        topologies() / "overview" / "lab.yml", tmp_path_factory.mktemp("lab"), {"name: overview": f"name: {NAME}"}
    )
    with labs_on(SANDBOX) as boot:
        yield boot(file)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["vm9", "vm1"], "vm9 is no virtual machine, NVA or site of lab measure."),
        (["vm1", "vm9"], "vm9 is no machine of lab measure, nor an address of one."),
        (["vm1", "vm2", "--", "no-such-command"], "there is no command no-such-command on this machine."),
        (["vm1", "vm2", "--flows", "64"], "64 flows with a packet every 5 ms are 12800 packets a second; 5000 are"),
        (["vm1", "vm2", "--within", "3"], "--within is for a measurement with a command."),
        (["vm1", "vm2", "--seconds", "3", "--", "true"], "--seconds is for a measurement without a command."),
        (["vm1", "vm2", "--settle", "nan"], "nan s is no time to measure."),
        (["vm1"], "labkit measure failover: Missing argument 'TO'."),
    ],
)
def test_bad_usage(words: list[str], says: str) -> None:
    done = failover(*words)
    assert (done.returncode, done.stdout) == (2, "")
    first, *rest = done.stderr.splitlines()
    assert first.startswith(says)
    assert rest


def test_a_command_that_fails() -> None:
    done = failover("vm1", "branch", "--flows", "1", "--settle", "0.2", "--", "sh", "-c", "echo oh no; exit 3")
    assert done.returncode == 1
    assert "oh no" in done.stderr
    assert done.stdout.splitlines()[-1].endswith("yes"), "what was measured is shown all the same"
    assert "The command failed: exit status 3." in done.stderr


def test_a_command_that_does_not_end() -> None:
    done = failover("vm1", "branch", "--flows", "1", "--within", "1", "--", "sh", "-c", "echo $$; exec sleep 1000")
    assert done.returncode == 1
    assert "The command did not end in time; it was ended." in done.stderr
    (pid,) = [line for line in done.stderr.splitlines() if line.isdigit()]
    assert not Path(f"/proc/{pid}").exists()
