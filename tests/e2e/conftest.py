"""On a machine without Docker engine or containerlab, what would run on them is skipped aloud."""

from __future__ import annotations

import pytest

from labkit.runtimes.select import CONTAINERLAB
from tests.e2e.engines import need_containerlab


@pytest.fixture(scope="session")
def labkit_runtime(request: pytest.FixtureRequest) -> str:
    """labkit's own fixture, which would fail there."""
    if request.param == CONTAINERLAB:
        need_containerlab()
    return str(request.param)
