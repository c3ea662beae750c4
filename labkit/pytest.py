"""Pytest fixtures for those who test their own appliances and designs in a lab.

`labkit` comes with this plugin; a test asks for a lab by its file:

    def test_branch_is_reached(labkit_lab):
        lab = labkit_lab("my.lab.yml")
        assert lab.client.run("vm1", "ping", "-c", "1", "10.250.0.10").rc == 0

A lab boots once per session, for all tests that ask for it, and is taken down at the end. `--labkit-runtime` chooses
the runtime; with more than one (`sandbox,containerlab`) every such test runs on each of them in turn.

`labkit_lab("my.lab.yml", variant="active-passive")` boots a variant of the lab. The variants of a lab share its name,
so only one of them runs at a time: asking for another takes the first one down.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest

from labkit.lab.model import Lab
from labkit.operate.labs import lifecycle
from labkit.operate.look.client import LabClient
from labkit.operate.records.record import Record
from labkit.operate.verify.run import Outcome, verify
from labkit.runtimes.image import images
from labkit.runtimes.select import RUNTIMES, SANDBOX
from labkit.runtimes.select import runtime as runtime_named


@dataclass(frozen=True, slots=True)
class RunningLab:
    """A lab that runs for the session: the lab by its file, and the client that reaches it."""

    lab: Lab
    client: LabClient

    def verify(self, within: float | None = None) -> list[Outcome]:
        """Check every proof and the oracle; see `labkit.operate.verify.run.verify`."""
        return verify(self.lab, self.client, within=within)


class Boot(Protocol):
    """The fixture `labkit_lab`: boots a lab (a file, or the name of a bundled lab) in a variant, "" for its base."""

    def __call__(self, lab_file: str | Path, variant: str = "") -> RunningLab:
        """The running lab; it is booted once, unless another variant of it was booted meanwhile."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--labkit-runtime`."""
    words = f"the runtimes that labs boot on, separated by commas: {', '.join(RUNTIMES)} (default: {SANDBOX})"
    parser.addoption("--labkit-runtime", default=SANDBOX, help=words)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what asks for a lab on each runtime of `--labkit-runtime`."""
    if "labkit_runtime" in metafunc.fixturenames:
        names: str = metafunc.config.getoption("--labkit-runtime")
        runtimes = [name.strip() for name in names.split(",")]
        for name in runtimes:
            if name not in RUNTIMES:
                raise pytest.UsageError(f"--labkit-runtime: unknown runtime: {name!r}; known: {', '.join(RUNTIMES)}")
        metafunc.parametrize("labkit_runtime", runtimes, indirect=True, scope="session")


@pytest.fixture(scope="session")
def labkit_runtime(request: pytest.FixtureRequest) -> str:
    """The name of the runtime that labs boot on."""
    return str(request.param)


@pytest.fixture(scope="session")
def labkit_lab(labkit_runtime: str) -> Iterator[Boot]:
    """A function that boots a lab and returns it, once a session per lab; see `Boot`."""
    with labs_on(labkit_runtime) as boot:
        yield boot


@contextmanager
def labs_on(runtime: str) -> Iterator[Boot]:
    """Boot labs on a runtime for the time of the context: for a fixture like `labkit_lab` of another scope."""
    labs = _Labs(runtime)
    try:
        yield labs.boot
    finally:
        labs.all_down()


class _Labs:
    """The running labs, by lab file and variant."""

    def __init__(self, runtime: str) -> None:
        self.runtime = runtime
        self.running: dict[tuple[str, str], RunningLab] = {}
        self.own: list[Record] = []

    def boot(self, lab_file: str | Path, variant: str = "") -> RunningLab:
        asked = str(lab_file), variant
        if asked not in self.running:
            self._make_way(asked[0])
            engine = runtime_named(self.runtime)
            with engine.prepare(images.node_image().reference):
                result = lifecycle.up(asked[0], engine, lifecycle.Silent(), variant)
            self.running[asked] = RunningLab(result.lab, LabClient(result.record))
            if result.fresh:
                self.own.append(result.record)
            problems = [f"{o.title}: {o.problem}" for o in result.outcomes if not o.ok]
            if problems:
                pytest.fail(f"lab {result.record.title}: checks failed:\n" + "\n".join(problems))
        return self.running[asked]

    def _make_way(self, lab_file: str) -> None:
        """Take down other variants of a lab, but none that ran before the session."""
        for asked, lab in list(self.running.items()):
            if asked[0] == lab_file and lab.client.record in self.own:
                lifecycle.down(lab.client.record)
                self.own.remove(lab.client.record)
                del self.running[asked]

    def all_down(self) -> None:
        with ExitStack() as each:
            for record in self.own:
                each.callback(lifecycle.down, record)
