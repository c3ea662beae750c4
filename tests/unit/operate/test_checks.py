"""Claims that must not hold: about speakers that do not speak with each other, about other tables than there are."""

from __future__ import annotations

import json
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import pytest

from labkit.azure.changes.route_servers import PutPeer
from labkit.azure.rules.rows import AdvertisedRow, EffectiveRow, EffectiveTable, LearnedRow
from labkit.daemons.tables import BgpNeighbour, BgpTable
from labkit.errors import CheckFailed
from labkit.feed.codec import to_json
from labkit.feed.state import PlatformState
from labkit.feed.status import PlatformStatus, RouteServerSession
from labkit.lab import proofs
from labkit.lab.load import read
from labkit.lab.plan.nodes import target_address
from labkit.lab.sessions import speakers
from labkit.operate.look.client import LabClient
from labkit.operate.look.kernel import KernelHop, KernelPath
from labkit.operate.look.live_state import BgpIsGoneError, LiveState
from labkit.operate.records.record import Record
from labkit.operate.verify import checks
from labkit.operate.verify.checks import check
from labkit.resources import topologies
from labkit.runtimes.protocol import NotListening
from labkit.runtimes.select import SANDBOX

PREFIX = IPv4Network("10.200.0.0/24")


@pytest.fixture
def look() -> LiveState:
    """A lab without BGP in its tunnels. It does not run: what is asked here needs no running lab."""
    lab = read(topologies() / "expressroute-vpn" / "lab.yml").lab
    return LiveState(lab, LabClient(Record(lab.name, SANDBOX, "", "", 0.0)))


@pytest.mark.parametrize(
    "claim",
    [
        proofs.SessionClaim("vpngw", "branch"),
        proofs.LearnedRouteClaim("vpngw", PREFIX, "branch"),
        proofs.LearnedRoutesClaim("vpngw", "branch", {}),
    ],
)
def test_what_strangers_say_does_not_hold(look: LiveState, claim: object) -> None:
    assert (check(claim, look) or "").startswith("there is no BGP session")


class Answers(LabClient):
    """A client of a lab that does not run: the controller's state is as it is written here."""

    def __init__(self, state: PlatformState) -> None:
        super().__init__(Record("overview", SANDBOX, "", "", 0.0))
        self._state = state

    def get(self, *path: str) -> Any:
        assert path == ("state",)
        return json.loads(json.dumps(to_json(PlatformState, self._state)))


def overview(
    learned: dict[str, dict[str, dict[str, list[LearnedRow]]]] | None = None,
    advertised: dict[str, dict[str, dict[str, list[AdvertisedRow]]]] | None = None,
    effective: dict[str, EffectiveTable] | None = None,
) -> LiveState:
    lab = read(topologies() / "overview" / "lab.yml").lab
    status = PlatformStatus(lab.name)
    state = PlatformState(lab.azure, (), status, learned or {}, advertised or {}, {}, effective or {}, {})
    return LiveState(lab, Answers(state))


def table(**rows: str) -> dict[str, dict[str, dict[str, list[LearnedRow]]]]:
    """A route server's table of its peer `sdwan-nva` in both instances: AS paths by prefix."""
    shown: list[LearnedRow] = [
        {
            "network": prefix,
            "asPath": as_path,
            "localAddress": "10.1.0.4",
            "nextHop": "10.1.1.4",
            "origin": "EBgp",
            "weight": 32768,
            "sourcePeer": "10.1.1.4",
        }
        for prefix, as_path in rows.items()
    ]
    return {"rs1": {"sdwan-nva": {f"RouteServiceRole_IN_{i}": shown for i in (0, 1)}}}


