"""`labkit status` of a lab with a load balancer, whose controller the test plays."""

from __future__ import annotations

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
