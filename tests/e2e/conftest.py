"""How long end-to-end tests keep labs, and what is skipped aloud without a Docker engine or containerlab."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from labkit.pytest import Boot, labs_on
from labkit.runtimes.select import CONTAINERLAB
from tests.e2e.engines import need_containerlab


@pytest.fixture(scope="session")
def labkit_runtime(request: pytest.FixtureRequest) -> str:
    """labkit's own fixture, which would fail there."""
    if request.param == CONTAINERLAB:
        need_containerlab()
    return str(request.param)


@pytest.fixture(scope="module")
def labkit_lab(labkit_runtime: str) -> Iterator[Boot]:
    """labkit's own fixture keeps labs for the session. No two modules share one here, and they are many."""
    with labs_on(labkit_runtime) as boot:
        yield boot
