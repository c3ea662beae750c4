"""Whether this machine has a Docker engine and containerlab: where it has not, tests are skipped aloud."""

from __future__ import annotations

import os

import pytest

from labkit.errors import EnvironmentProblem
from labkit.runtimes import containerlab_tool
from labkit.runtimes.docker_engine import engine

REQUIRE = "LABKIT_REQUIRE"
"""The variable that names what must not be skipped, such as `containerlab`."""


def need_containerlab() -> None:
    """Skip the test, with the reason, on a machine without; fail it if LABKIT_REQUIRE says so."""
    try:
        engine()
        containerlab_tool.program()
    except EnvironmentProblem as problem:
        if "containerlab" in os.environ.get(REQUIRE, "").replace(",", " ").split():
            pytest.fail(f"{REQUIRE} asks for containerlab. {problem.message} {problem.remedy}")
        pytest.skip(f"{problem.message} {problem.remedy}")
