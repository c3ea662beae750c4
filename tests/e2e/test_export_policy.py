"""Export policies in FRR and BIRD: what each neighbour gets of an appliance, and that it changes while the lab runs."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from ipaddress import IPv4Network

import pytest

from labkit.azure.model import Origin, PathAttributes
from labkit.cli.app import run as labkit
from labkit.feed.state import PlatformModel
from labkit.operate.look.live_state import LiveState
from labkit.operate.look.snapshot import routes
from labkit.pytest import Boot, RunningLab
from tests.e2e.in_lab import gateways, kill_service, lab_file, nothing_differs, problems
from tests.e2e.test_whatif import foretold
from tests.e2e.waiting import SOON, eventually

NAME = "export-policy"
P161, P162, P163, P163_8, NEW = (
    IPv4Network(text) for text in ("10.161.0.0/16", "10.162.0.0/16", "10.163.0.0/16", "10.163.8.0/24", "10.170.0.0/16")
)
Table = dict[IPv4Network, PathAttributes]


@pytest.fixture(scope="module")
def booted(labkit_lab: Boot) -> RunningLab:
    return labkit_lab(lab_file(NAME))


@pytest.fixture
def lab(booted: RunningLab) -> Iterator[RunningLab]:
    """The test leaves it as its file has it: every proof holds, and nothing differs from the model."""
    yield booted
    assert labkit(["reset", "--lab", NAME]) == 0
    nothing_differs(booted)
    assert problems(booted, SOON) == []


def received(lab: RunningLab, peer: str, server: str = "rs1") -> list[Table]:
    """What both instances of a route server have received from an appliance, what they drop of it included."""
    model = lab.client.fetch(PlatformModel, "model")
    found = []
    for i in (0, 1):
        peers = model.route_servers[f"{server}-{i}"]
        assert peers is not None
        found.append(routes(peers[peer].rib("received")))
    return found


def since(lab: RunningLab, peer: str) -> list[float]:
    """When the sessions of an appliance with route server rs1 that are up came up."""
    sessions = LiveState(lab.lab, lab.client).state.status.sessions
    return [s.since or 0.0 for s in sessions if (s.route_server, s.peer) == ("rs1", peer) and s.established]


def at_branch(lab: RunningLab, nva: str) -> Table:
    """What the branch's router has from an appliance."""
    link = next(link for link in lab.lab.wan_links if link.router == nva)
    return LiveState(lab.lab, lab.client).bgp("branch").adj_rib_in(link.router_address.ip)


def test_what_rules_set_arrives(lab: RunningLab) -> None:
    """A longer path, other next hops, a MED and an ORIGIN; route servers and site get different routes."""
    relay, second = lab.lab.azure.nic["relay"].address, lab.lab.azure.nic["second"].address
    for table in received(lab, "fw"):
        assert {p: (a.next_hop, a.communities) for p, a in table.items() if p in (P163, P163_8)} == dict.fromkeys(
            (P163, P163_8), (relay, ((65321, 163),))
        )
        assert IPv4Network("0.0.0.0/0") not in table
    for table in received(lab, "second"):
        assert {p: (table[p].as_path, table[p].origin, table[p].med) for p in (P161, P162)} == {
            P161: ((65322,), Origin.IGP, None),
            P162: ((65322, 65322), Origin.INCOMPLETE, 7),
        }
        assert table[P162].next_hop == second
    from_fw, from_second = at_branch(lab, "fw"), at_branch(lab, "second")
    assert (from_fw[P161].as_path, from_fw[P161].origin, from_fw[P161].med) == ((65321, 65321), Origin.INCOMPLETE, 50)
    assert (from_second[P161].origin, from_second[P161].med) == (Origin.EGP, 10)
    assert not any(a.as_path[:2] == (65321, 65515) for a in from_fw.values()), "denied"


def test_static_routes_are_redistributed_and_none_of_labkits_own(lab: RunningLab) -> None:
    """The ORIGIN is incomplete; what labkit gives an appliance stays there, the way to its route servers for one."""
    for nva, prefix in (("fw", "10.171.0.0/16"), ("second", "10.172.0.0/16")):
        for table in received(lab, nva):
            path = table[IPv4Network(prefix)]
            assert (path.as_path, path.origin) == ((lab.lab.nva[nva].asn,), Origin.INCOMPLETE)
            assert IPv4Network("10.42.0.0/26") not in table


def test_the_route_server_drops_what_is_its_own(lab: RunningLab) -> None:
    """Without a rule FRR advertises the route server's own path back to it, and the route server drops it."""
    hub = IPv4Network("10.42.0.0/22")
    assert labkit(["nva", "exports", "fw", "--clear", "--lab", NAME]) == 0
    own = (65321, 65515)
    eventually(lambda: [t.get(hub) for t in received(lab, "fw")], lambda ts: all(t and t.as_path == own for t in ts))
    learned = lab.client.get("learned-routes", "rs1", "fw")
    assert str(hub) not in {row["network"] for rows in learned.values() for row in rows}


@pytest.mark.parametrize(("nva", "service"), [("fw", "bgpd"), ("second", "bird")])
def test_what_changes_while_the_lab_runs(lab: RunningLab, nva: str, service: str) -> None:
    """It comes as `whatif` predicts, and outlives the daemon and the node."""
    asn = lab.lab.nva[nva].asn
    foretold(lab, f"nva advertise {nva} {NEW}, nva withdraw {nva} {P162}")
    rules = ("{to: rs1, prefix: 10.161.0.0/16, set: {prepend: 2, med: 9}}", "{to: branch, as_path: ^$, deny: true}")
    command = ["nva", "exports", nva, *rules]
    foretold(lab, shlex.join(command), lambda: labkit([*command, "--lab", NAME]))

    def is_so() -> bool:
        """Of its own it originates another prefix; another one it may have from the branch, and pass on."""
        own = [{p: a for p, a in table.items() if {*a.as_path} == {asn}} for table in received(lab, nva)]
        longer = [(table[P161].as_path, table[P161].med) if P161 in table else None for table in own]
        at_rs1 = all(P162 not in table and NEW in table for table in own) and longer == [((asn,) * 3, 9)] * 2
        return at_rs1 and not {P161, NEW} & at_branch(lab, nva).keys()

    eventually(is_so, bool)
    eventually(lambda: gateways(lab, "vm", NEW), lambda found: found == (lab.lab.azure.nic[nva].address,))
    before = since(lab, nva)
    kill_service(lab, nva, service)
    eventually(lambda: since(lab, nva), lambda now: len(now) == 2 and min(now) > max(before))
    eventually(is_so, bool)
    assert labkit(["stop", nva, "--lab", NAME]) == 0
    assert labkit(["start", nva, "--lab", NAME]) == 0
    eventually(is_so, bool)
    nothing_differs(lab)
    assert [(c.subject, c.part) for c in lab.client.changes()] == [(nva, "advertised prefixes"), (nva, "export policy")]


def test_what_is_not_possible_is_refused(lab: RunningLab, capsys: pytest.CaptureFixture[str]) -> None:
    for words, text in (
        (["withdraw", "fw", "10.99.0.0/16"], "fw does not originate 10.99.0.0/16."),
        (["exports", "fw", "{to: rs9, deny: true}"], "fw has no BGP session with rs9."),
        (["exports", "vm", "--clear"], "there is no NVA with BGP vm."),
    ):
        assert labkit(["nva", *words, "--lab", NAME]) == 2
        assert text in capsys.readouterr().err
    assert lab.client.changes() == ()
