"""The containerlab runtime as an ordinary user who may use Docker, with a lab of one's own and with somebody else's."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from labkit.operate.labs import lifecycle
from labkit.operate.records import record as records
from labkit.runtimes.containerlab.docker_engine import socket_path
from labkit.runtimes.containerlab.runtime import ContainerlabRuntime
from labkit.runtimes.image import images
from labkit.runtimes.select import CONTAINERLAB, runtime
from tests.e2e.engines import host, need_containerlab
from tests.e2e.in_lab import lab_file, variant

REPOSITORY = Path(__file__).resolve().parent.parent.parent
NOBODY = 65534
LAB = "somebody-elses"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_whoever_may_use_docker_may_use_labs_there(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need_containerlab()
    before = host()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "hidden"))
    file = variant(lab_file("small"), tmp_path, {"name: small": f"name: {LAB}"})
    made = lifecycle.up(str(file), runtime(CONTAINERLAB), lifecycle.Silent())
    try:
        assert [outcome.problem for outcome in made.outcomes if not outcome.ok] == []
        done = as_nobody(request)
        assert done.returncode == 0, done.stdout + done.stderr
        assert re.search(r"^2 passed in ", done.stdout, re.MULTILINE), done.stdout
        assert not any(LAB in name.name for name in Path("/run/netns").iterdir()), "nobody has taken it down"
    finally:
        lifecycle.down(made.record)
        for name in ContainerlabRuntime().labs():
            if name.startswith(LAB):
                ContainerlabRuntime().destroy(name)
    assert records.everything() == []
    assert host() == before


def as_nobody(request: pytest.FixtureRequest) -> subprocess.CompletedProcess[str]:
    """Run `ordinary_user.py` as a user who is in Docker's group, and whose containerlab has root's rights."""
    layers = images.ensure(images.node_image()).layers
    by_name = ["-p", "labkit.pytest"] if request.config.pluginmanager.has_plugin("labkit.pytest") else []
    # Where both nobody and the engine can look.
    outside = Path("/tmp") / f"labkit-nobody-{os.getpid()}"
    outside.mkdir(mode=0o700)
    containerlab = shutil.which("containerlab")
    assert containerlab
    try:
        return subprocess.run(
            [
                sys.executable, "-m", "tests.e2e.as_user", "--outside", str(outside), "--setuid", containerlab,
                "--group", str(Path(socket_path()).stat().st_gid), str(NOBODY), *map(str, layers),
                "--", "-q", *by_name, "tests/e2e/ordinary_user.py",
            ],
            capture_output=True, text=True, check=False, cwd=REPOSITORY,
            env=os.environ
            | {"PYTHONPATH": os.pathsep.join((str(REPOSITORY), *filter(None, sys.path))), "LABKIT_TEST_LAB": LAB},
        )  # fmt: skip
    finally:
        shutil.rmtree(outside)
