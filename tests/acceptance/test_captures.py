"""Running labs against what people published from real Azure (reference §8), with the same addresses and ASNs.

The tables are the labs' own proofs (`learned_routes`, `advertised_routes`, `effective_routes`: a whole table each), so
that `labkit verify` shows the comparison to everybody: FAB-C is `topologies/expressroute-vpn`, FAB-E
`topologies/dual-homed-expressroute`, FAB-D is beside this file. Here is what a proof can't say.

What differs from the captures, and why:

- FAB-C: each instance of a gateway lists what it has from the other one too. Here the two don't speak with each other.
- FAB-C: one row for a circuit's prefix at an ExpressRoute gateway's instance, where Azure lists one for each of its two
  edge routers. A circuit has one router here.
- FAB-D: the tunnels to the site are links. From hub to hub a packet is dropped at the first appliance, where in Azure
  it circled; the capture does not show the routes of the appliances' own subnets.
- FAB-E: the rows of gateways' own subnets are not published; packets come back to the spoke through the appliances
  because of user-defined routes there.
- All: the None rows of Azure's reserved blocks are compared by the rules' own tests, with the captures that show them.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import pytest

from labkit.operate.probes import traceroute
from labkit.pytest import Boot, RunningLab
from tests.e2e.in_lab import gateways, problems, without_bgpd
from tests.e2e.waiting import eventually

FAB_D = Path(__file__).parent / "labs" / "fab-d.lab.yml"
COLUMNS = ("localAddress", "network", "nextHop", "sourcePeer", "origin", "asPath", "weight")


def rows(document: dict[str, list[dict[str, Any]]], local: str) -> list[str]:
    """The rows of a gateway's instance, as `az --output table` would print them."""
    mine = [row for row in document["value"] if row["localAddress"] == local]
    return [" ".join(str(row[c]) for c in COLUMNS if row[c] != "") for row in mine]


@pytest.fixture(scope="module")
def fab_c(booted: Boot) -> RunningLab:
    return booted("expressroute-vpn")


@pytest.mark.parametrize("own", ["10.100.0.196", "10.100.0.197"])
def test_fab_c_vpn_gateway_learned(fab_c: RunningLab, own: str) -> None:
    assert rows(fab_c.client.get("gateways", "vpngw", "learned-routes"), own) == [
        f"{own} 10.1.34.0/25 10.100.0.199 10.100.0.68 IBgp 12076-65020 32768",
        f"{own} 10.1.34.0/25 10.100.0.199 10.100.0.69 IBgp 12076-65020 32768",
        f"{own} 10.100.0.0/23 {own} Network 32768",
        f"{own} 10.200.0.0/24 {own} Network 32768",
    ]


def test_fab_c_expressroute_gateway_learned(fab_c: RunningLab) -> None:
    assert rows(fab_c.client.get("gateways", "ergw", "learned-routes"), "10.100.0.204") == [
        "10.100.0.204 10.1.34.0/25 10.100.0.199 10.100.0.199 EBgp 12076-65020 32769",
        "10.100.0.204 10.100.0.0/23 10.100.0.204 Network 32768",
        "10.100.0.204 10.200.0.0/24 10.100.0.196 10.100.0.68 IBgp 32768",
        "10.100.0.204 10.200.0.0/24 10.100.0.196 10.100.0.69 IBgp 32768",
    ]


@pytest.fixture(scope="module")
def fab_d(booted: Boot) -> RunningLab:
    return booted(FAB_D)


def test_fab_d_tables_and_reachability(fab_d: RunningLab) -> None:
    assert problems(fab_d) == []


def test_fab_d_with_csr1_down(fab_d: RunningLab) -> None:
    """§8 (d): the machine's rows move to 10.102.2.10."""
    prefix = IPv4Network("10.5.1.0/24")
    with without_bgpd(fab_d, "csr1"):
        eventually(lambda: gateways(fab_d, "vm02", prefix), lambda hops: hops == (IPv4Address("10.102.2.10"),))
        site = IPv4Address("10.5.1.10")
        eventually(lambda: traceroute(fab_d.client, "vm02", site)[:1], lambda way: way == [IPv4Address("10.102.2.10")])
    eventually(lambda: gateways(fab_d, "vm02", prefix), lambda hops: hops == (IPv4Address("10.101.2.10"),))
    assert problems(fab_d, 30) == []


def test_fab_d_without_prepend(booted: Boot) -> None:
    assert problems(booted(FAB_D, variant="no-prepend")) == []
