"""What `labkit doctor` makes of a machine's probes; the probes themselves are tried for real."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from labkit.cli import doctor as verb
from labkit.cli.app import run
from labkit.operate.labs import doctor
from labkit.runtimes.containerlab import tool as containerlab_tool
from labkit.runtimes.kernel_probe import KernelProbe

GOOD, BAD = KernelProbe("a thing", True), KernelProbe("another", False, "it is not there.", "Get it.")


@pytest.mark.parametrize(
    ("probes", "status", "says"),
    [
        ((GOOD, BAD), 0, "usable runtimes: sandbox\n"),
        ((BAD, GOOD), 0, "usable runtimes: containerlab\n"),
        ((GOOD, GOOD), 0, "usable runtimes: sandbox, containerlab\n"),
        ((BAD, BAD), 3, "usable runtimes: none\n"),
    ],
)
def test_one_runtime_is_enough(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    probes: tuple[KernelProbe, KernelProbe],
    status: int,
    says: str,
) -> None:
    sandbox, containerlab = probes
    monkeypatch.setattr(verb, "examine", lambda: {"sandbox": (sandbox,), "containerlab": (containerlab,)})
    assert run(["doctor"]) == status
    said = capsys.readouterr().out
    assert said.endswith(says)
    if BAD in probes:
        assert "✗ another: it is not there.\n       Get it.\n" in said
    assert run(["doctor", "--format", "json"]) == status
    rows = json.loads(capsys.readouterr().out)
    assert [(row["runtime"], row["ok"]) for row in rows] == [("sandbox", sandbox.ok), ("containerlab", containerlab.ok)]


def test_a_machine_without_engine_and_containerlab(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/docker.sock")
    monkeypatch.setenv("PATH", str(tmp_path))
    containerlab_tool.program.cache_clear()
    found = doctor.examine()["containerlab"]
    containerlab_tool.program.cache_clear()
    assert [(probe.name, probe.ok) for probe in found[:2]] == [("Docker engine", False), ("containerlab", False)]
    assert all("make containerlab" in probe.remedy for probe in found[:2])


def test_a_kernel_without_ipv6(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(doctor, "_IPV6", tmp_path / "missing")
    (probe,) = (probe for probe in doctor.examine()["sandbox"] if probe.name.startswith("IPv6"))
    assert not probe.ok
    assert "ipv6.disable=1" in probe.remedy
