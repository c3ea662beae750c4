"""What is wrong with a BGP session, and until when one end keeps one that the other has forgotten."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from types import SimpleNamespace
from typing import Any

import pytest

from labkit.daemons.protocol import Tables
from labkit.daemons.tables import BgpNeighbour, Query
from labkit.errors import CheckFailed
from labkit.feed.codec import to_json
from labkit.feed.state import PlatformState
from labkit.feed.status import PlatformStatus, RouteServerSession
from labkit.lab.load import load
from labkit.lab.plan.bgp_sessions import bgp_sessions
from labkit.lab.sessions import BgpSession
from labkit.operate.look.client import LabClient
from labkit.operate.look.held_sessions import HeldSession, TcpConnection, held_with, read
from labkit.operate.look.live_state import LiveState
from labkit.operate.records.record import Record
from labkit.operate.verify.sessions import session_checks, session_problem
from labkit.runtimes.protocol import CommandTimeout, Completed, LabStatus, NodeStatus, NotListening
from labkit.runtimes.select import SANDBOX
from tests.unit.lab.samples import OVERVIEW

LAB = load(OVERVIEW)
SESSIONS = {str(session): session for session in bgp_sessions(LAB)}
SERVERS, SITES = SESSIONS["rs1-0 - sdwan-nva"], SESSIONS["sdwan-nva - branch"]

IDLE = """0      0      10.1.0.4:179 10.1.1.4:36710
\t ts sack bbr rto:208 lastsnd:15000 lastrcv:20500 lastack:3692 pacing_rate 9736867800bps
"""
UNACKNOWLEDGED = """0      19      10.1.0.4:179 10.1.1.4:36710 timer:(on,1.240sec,4)
\t ts sack bbr rto:1664 backoff:3 lastsnd:2000 lastrcv:100000 lastack:3912
"""
FRESH = """0      0      10.1.0.4:179 10.1.1.4:36712 timer:(keepalive,1min59sec,0)
\t ts sack bbr rto:208 rtt:6.149/11.738
"""


def test_what_ss_prints_is_read() -> None:
    assert list(read(IDLE + UNACKNOWLEDGED + FRESH)) == [
        TcpConnection(15.0, 20.5, None),
        TcpConnection(2.0, 100.0, 1.24),
        TcpConnection(0.0, 0.0, None),
    ]
    assert list(read("")) == []
    (one,) = read(UNACKNOWLEDGED.replace("1.240sec", "1min2sec"))
    assert one.again == 62.0
    (one,) = read(UNACKNOWLEDGED.replace("1.240sec", "240ms"))
    assert one.again == 0.24


@dataclass
class Answers(LabClient):
    """A client of a lab that does not run: states of sessions by node and neighbour, and connections by node."""

    states: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    reason: str = ""
    connections: Mapping[str, str] = field(default_factory=dict)
    off: frozenset[str] = frozenset()
    refused: bool = False

    def __post_init__(self) -> None:
        self.nodes = tuple(NodeStatus(name, "stopped", "", "") for name in self.off)
        self.record = Record(LAB.name, SANDBOX, "", "", 0.0)
        self.runtime = SimpleNamespace(inspect=lambda _lab: SimpleNamespace(nodes=self.nodes))

    def run(self, node: str, *argv: str, timeout: float = 30.0) -> Completed:  # noqa: ARG002 - as in LabClient
        assert argv[:2] == ("ss", "-Htnio")
        if node not in self.connections:
            raise CommandTimeout(f"{node}: ss did not end in time")
        return Completed(0, self.connections[node], "")

    def ask(self, node: str, tables: Tables, query: Query[Any]) -> Any:  # noqa: ARG002 - as above
        if node not in self.states:
            raise NotListening(node)
        return tuple(BgpNeighbour(IPv4Address(a), 0, s, 0.0, 0, 0, 0) for a, s in self.states[node].items())

    def get(self, *path: str) -> Any:
        if self.refused:
            raise CheckFailed("the controller does not answer")
        if path == ("changes",):
            return []
        if path == ("status",):
            return to_json(PlatformStatus, PlatformStatus(LAB.name, configured=tuple(SESSIONS.values())))
        assert path == ("state",)
        sessions = tuple(
            RouteServerSession("rs1", i, peer.name, self.states[f"rs1-{i}"][peer.name], None, self.reason)
            for i in (0, 1)
            for peer in LAB.azure.route_server["rs1"].peers
            if peer.name in self.states.get(f"rs1-{i}", {})
        )
        status = PlatformStatus(LAB.name, sessions=sessions)
        return json.loads(json.dumps(to_json(PlatformState, PlatformState(LAB.azure, (), status, {}, {}, {}, {}, {}))))


def problem(session: BgpSession, answers: Answers) -> str | None:
    return session_problem(session, LiveState(LAB, answers))


UP, HINT = "Established", " Look: labkit status"


@pytest.mark.parametrize(
    ("states", "reason", "wanted"),
    [
        ({"rs1-0": {"sdwan-nva": UP}, "sdwan-nva": {"10.1.0.4": UP}}, "", None),
        (
            {"rs1-0": {"sdwan-nva": "Idle"}, "sdwan-nva": {"10.1.0.4": "Active"}},
            "the peer has not opened a session",
            f"rs1-0: Idle (the peer has not opened a session); sdwan-nva: Active.{HINT}",
        ),
        ({"rs1-0": {"sdwan-nva": "Idle"}}, "", f"rs1-0: Idle; sdwan-nva: BGP is not running.{HINT}"),
        ({"rs1-0": {}, "sdwan-nva": {}}, "", f"rs1-0: no such peer; sdwan-nva: not configured.{HINT}"),
    ],
)
def test_a_session_is_up_at_both_ends(states: Mapping[str, Mapping[str, str]], reason: str, wanted: str | None) -> None:
    assert problem(SERVERS, Answers(states, reason)) == wanted


def test_a_session_between_customers_is_looked_at_too() -> None:
    nva, site = (str(end.address) for end in SITES.ends)
    assert problem(SITES, Answers({"sdwan-nva": {site: UP}, "branch": {nva: UP}})) is None
    assert problem(SITES, Answers({"sdwan-nva": {site: "Connect"}, "branch": {nva: "OpenSent"}})) == (
        f"sdwan-nva: Connect; branch: OpenSent.{HINT}"
    )


@pytest.mark.parametrize(
    ("connection", "off", "left"),
    [
        (IDLE, False, 45),  # the next keepalive
        (IDLE, True, 160),  # the hold time of 180 s
        (UNACKNOWLEDGED, False, 1),  # what is sent again
        (UNACKNOWLEDGED, True, 80),
        (IDLE.replace("15000", "70000"), False, 0),
    ],
)
def test_a_session_that_one_end_keeps_is_named_with_its_end(
    connection: str, off: bool, left: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time", lambda: 1_000_000.0)
    answers = Answers(
        {"rs1-0": {"sdwan-nva": UP}, "sdwan-nva": {"10.1.0.4": "Active"}},
        connections={"rs1-0": connection},
        off=frozenset({"sdwan-nva"} if off else ()),
    )
    clock = time.strftime("%H:%M:%S", time.localtime(1_000_000 + left))
    state = "off" if off else "Active"
    held = f"rs1-0 keeps its old session with sdwan-nva until {clock} at the latest ({left} s)"
    assert problem(SERVERS, answers) == f"sdwan-nva: {state}; {held}.{HINT}"


def test_a_holder_that_does_not_answer_is_not_waited_for() -> None:
    answers = Answers({"rs1-0": {"sdwan-nva": UP}, "sdwan-nva": {"10.1.0.4": "Active"}})
    assert problem(SERVERS, answers) == f"sdwan-nva: Active.{HINT}"


def test_who_keeps_a_session_with_a_node_that_is_powered_on() -> None:
    connections = {"rs1-0": IDLE, "rs1-1": IDLE + UNACKNOWLEDGED, "branch": ""}
    answers = Answers(connections=connections, off=frozenset({"sdwan-nva"}))
    now = time.time()
    status = LabStatus(LAB.name, SANDBOX, "running", answers.nodes)
    found = held_with(answers, status, "sdwan-nva")
    assert [(held.holder, held.far) for held in found] == [("rs1-1", "sdwan-nva"), ("rs1-0", "sdwan-nva")]
    assert [round(held.until - now) for held in found] == [1, 45]
    assert held_with(answers, status, "security-nva") == [], "it is on"
    answers.refused = True
    assert held_with(answers, status, "sdwan-nva") == [], "the controller does not answer"


def test_what_is_over_is_over() -> None:
    assert HeldSession("a", "b", 90.0).text(100.0).endswith("at the latest (0 s)")


@pytest.mark.parametrize("refused", [False, True])
def test_every_expected_session_has_a_check(refused: bool) -> None:
    found = [title for title, _ in session_checks(LAB, Answers(refused=refused))]
    assert found == [f"BGP session {name}" for name in SESSIONS]
