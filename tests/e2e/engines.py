"""Whether this machine has a Docker engine and containerlab, and what they leave on it.

Where it has not, tests are skipped aloud.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from labkit.errors import EnvironmentProblem
from labkit.runtimes.containerlab import leftovers
from labkit.runtimes.containerlab import tool as containerlab_tool
from labkit.runtimes.containerlab.docker_engine import engine
from tests.side_by_side import must_be_at_the_engine

REQUIRE = "LABKIT_REQUIRE"
"""The variable that names what must not be skipped, such as `containerlab`."""


def need_containerlab(*, with_its_own_engine: bool = False) -> None:
    """Skip the test, with the reason, on a machine without; fail it if LABKIT_REQUIRE has it."""
    if not with_its_own_engine:
        must_be_at_the_engine()
    try:
        engine()
        containerlab_tool.program()
    except EnvironmentProblem as problem:
        if "containerlab" in os.environ.get(REQUIRE, "").replace(",", " ").split():
            pytest.fail(f"{REQUIRE} asks for containerlab. {problem.message} {problem.remedy}")
        pytest.skip(f"{problem.message} {problem.remedy}")


def host() -> dict[str, object]:
    """Everything of the host that a lab might leave something in."""
    client = engine()
    return {
        "containers": sorted(each["Id"] for each in client.containers(all=True)),
        "networks": sorted(each["Name"] for each in client.networks()),
        "interfaces": sorted(path.name for path in Path("/sys/class/net").iterdir()),
        "namespaces": sorted(path.name for path in Path("/run/netns").glob("*")),
        "hosts": Path("/etc/hosts").read_text(),
        "ssh": sorted(path.name for path in Path("/etc/ssh/ssh_config.d").glob("*")),
        "settings": [path.read_text() for path in leftovers.SETTINGS],
    }
