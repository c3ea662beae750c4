"""The walker on predicted tables: where the fabric, a machine or the sender's own kernel drops packets."""

from __future__ import annotations

from pathlib import Path

import pytest

from labkit.azure.forwarding import Disposition
from labkit.lab.load import load_text, read
from labkit.lab.model import Lab
from labkit.predict.tables import PredictedTables
from labkit.predict.walk.steps import RouterStep
from labkit.predict.walk.walker import Walker
from labkit.predict.whatif.model import Side
from labkit.predict.whatif.reach import Reach, predicted, targets
from tests.unit.azure.builders import addr
from tests.unit.operate.test_whatif import settled

BRANCH = """
name: one-way
virtual_networks:
  hub:
    address_space: 10.1.0.0/16
    subnets:
      RouteServerSubnet: 10.1.0.0/26
      nvas: 10.1.1.0/24
      work: {prefix: 10.1.10.0/24, route_table: work}
route_tables:
  work: {routes: {10.99.0.0/16: vm2}}
route_servers:
  rs1: {virtual_network: hub, peers: [nva]}
nvas:
  nva: {subnet: hub/nvas, asn: 65001, connects_to: [branch], ip_forwarding: false}
sites:
  branch: {asn: 65010, prefixes: 10.250.0.0/16}
virtual_machines:
  vm1: hub/work
  vm2: {subnet: hub/work, ip_forwarding: true}
"""


def reach(lab: Lab) -> Reach:
    end = settled(lab)
    return predicted(lab, Side(lab.azure, end.speakers.adj_ribs_in, end.routers))


def ways(lab: Lab, source: str, target: str) -> list[str]:
    return [str(way) for way in reach(lab).ways(source, targets(lab)[target])]


@pytest.fixture(scope="module")
def lab() -> Lab:
    return load_text(BRANCH, "one-way")


def test_an_appliance_without_ip_forwarding_forwards_neither_way(lab: Lab) -> None:
    """The fabric drops what it sends for others, as it drops what is sent to it for others."""
    assert ways(lab, "branch-host", "vm1") == ["dropped at nva: IP forwarding is off on its NIC"]
    assert ways(lab, "vm1", "branch-host") == ["dropped at nva: IP forwarding is off on its NIC"]
    assert ways(lab, "nva", "vm1") == ["delivered"]
    on = load_text(BRANCH.replace(", ip_forwarding: false", ""), "one-way")
    assert ways(on, "branch-host", "vm1") == ["delivered through nva"]


def test_a_machine_forwards_nothing_whatever_its_nic_may(lab: Lab) -> None:
    (way,) = reach(lab).ways("vm1", addr("10.99.0.1"))
    assert (way.disposition, way.at) == (Disposition.NOT_A_ROUTER, "vm2")
    end = settled(lab)
    (walk,) = Walker(lab, PredictedTables(lab, end.speakers, end.routers)).walks("vm1", addr("10.99.0.1"))
    assert walk.hops == (), "it does not answer when a TTL ends there"


@pytest.mark.parametrize("router", ["frr", "bird"])
def test_equal_paths_by_nics_and_links_are_all_followed(router: str) -> None:
    """A router's own packets have the address of their way out; what it forwards by one NIC gets that one's."""
    lab = read(Path(__file__).parents[2] / "e2e" / "labs" / "equal-paths.lab.yml").lab
    end = settled(lab)
    walker = Walker(lab, PredictedTables(lab, end.speakers, end.routers))
    overlay = next(each for each in lab.overlays if router in each.nvas)
    outside, inside = (lab.azure.nic[f"{router}/{name}"].address for name in ("outside", "inside"))
    ends = {"up": outside, "down": inside, "far": overlay.addresses[0].ip}
    branch = lab.site["branch"].host.address.ip
    own = {walk.nodes[0]: walk.origin for walk in walker.walks(router, branch)}
    assert own == ends
    vm = next(nic for nic in lab.azure.nics if nic.subnet == f"by-{router}")
    forwarded = {
        walk.nodes[1]: step.packet.source
        for walk in walker.walks(vm.machine, branch)
        for step in walk.steps
        if isinstance(step, RouterStep) and step.node == router
    }
    assert forwarded == {"up": vm.address, "down": inside, "far": vm.address}
    link = next(each for each in lab.wan_links if each.router == router)
    (walk,) = walker.walks(router, link.site_address.ip)
    assert walk.origin == link.router_address.ip
