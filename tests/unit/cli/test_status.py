"""`labkit status` of a lab with a load balancer, whose controller the test plays."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from labkit.cli import status
from labkit.cli.app import run


def test_backends_have_rows_of_their_own(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    row = {"load_balancer": "lb1", "frontend": "10.1.1.9", "backend": "nva1", "address": "10.1.1.4"}
    platform: dict[str, Any] = {
        "nodes": {},
        "sessions": [],
        "gateways": [],
        "backends": [row | {"state": "Down", "reason": "refused"}, row | {"state": "Unknown", "reason": ""}],
        "programmed": True,
    }
    record = SimpleNamespace(title="lab", runtime="sandbox", created=0.0)
    monkeypatch.setattr(status, "running", lambda _name: (record, SimpleNamespace(state="running", nodes=[])))
    monkeypatch.setattr(status, "LabClient", lambda _record: SimpleNamespace(get=lambda _path: platform))
    assert run(["status"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[-2:] == [
        ["lb1", "10.1.1.9", "nva1", "Down", "refused"],
        ["lb1", "10.1.1.9", "nva1", "Unknown", "-"],
    ]
