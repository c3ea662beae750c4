"""Networks on premises with several routers, forced tunnelling, relays between circuits, and links between sites."""

from __future__ import annotations

from ipaddress import IPv4Network

import pytest

from labkit.operate.diff.run import differences
from labkit.operate.look.probes import ping
from labkit.operate.trace.run import trace
from labkit.pytest import Boot, RunningLab
from tests.e2e.by_the_rules import astray, unlike
from tests.e2e.in_lab import gateways, lab_file, off, problems, without_bgpd
from tests.e2e.waiting import SOON, eventually

HQ, SUPERNET = IPv4Network("10.50.1.0/24"), IPv4Network("10.50.0.0/16")


@pytest.fixture(scope="module")
def lab(labkit_lab: Boot) -> RunningLab:
    return labkit_lab(lab_file("sites"))


def test_everything_is_as_the_rules_have_it(lab: RunningLab) -> None:
    assert problems(lab) == []
    assert unlike(lab.lab, lab.lab.azure, lab.client) == []
    assert astray(lab.lab, lab.client) == []
    assert [str(d) for d in differences(lab.lab, lab.client)] == []


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("vmhub", "hq"),
        ("vmhub", "10.50.77.1"),  # in the supernet, and nobody's
        ("vmhub", "10.70.0.1"),  # by a static route
        ("vmhub", "vmfar"),
        ("vmfar", "internet"),
        ("vmstore", "internet"),
        ("vmisland", "internet"),
        ("hq-host", "vmstore"),
        ("plant-host", "vmhub"),
    ],
)
def test_a_traceroute_goes_as_predicted(lab: RunningLab, source: str, target: str) -> None:
    assert trace(lab.lab, lab.client, source, target).agrees


def test_one_router_stops_and_the_other_takes_over(lab: RunningLab) -> None:
    """The way of one circuit goes; what that router alone announces is gone, and the plant's default route is used."""
    host = lab.lab.site["hq"].host.address.ip
    before = gateways(lab, "vmhub", HQ)
    with off(lab, "hq-r1"):
        eventually(lambda: gateways(lab, "vmhub", HQ), lambda hops: hops not in (None, before))
        eventually(lambda: ping(lab.client, "vmhub", host), bool)
        eventually(lambda: gateways(lab, "erfar-0", SUPERNET), lambda hops: hops is None)
        eventually(lambda: ping(lab.client, "vmfar", lab.lab.internet.host), bool)  # type: ignore[union-attr]
    eventually(lambda: gateways(lab, "vmhub", HQ), lambda hops: hops == before)
    assert problems(lab, SOON) == []


def test_an_edge_is_under_maintenance_and_the_other_one_s_router_takes_over(lab: RunningLab) -> None:
    """What that router does not advertise to it, the default route, is gone meanwhile: Azure's own is used."""
    host = lab.lab.site["hq"].host.address.ip
    with off(lab, "c3-0"):
        eventually(lambda: gateways(lab, "vmfar", HQ), lambda hops: hops is not None and len(hops) == 1)
        eventually(lambda: trace(lab.lab, lab.client, "vmfar", "hq"), lambda way: way.agrees and "hq-r1" in str(way))
        eventually(lambda: ping(lab.client, "vmfar", host), bool)
        out = "vmfar", "internet"
        eventually(lambda: trace(lab.lab, lab.client, *out), lambda way: way.agrees and "hq-r1" not in str(way))
    eventually(lambda: problems(lab), lambda found: found == [])


def test_a_link_between_sites_takes_over(lab: RunningLab) -> None:
    """The store's tunnel to the headquarters has no routes: its packets go by the plant."""
    host, plant = lab.lab.site["hq"].host.address.ip, "169.254.21.6"
    before = gateways(lab, "vpn-0", HQ)
    with without_bgpd(lab, "hq-r1"):
        eventually(lambda: [str(hop) for hop in gateways(lab, "vpn-0", HQ) or ()], [plant].__eq__)
        eventually(lambda: ping(lab.client, "vmstore", host), bool)
    eventually(lambda: gateways(lab, "vpn-0", HQ), lambda hops: hops == before)
    assert problems(lab, SOON) == []
