"""The labs of captures boot on the sandbox alone; the proofs among them are checked on both runtimes by tests/e2e."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from labkit.pytest import Boot, labs_on
from labkit.runtimes.select import SANDBOX


@pytest.fixture(scope="module")
def booted() -> Iterator[Boot]:
    with labs_on(SANDBOX) as boot:
        yield boot
