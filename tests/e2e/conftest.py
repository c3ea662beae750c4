"""How long end-to-end tests keep labs, labs that several files share, and what is skipped without containerlab."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from labkit.pytest import Boot, RunningLab, labs_on
from labkit.resources import topologies
from labkit.runtimes.select import CONTAINERLAB
from tests.e2e.engines import need_containerlab
from tests.e2e.in_lab import variant
from tests.side_by_side import part


class _Labs:
    """The labs that `labkit_lab` has booted."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._boots: dict[str, Boot] = {}
        self._failures = 0

    def boot(self, runtime: str, lab_file: str | Path, lab_variant: str) -> RunningLab:
        if runtime not in self._boots:
            self._boots[runtime] = self._stack.enter_context(labs_on(runtime))
        return self._boots[runtime](lab_file, lab_variant)

    def keep(self, item: pytest.Item, following: pytest.Item | None) -> None:
        """Take labs down between two tests, unless the next test may find its lab as the previous one left it."""
        before, after = item.nodeid.partition("::")[0], following and following.nodeid.partition("::")[0]
        if before == after and following and part(item.nodeid) == part(following.nodeid):
            return
        failures, self._failures = self._failures, item.session.testsfailed
        if following is None or part(item.nodeid) != part(following.nodeid) or failures != item.session.testsfailed:
            self._boots.clear()
            self._stack.close()


_labs = _Labs()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """Labs last as long as their part of the tests (`tests.side_by_side.part`)."""
    try:
        yield
    finally:
        _labs.keep(item, nextitem)


@pytest.fixture(scope="session")
def labkit_runtime(request: pytest.FixtureRequest) -> str:
    """labkit's own fixture, which would fail there."""
    if request.param == CONTAINERLAB:
        need_containerlab()
    return str(request.param)


@pytest.fixture(scope="session")
def labkit_lab(labkit_runtime: str) -> Boot:
    """labkit's own fixture keeps labs for the session; here they are many."""

    def boot(lab_file: str | Path, variant: str = "") -> RunningLab:
        return _labs.boot(labkit_runtime, lab_file, variant)

    return boot


def _copy(tmp_path_factory: pytest.TempPathFactory, name: str, changes: dict[str, str]) -> Path:
    changes = {f"name: {name}\n": f"name: {name}-e2e\n"} | changes
    return variant(topologies() / name / "lab.yml", tmp_path_factory.mktemp("lab"), changes)


@pytest.fixture(scope="session")
def overview_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The overview lab with a hold time of three seconds, so that a silent death is noticed within a test."""
    changes = {f"asn: {asn},": f"asn: {asn}, timers: {{keepalive: 1, hold: 3}}," for asn in (65001, 65002)}
    return _copy(tmp_path_factory, "overview", changes)


@pytest.fixture(scope="session")
def expressroute_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ExpressRoute lab with such a hold time."""
    connects = "connects_to: [circuit1]"
    return _copy(tmp_path_factory, "expressroute", {connects: f"{connects}, timers: {{keepalive: 1, hold: 3}}"})
