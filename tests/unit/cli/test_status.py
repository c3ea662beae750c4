"""`labkit status` of a lab with a load balancer, whose controller the test plays."""

from __future__ import annotations

import subprocess
import sys
from ipaddress import IPv4Address
from types import SimpleNamespace

import pytest

from labkit.cli import status
from labkit.cli.app import run
from labkit.feed.status import BackendStatus, PlatformStatus


def test_backends_have_rows_of_their_own(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    frontend, address = IPv4Address("10.1.1.9"), IPv4Address("10.1.1.4")
    backends = (
        BackendStatus("lb1", frontend, "nva1", address, "Down", "refused"),
        BackendStatus("lb1", frontend, "nva1", address, "Unknown", ""),
    )
    platform = PlatformStatus("lab", backends=backends, programmed=True)
    record = SimpleNamespace(lab="lab", title="lab", runtime="sandbox", created=0.0)
    monkeypatch.setattr(status, "running", lambda _name: (record, SimpleNamespace(state="running", nodes=[])))
    monkeypatch.setattr(status, "LabClient", lambda _record: SimpleNamespace(fetch=lambda _kind, _path: platform))
    assert run(["status"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[-2:] == [
        ["lb1", "10.1.1.9", "nva1", "Down", "refused"],
        ["lb1", "10.1.1.9", "nva1", "Unknown", "-"],
    ]


def test_it_loads_little() -> None:
    """It is asked again and again by people who wait: pydantic alone takes longer to load than all the rest."""
    code = "import sys, labkit.cli.status; print(sorted({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert "'labkit'" in done.stdout
    assert {name for name in ("pydantic", "aiohttp", "docker", "pyroute2") if f"'{name}'" in done.stdout} == set()
