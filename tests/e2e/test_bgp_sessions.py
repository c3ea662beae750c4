"""A lab without proofs: `up` waits for what the model predicts, and verbs name its BGP sessions and what keeps them."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from labkit.cli.app import run as labkit
from labkit.lab.sessions import router_daemons
from labkit.operate.diff.run import differences
from labkit.operate.labs import lifecycle
from labkit.operate.look.client import LabClient
from labkit.operate.look.live_state import LiveState
from labkit.operate.records import record as records
from labkit.operate.verify import run as verifying
from labkit.operate.verify.difference import Difference
from labkit.pytest import RunningLab
from labkit.resources import topologies
from labkit.runtimes.image import images
from labkit.runtimes.select import SANDBOX, runtime
from tests.e2e.in_lab import configure, problems, run
from tests.e2e.waiting import SOON, eventually

KEEPALIVE = 6
"""Seconds between the route server's keepalives to sdwan-nva: so long it may keep a dead session with it."""

SESSIONS = ["rs1-0 - sdwan-nva", "rs1-1 - sdwan-nva", "sdwan-nva - branch"]
"""What is expected in the lab below."""

TABLES = "BGP tables and effective routes are as predicted"

AWAITED = re.compile(r"/3 BGP sessions .*waiting for: BGP session rs1-0 - sdwan-nva")
"""What `up` shows while the first of them is down."""


def without_proofs(folder: Path, name: str) -> Path:
    """The overview lab, without what it claims; its route server expects another ASN of security-nva."""
    text = (topologies() / "overview" / "lab.yml").read_text(encoding="utf-8").partition("proofs:\n")[0]
    for old, new in {
        "name: overview": f"name: {name}",
        "peers: [sdwan-nva, security-nva]": "peers: [sdwan-nva, security-nva: {asn: 65009}]",
        "asn: 65001": f"asn: 65001, timers: {{keepalive: {KEEPALIVE}, hold: {3 * KEEPALIVE}}}",
    }.items():
        assert old in text
        text = text.replace(old, new)
    file = folder / "lab.yml"
    file.write_text(text, encoding="utf-8")
    return file


class Phases(lifecycle.Silent):
    """What `up` shows of its phases."""

    def __init__(self) -> None:
        self.phase = ""
        self.shown: list[str] = []

    def begin(self, phase: str) -> None:
        self.phase = phase

    def update(self, text: str, done: float | None = None) -> None:  # noqa: ARG002 - as in Reporter
        self.shown.append(f"{self.phase}: {text}")

    def end(self, text: str) -> None:
        self.shown.append(f"{self.phase}: {text}")


def running(name: str) -> LabClient:
    """The lab of this name, which `up` is starting."""
    (record,) = (each for each in records.everything() if each.lab == name)
    return LabClient(record)


def in_frr(lab: str, node: str, *commands: str) -> None:
    argv = ("vtysh", *(word for line in ("configure terminal", *commands) for word in ("-c", line)))
    done = running(lab).run(node, *argv)
    assert done.rc == 0, done.stderr


class HeldBack(Phases):
    """Keeps a session of sdwan-nva's down until it is shown that it is waited for."""

    def __init__(self, lab: str) -> None:
        super().__init__()
        self._lab, self._held = lab, True

    def begin(self, phase: str) -> None:
        super().begin(phase)
        if phase == "converge":
            self._configure("neighbor 10.1.0.4 shutdown")

    def update(self, text: str, done: float | None = None) -> None:
        super().update(text, done)
        if self._held and AWAITED.search(self.shown[-1]):
            self._held = False
            self._configure("no neighbor 10.1.0.4 shutdown")

    def _configure(self, command: str) -> None:
        in_frr(self._lab, "sdwan-nva", "router bgp 65001", command)


def up(file: Path, phases: Phases) -> lifecycle.Up:
    engine = runtime(SANDBOX)
    with engine.prepare(images.node_image().reference):
        return lifecycle.up(str(file), engine, phases)


@dataclass(frozen=True, slots=True)
class Booted:
    """A lab as it was when `up` had ended."""

    result: lifecycle.Up
    shown: list[str]
    live: LiveState
    differences: list[Difference]


@pytest.fixture(scope="module")
def booted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Booted]:
    phases = HeldBack("no-proofs")
    result = up(without_proofs(tmp_path_factory.mktemp("lab"), "no-proofs"), phases)
    try:
        client = LabClient(result.record)
        live = LiveState(result.lab, client)
        assert live.state
        yield Booted(result, phases.shown, live, differences(result.lab, client))
    finally:
        lifecycle.down(result.record)


@pytest.fixture(scope="module")
def lab(booted: Booted) -> RunningLab:
    return RunningLab(booted.result.lab, LabClient(booted.result.record))


def test_it_is_up_with_all_that_the_model_predicts(booted: Booted) -> None:
    """Also where a route server has a peer of another ASN than the NVA's: that session is not to come."""
    state = {(s.instance, s.peer): s.established for s in booted.live.state.status.sessions}
    assert state == {(i, peer): peer == "sdwan-nva" for i in (0, 1) for peer in ("sdwan-nva", "security-nva")}
    rows = {prefix for row in booted.live.effective("vm1")["value"] for prefix in row["addressPrefix"]}
    assert "10.250.0.0/16" in rows
    assert booted.differences == []
    assert "converge: 3/3 BGP sessions · 2/2 VMs programmed" in booted.shown
    assert [text for text in booted.shown if AWAITED.search(text)] != []
    outcomes = booted.result.outcomes
    assert [o.title for o in outcomes[:4]] == [*(f"BGP session {each}" for each in SESSIONS), TABLES]
    assert all(outcome.ok for outcome in outcomes)


