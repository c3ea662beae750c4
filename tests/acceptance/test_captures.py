"""Running labs against what people published from real Azure (docs/captures.md), with the same addresses and ASNs.

The tables are the labs' own proofs (`capture`), so that `labkit verify` shows the comparison to everybody: FAB-C is
`topologies/expressroute-vpn`, FAB-E `topologies/dual-homed-expressroute`, FAB-D is beside this file. Here is what a
proof can't say. What differs from the captures, and why, is in `docs/captures.md`.
"""

from __future__ import annotations

import json
import re
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from labkit.azure.changes.route_servers import SetRouteServerSettings
from labkit.cli.app import run as labkit
from labkit.lab.load import read
from labkit.lab.proofs import Capture
from labkit.operate.look.probes import traceroute
from labkit.pytest import Boot, RunningLab
from labkit.resources import topologies
from tests.e2e.in_lab import gateways, problems, without_bgpd
from tests.e2e.waiting import SOON, eventually

FAB_D = Path(__file__).parent / "labs" / "fab-d.lab.yml"
PAGE = Path(__file__).parent.parent.parent / "docs" / "captures.md"


def captures(file: Path) -> list[Capture]:
    return [proof.claim for proof in read(file).lab.proofs if isinstance(proof.claim, Capture)]


@pytest.mark.parametrize(
    ("file", "rows"),
    [
        (topologies() / "expressroute-vpn" / "lab.yml", 12 + 5 + 5),
        (topologies() / "dual-homed-expressroute" / "lab.yml", 4 * 20 + 2 * 12 + 2 * 4 + 4 * 9 + 7 + 2 * 8),
        (FAB_D, 2 * 12 + 10 + 16 + 8 + 5),
    ],
)
def test_every_published_row_is_compared(file: Path, rows: int) -> None:
    """So many rows has the page that each lab is from."""
    found = captures(file)
    assert sum(len(c.rows) + sum(len(each.azure) for each in c.otherwise) for c in found) == rows


def test_no_row_differs() -> None:
    """As the page has it: no lab gives a reason why one would."""
    labs = [topologies() / name / "lab.yml" for name in ("expressroute-vpn", "dual-homed-expressroute")]
    assert [each.because for file in (*labs, FAB_D) for claim in captures(file) for each in claim.otherwise] == []
    assert "No row of the three labs differs." in PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["expressroute-vpn", "dual-homed-expressroute"])
def test_the_labs_tables_are_azures(labkit_lab: Boot, name: str) -> None:
    """And `verify` shows all of their rows."""
    outcomes = labkit_lab(name).verify(SOON)
    compared = [o.comparison for o in outcomes if o.comparison is not None]
    assert [c.claim for c in compared] == captures(topologies() / name / "lab.yml")
    assert [c.problem for c in compared if c.problem] == []
    for each in compared:
        assert {row.cells for row in each.rows if row.same} == set(each.claim.rows)


def test_verify_shows_the_comparison(labkit_lab: Boot, capsys: pytest.CaptureFixture[str]) -> None:
    lab = labkit_lab("expressroute-vpn")
    name = lab.client.record.lab
    assert labkit(["verify", "--lab", name]) == 0
    out = capsys.readouterr().out
    assert re.search(r"✓ +✓ +10\.1\.34\.0/25 +192\.168\.34\.17 +65020\n", out), out
    assert labkit(["verify", "--lab", name, "-o", "json"]) == 0
    tables = [check["published"] for check in json.loads(capsys.readouterr().out) if "published" in check]
    assert [(t["table"], sum(row["inAzure"] for row in t["rows"])) for t in tables] == [
        ("gateway learned-routes vpngw", 12),
        ("gateway learned-routes ergw", 5),
        ("routes circuit1-0 --bgp", 5),
    ]


def test_a_row_that_goes_is_missed(labkit_lab: Boot, capsys: pytest.CaptureFixture[str]) -> None:
    """Without branch-to-branch the gateways do not receive each other's branch."""
    lab = labkit_lab("expressroute-vpn")
    lab.client.change(SetRouteServerSettings("rs1", False))
    try:
        eventually(lambda: problems(lab), lambda found: any("gateway learned-routes ergw" in text for text in found))
        assert labkit(["verify", "--lab", lab.client.record.lab, "--within", "0"]) == 1
        out = capsys.readouterr().out
        assert re.search(
            r"✓ +- +10\.100\.0\.204 +10\.200\.0\.0/24 +10\.100\.0\.196 +10\.100\.0\.68 +IBgp +32768 +✗", out
        ), out
    finally:
        lab.client.change(SetRouteServerSettings("rs1", True))
    assert problems(lab, SOON) == []


@pytest.fixture(scope="module")
def fab_d(labkit_lab: Boot) -> RunningLab:
    return labkit_lab(FAB_D)


def test_fab_d_tables_and_reachability(fab_d: RunningLab) -> None:
    assert problems(fab_d, SOON) == []


def test_fab_d_with_csr1_down(fab_d: RunningLab) -> None:
    """As published of FAB-D: the machine's rows move to 10.102.2.10."""
    prefix = IPv4Network("10.5.1.0/24")
    with without_bgpd(fab_d, "csr1"):
        eventually(lambda: gateways(fab_d, "vm02", prefix), lambda hops: hops == (IPv4Address("10.102.2.10"),))
        site = IPv4Address("10.5.1.10")
        eventually(lambda: traceroute(fab_d.client, "vm02", site)[:1], lambda way: way == [IPv4Address("10.102.2.10")])
    eventually(lambda: gateways(fab_d, "vm02", prefix), lambda hops: hops == (IPv4Address("10.101.2.10"),))
    assert problems(fab_d, SOON) == []


def test_fab_d_without_prepend(labkit_lab: Boot) -> None:
    assert problems(labkit_lab(FAB_D, variant="no-prepend"), SOON) == []
