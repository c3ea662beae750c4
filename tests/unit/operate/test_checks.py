"""Claims about speakers that do not speak with each other: of nobody everything would hold."""

from __future__ import annotations

from ipaddress import IPv4Network

import pytest

from labkit.lab import proofs
from labkit.lab.load import read
from labkit.operate.checks import check
from labkit.operate.client import LabClient
from labkit.operate.observe import Look
from labkit.operate.record import Record
from labkit.resources import topologies
from labkit.runtimes.select import SANDBOX

PREFIX = IPv4Network("10.200.0.0/24")


@pytest.fixture
def look() -> Look:
    """A lab without BGP in its tunnels. It does not run: what is asked here needs no running lab."""
    lab = read(topologies() / "expressroute-vpn" / "lab.yml").lab
    return Look(lab, LabClient(Record(lab.name, SANDBOX, "", "", 0.0)))


@pytest.mark.parametrize(
    "claim",
    [
        proofs.Session("vpngw", "branch"),
        proofs.LearnedRoute("vpngw", PREFIX, "branch"),
        proofs.LearnedRoutes("vpngw", "branch", {}),
    ],
)
def test_what_strangers_say_does_not_hold(look: Look, claim: object) -> None:
    assert (check(claim, look) or "").startswith("nobody speaks BGP there")


def test_that_strangers_tell_each_other_nothing_holds(look: Look) -> None:
    assert check(proofs.Absent(proofs.LearnedRoute("vpngw", PREFIX, "branch")), look) is None