def established(status: Mapping[str, Any]) -> int:
    """How many sessions of the route server are up."""
    return sum(session["state"] == "Established" for session in status["sessions"])


def test_what_does_not_come_is_named_and_the_lab_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifying, "OWN", 3.0)
    file = without_proofs(tmp_path, "no-proofs-down")

    class Breaks(Phases):
        def begin(self, phase: str) -> None:
            super().begin(phase)
            if phase == "converge":
                # So that nothing else is missing once the checks begin, which take their time to be given up.
                client = running("no-proofs-down")
                eventually(lambda: client.get("status"), lambda now: now["programmed"] and established(now) == 2)
                in_frr("no-proofs-down", "branch", "router bgp 65010", "neighbor 100.64.0.1 shutdown")

    result = up(file, Breaks())
    try:
        failed = [(outcome.title, outcome.problem) for outcome in result.outcomes if not outcome.ok]
        assert failed[0][0] == "BGP session sdwan-nva - branch"
        assert "branch: Idle (Admin)" in failed[0][1]
        assert failed[1:] == [(TABLES, verifying.NOT_TRIED)], "kernels and fabrics are as they should be"
        assert LiveState(result.lab, LabClient(result.record)).has_bgp("branch"), "the lab is there to be looked into"
    finally:
        lifecycle.down(result.record)


def test_verify_fails_on_an_expected_session_that_is_down(lab: RunningLab, capsys: pytest.CaptureFixture[str]) -> None:
    assert problems(lab, SOON) == []
    configure(lab, "sdwan-nva", "router bgp 65001", "neighbor 100.64.0.2 shutdown")
    down = "BGP session sdwan-nva - branch: sdwan-nva: Idle (Admin); branch: "
    eventually(lambda: problems(lab), lambda found: found[:1] != [] and found[0].startswith(down))
    assert labkit(["status", "--lab", "no-proofs"]) == 0
    assert re.search(r"^sdwan-nva +branch +Idle \(Admin\)", capsys.readouterr().out, re.MULTILINE)
    configure(lab, "sdwan-nva", "router bgp 65001", "no neighbor 100.64.0.2 shutdown")
    assert problems(lab, SOON) == []
    assert labkit(["status", "--lab", "no-proofs", "-o", "json"]) == 0
    (session,) = json.loads(capsys.readouterr().out)["routers"]
    assert (session["router"], session["neighbour"], session["state"]) == ("sdwan-nva", "branch", "Established")


def test_a_session_that_the_far_end_keeps_is_named_until_it_ends(
    lab: RunningLab, capsys: pytest.CaptureFixture[str]
) -> None:
    """Power off and on again before anybody has noticed: the route server refuses a second session for a while."""
    before = since(lab)
    run(lab, "sdwan-nva", "vtysh", "-c", "clear bgp *")  # so that the next keepalive is not yet due
    eventually(lambda: since(lab), lambda now: len(now) == 2 and min(now) > max(before))
    assert labkit(["stop", "sdwan-nva", "--lab", "no-proofs"]) == 0
    capsys.readouterr()
    assert labkit(["start", "sdwan-nva", "--lab", "no-proofs"]) == 0
    kept = re.findall(
        r"(rs1-\d) keeps its old session with sdwan-nva until ([\d:]+) at the latest", capsys.readouterr().err
    )
    assert [holder for holder, _ in sorted(kept)] == ["rs1-0", "rs1-1"]
    last = max(clock for _, clock in kept)
    found = [problem for problem in problems(lab) if problem.startswith("BGP session rs1-0 - sdwan-nva")]
    assert len(found) == 1
    assert f"rs1-0 keeps its old session with sdwan-nva until {last[:6]}" in found[0]
    assert problems(lab, SOON) == []
    came = time.localtime(max(since(lab)))
    # Its clock shows no day. A speaker of whole seconds, and the seconds in which the NVA tries again.
    late = (seconds_of_day(time.strftime("%H:%M:%S", came)) - seconds_of_day(last) + DAY / 2) % DAY - DAY / 2
    assert -KEEPALIVE <= late <= 15


def since(lab: RunningLab) -> list[float]:
    """When the sessions of sdwan-nva that are up came up."""
    sessions = LiveState(lab.lab, lab.client).state.status.sessions
    return [s.since or 0.0 for s in sessions if s.peer == "sdwan-nva" and s.established]


DAY = 24 * 60 * 60


def seconds_of_day(clock: str) -> int:
    hours, minutes, seconds = map(int, clock.split(":"))
    return (hours * 60 + minutes) * 60 + seconds


def test_routes_of_bgp_are_marked_as_the_daemon_has_them(lab: RunningLab, capfd: pytest.CaptureFixture[str]) -> None:
    """What is marked as best is what the daemon uses, and what its kernel has."""
    live = LiveState(lab.lab, lab.client)
    for node in router_daemons(lab.lab):
        capfd.readouterr()
        assert labkit(["routes", node, "--bgp", "--lab", "no-proofs"]) == 0
        shown = capfd.readouterr().out
        best = {network for network, hop in re.findall(r"^ \*>  (\S+) +(\S+)", shown, re.MULTILINE) if hop != "0.0.0.0"}
        assert best == {str(prefix) for prefix in live.bgp(node).loc_rib}
        own = run(lab, node, "vtysh", "-c", "show bgp ipv4 unicast")
        assert sorted(shown.split()) == sorted(own.split())
