"""A spoke with two ways out: whatever fails in one hub, the spoke's traffic takes the other, in both directions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from labkit.azure.changes.virtual_networks import PutPeering
from labkit.operate.look.live_state import LiveState
from labkit.operate.look.probes import ping
from labkit.pytest import Boot, RunningLab
from labkit.resources import topologies
from tests.e2e.in_lab import (
    configure,
    gateways,
    off,
    problems,
    put_table,
    reaches,
    run,
    traced,
    wait_until_programmed,
    without_bgpd,
)
from tests.e2e.in_lab import variant as changed
from tests.e2e.waiting import SOON, eventually

SPOKE, ONPREM, DEFAULT = IPv4Network("10.0.0.0/16"), IPv4Network("10.5.0.0/16"), IPv4Network("0.0.0.0/0")
ONPREM_HOST, INTERNET = IPv4Address("10.5.0.10"), IPv4Address("198.51.100.10")
NVA1, NVA2 = IPv4Address("10.101.1.4"), IPv4Address("10.102.1.4")
VMS = ("vm1", "vm2")
Hops = tuple[IPv4Address, ...]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    changes = {"name: dual-homed": "name: dual-homed-e2e", "keepalive: 3, hold: 9": "keepalive: 1, hold: 3"}
    return changed(topologies() / "dual-homed" / "lab.yml", tmp_path_factory.mktemp("lab"), changes)


@pytest.fixture(scope="module", params=["", "active-passive"], ids=["active-active", "active-passive"])
def lab(request: pytest.FixtureRequest, labkit_lab: Boot, file: Path) -> RunningLab:
    return labkit_lab(file, variant=request.param)


@pytest.fixture(autouse=True)
def _whole_again(lab: RunningLab) -> Iterator[None]:
    """Every test leaves the lab as it found it, and that is checked."""
    yield
    assert problems(lab, SOON) == []


def usual(lab: RunningLab) -> Hops:
    return (NVA1,) if lab.lab.variant else (NVA1, NVA2)


def kernels_become(lab: RunningLab, prefix: IPv4Network, hops: Hops) -> None:
    """Wait until the kernels of all the spoke's machines have the prefix via these appliances."""
    eventually(lambda: [gateways(lab, vm, prefix) for vm in VMS], lambda found: found == [hops] * len(VMS))
    wait_until_programmed(lab)


def onprem_returns_by(lab: RunningLab, *nvas: str) -> None:
    """Wait until the site's kernel has the spoke via these appliances."""
    links = {link.router_address.ip for link in lab.lab.wan_links if link.router in nvas}
    eventually(lambda: set(gateways(lab, "onprem", SPOKE) or ()), lambda found: found == links)


def packets_pass(lab: RunningLab, *targets: IPv4Address) -> None:
    for vm in VMS:
        for target in targets:
            reaches(lab.client, vm, target)
    reaches(lab.client, "onprem-host", lab.lab.azure.nic["vm1"].address)


@contextmanager
def powered_off(lab: RunningLab) -> Iterator[None]:
    """Silently: only hold times end the sessions."""
    with off(lab, "hub1-nva"):
        yield


def killed(lab: RunningLab) -> AbstractContextManager[None]:
    return without_bgpd(lab, "hub1-nva")


@contextmanager
def shut(lab: RunningLab) -> Iterator[None]:
    """An administrator shuts all its sessions."""
    neighbours = [str(a) for a in lab.lab.azure.route_server["rs0"].instances]
    neighbours += [str(link.site_address.ip) for link in lab.lab.wan_links if link.router == "hub1-nva"]
    configure(lab, "hub1-nva", "router bgp 65001", *(f"neighbor {address} shutdown" for address in neighbours))
    try:
        yield
    finally:
        configure(lab, "hub1-nva", "router bgp 65001", *(f"no neighbor {address} shutdown" for address in neighbours))


@pytest.mark.parametrize("gone", [powered_off, killed, shut])
def test_the_other_hub_takes_everything(
    lab: RunningLab, gone: Callable[[RunningLab], AbstractContextManager[None]]
) -> None:
    with gone(lab):
        kernels_become(lab, ONPREM, (NVA2,))
        kernels_become(lab, DEFAULT, (NVA2,))
        onprem_returns_by(lab, "hub2-nva")
        packets_pass(lab, ONPREM_HOST, INTERNET)
    kernels_become(lab, ONPREM, usual(lab))
    kernels_become(lab, DEFAULT, usual(lab))


def test_a_dead_link_moves_what_lay_behind_it(lab: RunningLab) -> None:
    """The Internet is not behind it, and stays where it was."""
    run(lab, "hub1-nva", "ip", "link", "set", "eth1", "down")
    try:
        kernels_become(lab, ONPREM, (NVA2,))
        kernels_become(lab, DEFAULT, usual(lab))
        onprem_returns_by(lab, "hub2-nva")
        packets_pass(lab, ONPREM_HOST, INTERNET)
    finally:
        run(lab, "hub1-nva", "ip", "link", "set", "eth1", "up")
    kernels_become(lab, ONPREM, usual(lab))


def test_a_service_that_fails_behind_a_healthy_session(lab: RunningLab) -> None:
    """The appliance notices that the Internet is gone, and withdraws the way to it; BGP sees no session change."""

    def since() -> list[tuple[str, ...]]:
        sessions = lab.client.get("status")["sessions"]
        return sorted((s["peer"], str(s["instance"]), s["state"], str(s["since"])) for s in sessions)

    before = since()
    put_table(lab, "hub1-upstream", {"0.0.0.0/0": "None"})
    kernels_become(lab, DEFAULT, (NVA2,))
    kernels_become(lab, ONPREM, usual(lab))
    packets_pass(lab, ONPREM_HOST, INTERNET)
    assert since() == before
    put_table(lab, "hub1-upstream")
    kernels_become(lab, DEFAULT, usual(lab))
    assert since() == before
    logged = "tracker: 198.51.100.10 is silent"
    eventually(lambda: list(lab.client.runtime.logs(lab.lab.name, "hub1-nva")), lambda lines: logged in lines)


def test_the_hubs_do_not_meet(lab: RunningLab) -> None:
    """Not even by their appliances: peering is one network deep."""
    hub2_vm = lab.lab.azure.nic["hub2-vm"].address
    assert not ping(lab.client, "hub1-vm", hub2_vm)
    assert not ping(lab.client, "hub1-nva", hub2_vm)


def test_a_trace_shows_where_answers_stay_that_were_translated_outside(lab: RunningLab) -> None:
    """The spoke lets its packets out, and takes back nothing that is only forwarded to it."""
    hubs = ("hub1", "hub2")
    lab.client.change(*(PutPeering("spoke", hub, allow_forwarded_traffic=False) for hub in hubs))
    eventually(lambda: ping(lab.client, "vm1", INTERNET), lambda answered: not answered)
    found = traced(lab, "vm1", "internet", "delivered")
    ((hop, reason),) = found.silent
    assert hop == INTERNET
    assert "spoke accepts nothing from hub" in reason
    lab.client.change(*(PutPeering("spoke", hub, allow_forwarded_traffic=True) for hub in hubs))


def test_nothing_but_bgp_ever_crossed_the_route_server(lab: RunningLab) -> None:
    packets_pass(lab, ONPREM_HOST, INTERNET)
    assert [LiveState(lab.lab, lab.client).foreign_packets(instance) for instance in ("rs0-0", "rs0-1")] == [0, 0]
