"""`labkit status` of a lab with a load balancer, whose controller the test plays."""

from __future__ import annotations

import subprocess
import sys
from ipaddress import IPv4Address
from types import SimpleNamespace
from typing import Any

import pytest

from labkit.cli import status
from labkit.cli.app import run
from labkit.daemons.protocol import Tables
from labkit.daemons.tables import BgpNeighbour, Query
from labkit.errors import CheckFailed
from labkit.feed.status import BackendStatus, NodeFeed, PlatformStatus
from labkit.lab.sessions import BgpSession, SessionEnd
from labkit.operate.look.client import LabClient
from labkit.operate.look.router_sessions import router_sessions
from labkit.operate.records.record import Record
from labkit.runtimes.protocol import Completed, NotListening
from labkit.runtimes.select import SANDBOX


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


def test_sessions_of_routers_are_listed_with_what_is_known_of_both_ends() -> None:
    def session(first: str, second: str, number: int) -> BgpSession:
        ends = ((first, f"192.0.2.{number}"), (second, f"192.0.2.{number + 1}"))
        one, other = (SessionEnd(node, IPv4Address(address), "frr", 60) for node, address in ends)
        return BgpSession((one, other), 180)

    sessions = (
        session("nva", "site", 1),
        session("nva", "gone", 11),
        session("nva", "killed", 21),
        session("nva", "frozen", 31),
        session("nva", "other", 41),
        session("rs1-0", "nva", 51),
        session("ergw-0", "site", 61),
    )
    states = {
        "nva": {2: "Established", 12: "Established", 22: "Active", 32: "Established", 42: "Connect"},
        "site": {1: "Established"},
        "other": {},
    }

    class Client(LabClient):
        def ask(self, node: str, tables: Tables, query: Query[Any]) -> Any:  # noqa: ARG002 - as in LabClient
            if node == "killed":
                raise NotListening("nothing listens")
            if node == "frozen":
                raise CheckFailed("frozen: bgpd does not answer")
            there = states[node].items()
            return tuple(BgpNeighbour(IPv4Address(f"192.0.2.{n}"), 0, s, 12.0, 0, 0, 0) for n, s in there)

        def run(self, node: str, *argv: str, timeout: float = 30.0) -> Completed:  # noqa: ARG002 - as in LabClient
            assert (node, argv[-1]) == ("nva", "192.0.2.12")
            return Completed(0, "0 0 192.0.2.11:179 192.0.2.12:1024\n\t lastsnd:1000 lastrcv:30000\n", "")

    platform = PlatformStatus(
        "lab",
        {"rs1-0": NodeFeed("routeserver", True, 1, 1, 0.0, ""), "ergw-0": NodeFeed("gateway", True, 1, 1, 0.0, "")},
        configured=sessions,
    )
    found = router_sessions(Client(Record("lab", SANDBOX, "", "", 0.0)), platform, {"gone"})
    assert [(s.neighbour, s.state, s.seconds) for s in found] == [
        ("site", "Established", 12.0),
        ("gone", "Idle", None),
        ("killed", "Active", 12.0),
        ("frozen", "Idle", None),
        ("other", "Connect", 12.0),
    ]
    reasons = {s.neighbour: s.reason for s in found}
    kept = reasons.pop("gone")
    assert kept.startswith("gone is off; nva keeps its old session with gone until ")
    assert kept.endswith(" at the latest (150 s)")
    assert reasons == {
        "site": "",
        "killed": "killed: BGP is not running",
        "frozen": "frozen: bgpd does not answer",
        "other": "other is not configured for it",
    }


def test_it_loads_little() -> None:
    """It is asked again and again by people who wait: pydantic alone takes longer to load than all the rest."""
    code = "import sys, labkit.cli.status; print(sorted({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert "'labkit'" in done.stdout
    assert {name for name in ("pydantic", "aiohttp", "docker", "pyroute2") if f"'{name}'" in done.stdout} == set()
