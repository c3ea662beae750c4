"""The order in which `verify` looks at a lab that converges."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from ipaddress import IPv4Network
from typing import Any

import pytest

from labkit.azure.rules.rows import LearnedRow
from labkit.feed.codec import to_json
from labkit.feed.state import PlatformState
from labkit.feed.status import PlatformStatus
from labkit.lab import proofs
from labkit.lab.load import read
from labkit.lab.model import Lab
from labkit.operate.look.client import LabClient
from labkit.operate.records.record import Record
from labkit.operate.verify import run
from labkit.resources import topologies
from labkit.runtimes.select import SANDBOX

PREFIX = IPv4Network("10.200.0.0/24")
LEARNED = proofs.LearnedRouteClaim("rs1", PREFIX, "sdwan-nva")
ROW: LearnedRow = {
    "network": str(PREFIX),
    "asPath": "65001",
    "localAddress": "10.1.0.4",
    "nextHop": "10.1.1.4",
    "origin": "EBgp",
    "weight": 32768,
    "sourcePeer": "10.1.1.4",
}


class Converging(LabClient):
    """A client of a lab that does not run: each look at the controller's state finds the next one of these."""

    def __init__(self, states: Iterable[PlatformState]) -> None:
        super().__init__(Record("overview", SANDBOX, "", "", 0.0))
        self._states = list(states)
        self.looks = 0

    def get(self, *path: str) -> Any:
        assert path == ("state",)
        self.looks += 1
        return json.loads(json.dumps(to_json(PlatformState, self._states[min(self.looks, len(self._states)) - 1])))


def overview(*claims: proofs.Claim | proofs.Absent) -> Lab:
    lab = read(topologies() / "overview" / "lab.yml").lab
    return replace(lab, proofs=tuple(proofs.Proof(claim, line) for line, claim in enumerate(claims, 1)))


def state(lab: Lab, *, learned: bool, programmed: bool) -> PlatformState:
    rows = [ROW] if learned else []
    table = {"rs1": {"sdwan-nva": {f"RouteServiceRole_IN_{i}": rows for i in (0, 1)}}}
    status = PlatformStatus(lab.name, programmed=programmed)
    return PlatformState(lab.azure, (), status, table, {}, {}, {}, {})


@pytest.fixture(autouse=True)
def _no_checks_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "oracle_checks", lambda _: ())
    monkeypatch.setattr(run, "session_checks", lambda *_: ())


def test_what_must_be_absent_is_not_looked_for_before_the_lab_has_converged() -> None:
    lab = overview(proofs.Absent(LEARNED))
    client = Converging(
        [
            state(lab, learned=False, programmed=False),
            state(lab, learned=True, programmed=True),
            state(lab, learned=False, programmed=True),
        ]
    )
    assert [o.ok for o in run.verify(lab, client)] == [True]
    assert client.looks == 3


def test_a_lab_that_is_never_programmed_is_looked_at_in_the_end() -> None:
    lab = overview(LEARNED, proofs.Absent(LEARNED))
    client = Converging([state(lab, learned=True, programmed=False)])
    assert [o.problem for o in run.verify(lab, client, within=0)] == [
        "",
        "rs1 learned 10.200.0.0/24 from sdwan-nva is present but must be absent.",
    ]


def test_claims_of_a_settled_lab_are_tried_in_the_end_where_a_row_is_missing() -> None:
    other = proofs.LearnedRouteClaim("rs1", IPv4Network("192.0.2.0/24"), "sdwan-nva")
    lab = overview(other, proofs.Absent(LEARNED), proofs.PingClaim("vm1", "branch"))
    client = Converging([state(lab, learned=True, programmed=True)])
    missing, absent, ping = run.verify(lab, client, within=0)
    assert "has no 192.0.2.0/24 from sdwan-nva" in missing.problem
    assert absent.problem == "rs1 learned 10.200.0.0/24 from sdwan-nva is present but must be absent."
    assert ping.problem == run.NOT_TRIED


def test_what_comes_true_in_its_last_attempt_leaves_the_others_their_time(monkeypatch: pytest.MonkeyPatch) -> None:
    lab = overview(LEARNED, LEARNED)
    short, long = lab.proofs
    lab = replace(lab, proofs=(replace(short, within=0.0), replace(long, within=60.0)))
    outcomes = iter([None, "not yet", None])
    monkeypatch.setattr(run, "check", lambda _claim, _live: next(outcomes))
    monkeypatch.setattr(run, "AT_ONCE", 1)
    client = Converging([state(lab, learned=True, programmed=True)])
    assert [o.ok for o in run.verify(lab, client)] == [True, True]


def test_stages_come_one_after_the_other_and_name_what_they_wait_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sessions and rows, then tables, then what must be absent; each look tries what does not hold yet."""
    lab = overview(LEARNED, proofs.Absent(LEARNED))
    session, tables = iter(["a is down", None]), iter(["a row is missing", None])
    monkeypatch.setattr(run, "session_checks", lambda *_: [("BGP session a - b", lambda _: next(session))])
    client = Converging([state(lab, learned=learned, programmed=True) for learned in (True, False)])
    waiting: list[list[str]] = []
    converged: list[bool] = []

    def on_attempt(attempt: run.Attempt) -> None:
        assert [each.title for each in attempt.sessions] == ["BGP session a - b"]
        waiting.append([f"{each.title}: {each.problem}" for each in attempt.waiting])
        converged.append(attempt.converged)

    outcomes = run.verify(lab, client, tables=[("tables", lambda _: next(tables))], on_attempt=on_attempt)
    assert [o.ok for o in outcomes] == [True] * 4
    assert [o.title for o in outcomes[2:]] == ["BGP session a - b", "tables"]
    assert waiting == [["BGP session a - b: a is down"], [], ["tables: a row is missing"], [], []]
    assert converged == [False, False, False, False, True]


@pytest.mark.parametrize("programmed", [True, False])
def test_a_session_that_stays_down_fails_and_kernels_are_looked_at_in_the_end(
    monkeypatch: pytest.MonkeyPatch, programmed: bool
) -> None:
    """Unless machines are still being programmed. What depends on the session is not tried."""
    lab = overview(LEARNED, proofs.PingClaim("vm1", "branch"))
    monkeypatch.setattr(run, "session_checks", lambda *_: [("BGP session a - b", lambda _: "a: Idle.")])
    monkeypatch.setattr(run, "oracle_checks", lambda _: [("kernel of vm1", lambda _: None)])
    client = Converging([state(lab, learned=True, programmed=programmed)])
    outcomes = run.verify(lab, client, within=0, tables=[("tables", lambda _: None)])
    assert {o.title: o.problem for o in outcomes[1:]} == {
        "ping vm1 → branch": run.NOT_TRIED,
        "BGP session a - b": "a: Idle.",
        "tables": run.NOT_TRIED,
        "kernel of vm1": "" if programmed else run.NOT_TRIED,
    }
