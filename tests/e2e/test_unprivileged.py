"""Whole labs as somebody with no privileges, no subordinate ids and no name in /etc/passwd: what root's tests hide."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from labkit.runtimes.image import images
from tests.e2e.beds import REPOSITORY
from tests.e2e.test_sandbox_runtime import host
from tests.e2e.waiting import eventually

STRANGER = 64124

ESSENTIAL = (
    "test_overview.py::test_every_proof_holds",
    "test_overview.py::test_vms_hold_learned_routes_under_the_agents_own_protocol",
    "test_overview.py::test_withdraw_and_announce_again",
    "test_overview.py::test_power_off_is_silent_until_the_hold_time_ends",
    "test_overview.py::test_self_loop_without_the_user_defined_route",
    "test_peering.py::test_every_proof_holds",
    "test_peering.py::test_the_same_private_address_in_two_networks_reaches_the_internet_at_once",
)
"""Sessions, routes, packets, a silent death and its mending; every kind of node, every kind of rule in them."""


def processes_of(user: int) -> list[str]:
    """The commands of all processes on this machine that run as `user`."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if re.search(rf"^Uid:.*\t{user}\b", (folder / "status").read_text(), re.MULTILINE):
                found.append((folder / "cmdline").read_text().replace("\0", " "))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


@pytest.mark.skipif(os.geteuid() != 0, reason="the whole suite runs without privileges already")
def test_labs_run_without_privileges(request: pytest.FixtureRequest) -> None:
    layers = images.ensure(images.node_image()).layers
    by_name = ["-p", "labkit.pytest"] if request.config.pluginmanager.has_plugin("labkit.pytest") else []
    helper = [sys.executable, "-m", "tests.e2e.as_user", str(STRANGER), *map(str, layers)]
    before = host()
    done = subprocess.run(
        [*helper, "--", "-q", "--labkit-runtime=sandbox", *by_name, *(f"tests/e2e/{test}" for test in ESSENTIAL)],
        capture_output=True,
        text=True,
        check=False,
        cwd=REPOSITORY,
        env=os.environ | {"PYTHONPATH": os.pathsep.join((str(REPOSITORY), *filter(None, sys.path)))},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(rf"^{len(ESSENTIAL)} passed in ", done.stdout, re.MULTILINE), done.stdout
    assert eventually(lambda: processes_of(STRANGER), lambda found: not found) == []
    after = host()
    for what, found in before.items():
        assert after[what] == found, f"{what} changed"
