"""What `labkit measure failover` prints, and its exit status, by what was measured."""

from __future__ import annotations

import json
from ipaddress import IPv4Address

import pytest

from labkit.cli import measure as cli
from labkit.cli.app import run as labkit
from labkit.operate.measure import failover
from labkit.operate.measure.failover import Measurement
from labkit.operate.measure.flow_loss import Direction, Outage
from labkit.operate.measure.flows import FlowEnds
from labkit.operate.measure.packets import FlowLoss
from labkit.operate.records.record import Record
from labkit.runtimes.select import SANDBOX

WELL = FlowLoss(40001, 100, Direction(0, None), Direction(0, None), True, 0)
OPEN = FlowLoss(40002, 100, Direction(0, None), Direction(0, None), None, 30)
BAD = FlowLoss(40003, 100, Direction(60, Outage(0.5, 0.3, 60)), Direction(0, None), False, 0)


@pytest.fixture(name="measured")
def measurement(monkeypatch: pytest.MonkeyPatch) -> list[FlowLoss]:
    """The flows of the next measurement."""
    flows: list[FlowLoss] = []
    ends = FlowEnds("vm1", IPv4Address("10.1.10.4"), "vm2", IPv4Address("10.1.10.5"))
    record = Record("overview", SANDBOX, "", "", 0.0)
    monkeypatch.setattr(cli, "running", lambda _lab: (record, None))
    monkeypatch.setattr(cli, "lab_of", lambda _record: None)
    monkeypatch.setattr(failover, "way", lambda *_words: ends)
    monkeypatch.setattr(failover, "failover", lambda *_words: Measurement(ends, 1.0, tuple(flows), 0))
    return flows


@pytest.mark.parametrize(
    ("flows", "recovered", "words"),
    [
        ([WELL], True, "; all flows recovered."),
        (
            [WELL, OPEN],
            None,
            "; whether 1 of 2 flows recovered is not known. Whether 30 more packets were lost is not ",
        ),
        ([WELL, BAD], False, "; 1 of 2 flows did not recover."),
        ([OPEN, BAD], False, "; 1 of 2 flows did not recover, and whether 1 of 2 flows recovered is not known."),
    ],
)
def test_what_is_not_known_is_called_so(
    measured: list[FlowLoss],
    capsys: pytest.CaptureFixture[str],
    flows: list[FlowLoss],
    recovered: bool | None,
    words: str,
) -> None:
    measured.extend(flows)
    status = 0 if recovered else 1
    assert labkit(["measure", "failover", "vm1", "vm2", "--format", "json"]) == status
    found = json.loads(capsys.readouterr().out)
    assert found["recovered"] is recovered
    assert [(flow["recovered"], flow["unknown"]) for flow in found["flows"]] == [
        (flow.recovered, flow.unknown) for flow in flows
    ]
    assert labkit(["measure", "failover", "vm1", "vm2"]) == status
    shown = capsys.readouterr()
    cells = {True: "yes", False: "NO", None: "not known"}
    for row, flow in zip(shown.out.splitlines()[2:], flows, strict=True):
        assert row.endswith(cells[flow.recovered])
    assert words in shown.err
