"""End-to-end tests: their order, and what is skipped aloud on a machine without Docker engine or containerlab."""

from __future__ import annotations

import pytest

from labkit.runtimes.select import CONTAINERLAB
from tests.e2e.engines import need_containerlab


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Labs stay up until the last test that might ask for them: what needs none goes first, undisturbed."""
    items.sort(key=lambda item: "labkit_runtime" in getattr(item, "fixturenames", ()))


@pytest.fixture(scope="session")
def labkit_runtime(request: pytest.FixtureRequest) -> str:
    """labkit's own fixture, which would fail there."""
    if request.param == CONTAINERLAB:
        need_containerlab()
    return str(request.param)
