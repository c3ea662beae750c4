"""Which BGP sessions a lab has, between whom, and with which timers."""

from __future__ import annotations

import pytest

from labkit.lab.load import load, load_text, read
from labkit.lab.plan.bgp_sessions import bgp_sessions
from labkit.resources import topologies
from tests.unit.lab.samples import OVERVIEW


def test_every_session_is_there_once() -> None:
    assert [str(session) for session in bgp_sessions(load(OVERVIEW))] == [
        "rs1-0 - sdwan-nva",
        "rs1-0 - security-nva",
        "rs1-1 - sdwan-nva",
        "rs1-1 - security-nva",
        "sdwan-nva - branch",
    ]


@pytest.mark.parametrize(
    ("name", "variant", "sessions"),
    [
        ("dual-homed-expressroute", "overlay", {"csr1 - csr2", "circuit1 - onprem1", "ergw1-1 - circuit1"}),
        ("expressroute-vpn", "bgp", {"vpngw-0 - branch", "vpngw-1 - branch", "rs1-0 - ergw-1", "circuit1-1 - onprem"}),
    ],
)
def test_gateways_circuits_and_overlays_have_theirs(name: str, variant: str, sessions: set[str]) -> None:
    found = [str(session) for session in bgp_sessions(read(topologies() / name / "lab.yml", variant).lab)]
    assert sessions <= set(found)
    assert len(set(found)) == len(found)


def test_the_lower_hold_time_counts_and_keepalives_come_three_times_in_it() -> None:
    text = OVERVIEW.read_text(encoding="utf-8")
    timers = text.replace("asn: 65001,", "asn: 65001, timers: {keepalive: 10, hold: 90},")
    by_name = {str(session): session for session in bgp_sessions(load_text(timers, "lab.yml"))}
    quick, usual = by_name["rs1-0 - sdwan-nva"], by_name["rs1-0 - security-nva"]
    assert (quick.hold, [end.keepalive for end in quick.ends]) == (90, [30, 10])
    assert (usual.hold, [end.keepalive for end in usual.ends]) == (180, [60, 60])
    assert [end.daemon for end in usual.ends] == ["", "frr"]
    assert [str(end.address) for end in usual.ends] == ["10.1.0.4", "10.1.2.4"]
    assert usual.far(usual.ends[0]) == usual.ends[1]
    assert usual.far(usual.ends[1]) == usual.ends[0]
