"""Pytest fixtures for those who test their own appliances and designs in a lab.

`labkit` comes with this plugin; a test asks for a lab by its file:

    def test_branch_is_reached(labkit_lab):
        lab = labkit_lab("my.lab.yml")
        assert lab.client.run("vm1", "ping", "-c", "1", "10.250.0.10").rc == 0

A lab boots once a session, whoever asks for it, and is taken down at the end. `--labkit-runtime` says on which runtime;
with more than one (`sandbox,containerlab`) every such test runs on each, on one after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from labkit.lab.model import Lab
from labkit.operate import lifecycle
from labkit.operate.client import LabClient
from labkit.operate.verify import Outcome, verify
from labkit.runtimes.select import RUNTIMES, SANDBOX


@dataclass(frozen=True, slots=True)
class RunningLab:
    """A lab that runs for the session: the lab as its file says, and the client to reach it."""

    lab: Lab
    client: LabClient

    def verify(self, within: float | None = None) -> list[Outcome]:
        """Check every proof and the oracle; see `labkit.operate.verify.verify`."""
        return verify(self.lab, self.client, within=within)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--labkit-runtime`."""
    words = f"the runtimes that labs boot on, by commas: {', '.join(RUNTIMES)} (default: {SANDBOX})"
    parser.addoption("--labkit-runtime", default=SANDBOX, help=words)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what asks for a lab on each runtime of `--labkit-runtime`."""
    if "labkit_runtime" in metafunc.fixturenames:
        names: str = metafunc.config.getoption("--labkit-runtime")
        runtimes = [name.strip() for name in names.split(",")]
        for name in runtimes:
            if name not in RUNTIMES:
                raise pytest.UsageError(f"--labkit-runtime: there is no runtime {name!r}: {', '.join(RUNTIMES)}")
        metafunc.parametrize("labkit_runtime", runtimes, indirect=True, scope="session")


@pytest.fixture(scope="session")
def labkit_runtime(request: pytest.FixtureRequest) -> str:
    """The name of the runtime that labs boot on."""
    return str(request.param)


@pytest.fixture(scope="session")
def labkit_lab(labkit_runtime: str) -> Iterator[Callable[[str | Path], RunningLab]]:
    """A function that boots a lab (a file, or a name of labkit's own) and returns it, once a session per lab."""
    running: dict[str, RunningLab] = {}
    with ExitStack() as taken_down:

        def boot(lab_file: str | Path) -> RunningLab:
            key = str(lab_file)
            if key not in running:
                result = lifecycle.up(key, labkit_runtime, lifecycle.Silent())
                running[key] = RunningLab(result.lab, LabClient(result.record))
                if result.fresh:
                    taken_down.callback(lifecycle.down, result.record)
                problems = [f"{o.title}: {o.problem}" for o in result.outcomes if not o.ok]
                if problems:
                    pytest.fail(f"lab {result.lab.name} does not hold:\n" + "\n".join(problems))
            return running[key]

        yield boot
