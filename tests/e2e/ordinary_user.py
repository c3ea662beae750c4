"""What an ordinary user who may use Docker does with labs; `test_docker_user.py` runs this as one."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from labkit.paths import state_home
from tests.e2e.in_lab import lab_file, variant

LAB = os.environ["LABKIT_TEST_LAB"]
"""A small lab, as root has brought it up; its record and its folder are hidden from us."""
OWN = f"{LAB}-not"


def labkit(*arguments: str, status: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "labkit.cli.main", *arguments], capture_output=True, text=True, check=False, timeout=180
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


def whole(text: str) -> bool:
    """Whether this is what `verify` prints of a lab in which everything is as it should be."""
    return re.search(r"all \d+ checks passed", text) is not None


def test_a_lab_of_ones_own(tmp_path: Path) -> None:
    file = variant(lab_file("small"), tmp_path, {"name: small": f"name: {OWN}"})
    assert f"{OWN} is up" in labkit("up", str(file), "--runtime", "containerlab")
    labkit("stop", "vm1")
    labkit("start", "vm1")
    assert whole(labkit("verify", str(file)))
    assert f"{OWN} is down" in labkit("down")
    assert [path for path in (state_home() / "labs").iterdir() if not path.name.startswith(".")] == []


def test_every_verb_on_a_lab_of_somebody_elses() -> None:
    listed = json.loads(labkit("list", "--format", "json"))
    assert [(lab["lab"], lab["runtime"], lab["state"]) for lab in listed] == [(LAB, "containerlab", "running")]
    assert "not yours" in labkit("list")
    assert f"{LAB} on containerlab: running" in labkit("status")
    assert whole(labkit("verify", LAB))
    assert "10.250.0.0/16" in labkit("effective-routes", "vm1")
    assert "10.250.0.0/16" in labkit("learned-routes", "rs1", "nva1")
    assert "10.1.0.0/16" in labkit("advertised-routes", "rs1", "nva1", "--lab", LAB)
    assert "10.250.0.0/16 " in labkit("routes", "vm1")
    assert "10.1.0.0/16" in labkit("routes", "nva1", "--bgp")
    assert "delivered" in labkit("trace", "vm1", "nva1")
    assert labkit("exec", "vm1", "--", "id", "-u") == "0\n"
    assert "10.250.0.0/16  — → VirtualNetworkGateway 10.1.1.4" in labkit("events")
    labkit("logs", "nva1")
    labkit("route-table", "remove", "direct", "192.0.2.0/24")
    assert "direct" in labkit("route-table", "show")
    labkit("verify", "--within", "0", status=1)
    labkit("route-table", "add", "direct", "192.0.2.0/24", "None")
    labkit("stop", "vm1")
    assert "stopped" in labkit("status")
    labkit("start", "vm1")
    assert whole(labkit("verify"))
    assert "no lab of yours runs here" in labkit("down")
    assert "no lab of yours runs here" in labkit("down", "--all")
    assert f"{LAB} is down" in labkit("down", LAB)
    assert json.loads(labkit("list", "--format", "json")) == []
