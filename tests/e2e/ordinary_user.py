"""What an ordinary user who may use Docker does with labs; `test_docker_user.py` runs this as one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from labkit.paths import state_home
from labkit.resources import topologies

LAB = os.environ["LABKIT_TEST_LAB"]
"""The overview lab under another name, as root has brought it up; its record and its folder are hidden from us."""
OWN = f"{LAB}-not"


def labkit(*arguments: str, status: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "labkit.cli.main", *arguments], capture_output=True, text=True, check=False, timeout=180
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_a_lab_of_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "own.lab.yml"
    file.write_text((topologies() / "overview" / "lab.yml").read_text().replace("name: overview", f"name: {OWN}", 1))
    assert "45 proofs" in labkit("up", str(file), "--runtime", "containerlab")
    labkit("stop", "vm1")
    labkit("start", "vm1")
    assert "all 44 checks passed" in labkit("verify", str(file))
    assert f"{OWN} is down" in labkit("down")
    assert [path for path in (state_home() / "labs").iterdir() if not path.name.startswith(".")] == []


def test_every_verb_on_a_lab_of_somebody_elses() -> None:
    listed = json.loads(labkit("list", "--format", "json"))
    assert [(lab["lab"], lab["runtime"], lab["state"]) for lab in listed] == [(LAB, "containerlab", "running")]
    assert "not yours" in labkit("list")
    assert f"{LAB} on containerlab: running" in labkit("status")
    assert "all 44 checks passed" in labkit("verify", LAB)
    assert "10.250.0.0/16" in labkit("effective-routes", "vm1")
    assert "10.250.0.0/16" in labkit("learned-routes", "rs1", "sdwan-nva")
    assert "10.1.0.0/16" in labkit("advertised-routes", "rs1", "sdwan-nva", "--lab", LAB)
    assert "10.250.0.0/16 " in labkit("routes", "vm1")
    assert "10.1.0.0/16" in labkit("routes", "branch", "--bgp")
    assert "delivered" in labkit("trace", "vm1", "internet")
    assert labkit("exec", "vm1", "--", "id", "-u") == "0\n"
    assert "10.250.0.0/16  — → VirtualNetworkGateway 10.1.1.4" in labkit("events")
    labkit("logs", "sdwan-nva")
    labkit("route-table", "remove", "direct-internet", "0.0.0.0/0")
    assert "direct-internet" in labkit("route-table", "show")
    labkit("verify", "--within", "0", status=1)
    labkit("route-table", "add", "direct-internet", "0.0.0.0/0", "Internet")
    labkit("stop", "vm1")
    assert "stopped" in labkit("status")
    labkit("start", "vm1")
    assert "all 44 checks passed" in labkit("verify")
    assert "no lab of yours runs here" in labkit("down")
    assert "no lab of yours runs here" in labkit("down", "--all")
    assert f"{LAB} is down" in labkit("down", LAB)
    assert json.loads(labkit("list", "--format", "json")) == []