def _advertised(row: LearnedRow) -> AdvertisedRow:
    return {
        "network": row["network"],
        "asPath": row["asPath"],
        "localAddress": row["localAddress"],
        "nextHop": row["nextHop"],
        "origin": row["origin"],
        "weight": 0,
    }


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ({"10.200.0.0/24": "65001-65010"}, None),
        ({"10.200.0.0/24": "65001"}, "10.200.0.0/24 is 65001, expected 65001 65010."),
        ({}, "10.200.0.0/24 65001 65010 is missing."),
        ({"10.200.0.0/24": "65001-65010", "10.9.0.0/16": "65001"}, "unexpected: 10.9.0.0/16 65001."),
    ],
)
@pytest.mark.parametrize("which", ["learned", "advertised"])
def test_a_table_is_exactly_what_is_claimed(which: str, rows: dict[str, str], problem: str | None) -> None:
    wanted = {PREFIX: (65001, 65010)}
    claim = (
        proofs.LearnedRoutesClaim("rs1", "sdwan-nva", wanted)
        if which == "learned"
        else proofs.AdvertisedRoutesClaim("rs1", "sdwan-nva", wanted)
    )
    there = table(**rows)
    advertised = {
        server: {
            peer: {instance: [_advertised(row) for row in rows] for instance, rows in instances.items()}
            for peer, instances in peers.items()
        }
        for server, peers in there.items()
    }
    found = check(claim, overview(learned=there) if which == "learned" else overview(advertised=advertised))
    way = "from" if which == "learned" else "to"
    assert found == (None if problem is None else f"rs1 instance 0, {way} sdwan-nva: {problem}")


def test_what_is_there_is_not_absent() -> None:
    claim = proofs.Absent(proofs.LearnedRouteClaim("rs1", PREFIX, "sdwan-nva"))
    assert check(claim, overview(learned=table())) is None
    there = overview(learned=table(**{str(PREFIX): "65001"}))
    assert check(claim, there) == "rs1 learned 10.200.0.0/24 from sdwan-nva is present but must be absent."


def test_effective_routes_are_the_active_ones_and_not_those_to_nowhere() -> None:
    rows: list[tuple[str, str, str, list[str]]] = [
        ("Active", "VnetLocal", "10.1.0.0/16", []),
        ("Active", "None", "10.0.0.0/8", []),
        ("Invalid", "Internet", "0.0.0.0/0", []),
        ("Active", "VirtualNetworkGateway", "10.200.0.0/24", ["10.1.1.4"]),
    ]
    value: list[EffectiveRow] = [
        {
            "source": "Default",
            "state": state,
            "nextHopType": kind,
            "addressPrefix": [prefix],
            "nextHopIpAddress": hops,
        }
        for state, kind, prefix, hops in rows
    ]
    look = overview(effective={"vm1": {"value": value}})
    wanted = {IPv4Network("10.1.0.0/16"): ("VnetLocal",), PREFIX: ("10.1.1.4",)}
    assert check(proofs.EffectiveRoutesClaim("vm1", wanted), look) is None
    fewer = check(proofs.EffectiveRoutesClaim("vm1", {PREFIX: ("10.1.1.4",)}), look)
    assert (fewer or "").startswith("vm1: unexpected: 10.1.0.0/16 VnetLocal.")


@pytest.mark.parametrize("packets", [0, 3])
def test_a_route_server_that_gets_packets_of_others_is_in_the_path(
    monkeypatch: pytest.MonkeyPatch, packets: int
) -> None:
    here = overview()
    target = target_address(here.lab, "branch")
    monkeypatch.setattr(checks, "traceroute", lambda *_: [target])
    monkeypatch.setattr(LiveState, "foreign_packets", lambda _, instance: packets if instance == "rs1-1" else 0)
    found = check(proofs.PathClaim("vm1", "branch", never=("rs1",)), here)
    assert (found or "").partition(" got ")[0] == ("rs1-1" if packets else "")


def two_nics(peer: str = "10.1.1.50") -> LiveState:
    """A firewall `fw` that has its sessions inside; `peer` is its address as a peer of the route server now."""
    lab = read(Path(__file__).parents[2] / "e2e" / "labs" / "two-nics.lab.yml").lab
    azure = PutPeer(route_server="rs1", name="fw", peer_asn=65002, peer_ip=IPv4Address(peer)).apply(lab.azure)
    sessions = tuple(RouteServerSession("rs1", i, "fw", "Established", None, "") for i in (0, 1))
    status = PlatformStatus(lab.name, sessions=sessions)
    return LiveState(lab, Answers(PlatformState(azure, (), status, {}, {}, {}, {}, {})))


def established(monkeypatch: pytest.MonkeyPatch, live: LiveState) -> None:
    ends = (("fw", "rs1"), ("fw", "nva"), ("nva", "fw"))
    far = [address for near, name in ends for _, address in speakers(live.lab, near, name)]
    table = BgpTable({address: BgpNeighbour(address, 65001, "Established", 1.0, 1, 1, 0) for address in far}, ())
    monkeypatch.setattr(LiveState, "bgp", lambda *_: table)


@pytest.mark.parametrize(
    ("on", "with_", "holds"),
    [
        ("rs1", "fw", True),
        ("rs1", "fw/inside", True),
        ("fw/inside", "rs1", True),
        ("rs1", "fw/outside", False),
        ("nva", "fw/inside", True),
        ("fw/inside", "nva", True),
        ("nva", "fw/outside", False),
    ],
)
def test_a_session_is_that_of_the_nic_that_is_named(
    monkeypatch: pytest.MonkeyPatch, on: str, with_: str, *, holds: bool
) -> None:
    live = two_nics()
    established(monkeypatch, live)
    claim = proofs.SessionClaim(on, with_)
    assert (check(claim, live) is None) == holds
    assert (check(proofs.Absent(claim), live) is None) != holds


def test_a_session_that_has_moved_to_another_nic_is_no_longer_that_of_the_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    live = two_nics("10.1.3.4")
    established(monkeypatch, live)
    assert check(proofs.SessionClaim("rs1", "fw"), live) is None
    assert check(proofs.SessionClaim("rs1", "fw/outside"), live) is None
    assert (check(proofs.SessionClaim("rs1", "fw/inside"), live) or "").startswith("there is no BGP session")


def test_a_path_leads_through_the_nic_that_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    live = two_nics()
    target = target_address(live.lab, "internet")
    monkeypatch.setattr(checks, "traceroute", lambda *_: [IPv4Address("10.1.1.50"), target])

    def problem(*through: str, never: tuple[str, ...] = ()) -> str | None:
        return check(proofs.PathClaim("client", "internet", through, never), live)

    assert problem("fw") is None
    assert problem("fw/inside", never=("fw/outside",)) is None
    assert "does not lead through fw/outside at that point: fw/inside → internet." in (problem("fw/outside") or "")
    assert "leads through fw/inside: fw/inside → internet." in (problem("fw", never=("fw/inside",)) or "")


def test_the_kernel_routes_of_a_nic_are_those_that_its_packets_follow(monkeypatch: pytest.MonkeyPatch) -> None:
    live, prefix = two_nics(), IPv4Network("10.2.0.0/16")
    own = live.lab.azure.nic["client/inside"].address
    monkeypatch.setattr(
        LiveState, "table_from", lambda _, node, source: 101 if (node, source) == ("client", own) else None
    )
    path = KernelPath(prefix, "unicast", (KernelHop("eth1", live.lab.azure.nic["nva"].address),), "static")
    monkeypatch.setattr(LiveState, "kernel", lambda _, node, table: (path,) if (node, table) == ("client", 101) else ())
    assert check(proofs.KernelRouteClaim("client/inside", prefix, ("nva",)), live) is None
    assert "ip route show table 101" in (check(proofs.KernelRouteClaim("client/inside", prefix, ("fw",)), live) or "")
    assert "the kernel of client has no route" in (check(proofs.KernelRouteClaim("client", prefix), live) or "")


def test_that_strangers_advertise_nothing_to_each_other_is_true(look: LiveState) -> None:
    assert check(proofs.Absent(proofs.LearnedRouteClaim("vpngw", PREFIX, "branch")), look) is None


def test_whether_a_bgp_daemon_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: dict[str, BgpTable | Exception] = {
        "sdwan-nva": BgpTable({}, ()),
        "security-nva": NotListening("nothing there"),
    }

    def ask(_self: Answers, node: str, *_: object) -> BgpTable:
        answer = answers[node]
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(LiveState, "off", frozenset({"branch"}))
    monkeypatch.setattr(Answers, "ask", ask)
    at = overview()
    assert [at.has_bgp(node) for node in ("sdwan-nva", "security-nva", "branch")] == [True, False, False]
    with pytest.raises(BgpIsGoneError, match=r"security-nva: BGP is not running\."):
        at.bgp("security-nva")
    answers["sdwan-nva"] = CheckFailed("mute")
    with pytest.raises(CheckFailed, match="mute"):
        overview().has_bgp("sdwan-nva")
