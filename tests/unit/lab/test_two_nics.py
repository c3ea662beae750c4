"""Machines with two NICs: virtual machines and NVAs."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from labkit.azure.rules.effective import effective_routes
from labkit.lab.build import plan, wiring
from labkit.lab.fabric_ports import NicPort, PeeringPort, fabric_ports
from labkit.lab.load import load_text
from labkit.lab.model import Lab
from labkit.lab.plan.model import Node
from labkit.lab.plan.nodes import address_of, addresses, owners
from tests.unit.azure.builders import addr, net

TEXT = """
name: two-armed
virtual_networks:
  hub:
    address_space: 10.1.0.0/16
    subnets:
      outside: 10.1.1.0/24
      inside: {prefix: 10.1.2.0/24, route_table: through}
  spoke: {address_space: 10.2.0.0/16, subnets: {work: 10.2.1.0/24}}
peerings: [{between: [hub, spoke]}]
route_tables: {through: {routes: {10.2.0.0/16: None}}}
nvas:
  fw:
    nics: {outside: hub/outside, inside: {subnet: hub/inside, mac: "00:0d:3a:00:00:02"}}
    asn: 65001
    connects_to: branch
sites:
  branch: {asn: 65010, prefixes: 10.250.0.0/16}
virtual_machines:
  vm:
    policy_routing: true
    nics: {front: spoke/work, back: {subnet: spoke/work, address: 10.2.1.9, mac: "00:0d:3a:00:00:03"}}
  alone: spoke/work
  guest:
    nics: {front: {subnet: spoke/work, addresses: [10.2.1.20, 10.2.1.21]}, back: spoke/work}
"""


@pytest.fixture(name="lab")
def two_armed() -> Lab:
    return load_text(TEXT, "two-armed")


def node(lab: Lab, name: str) -> Node:
    return next(n for n in plan(lab).nodes if n.name == name)


def test_the_model_knows_the_nics_of_a_machine(lab: Lab) -> None:
    assert [nic.name for nic in lab.azure.nics_of("fw")] == ["fw/outside", "fw/inside"]
    assert lab.azure.primary_nic("fw").interface == "eth0"
    assert lab.azure.nics_of("branch") == ()
    with pytest.raises(KeyError):
        lab.azure.primary_nic("fw/inside")


def test_each_nic_has_effective_routes_of_its_own_subnet(lab: Lab) -> None:
    spoke = net("10.2.0.0/16")
    outside, inside = (
        {row.prefix: str(row.next_hop_type) for row in effective_routes(lab.azure, nic.name, {})}
        for nic in lab.azure.nics_of("fw")
    )
    assert (outside[spoke], inside[spoke]) == ("VNetPeering", "None")


def test_a_machine_brings_up_every_nic_before_its_links(lab: Lab) -> None:
    assert [c for c in node(lab, "fw").exec if c.startswith("ip address")] == [
        "ip address replace 10.1.1.4/24 dev eth0",
        "ip address replace 10.1.2.4/24 dev eth1",
        "ip address replace 100.64.0.1/30 dev eth2",
    ]
    assert "ip link set dev eth1 up" in node(lab, "fw").exec
    assert [c for c in node(lab, "vm").exec if c.startswith("ip address")] == [
        "ip address replace 10.2.1.4/24 dev eth0",
        "ip address replace 10.2.1.9/24 dev eth1",
    ]


def test_every_nic_has_a_wire_to_its_virtual_network_with_its_mac(lab: Lab) -> None:
    links = wiring(lab).links
    found = {(w.a.node, w.a.interface, w.b.node, w.b.interface): w.b.mac for w in links}
    assert found["hub", "fw", "fw", "eth0"] == lab.azure.nic["fw/outside"].mac
    assert found["hub", "fw.1", "fw", "eth1"] == "00:0d:3a:00:00:02"
    assert found["spoke", "vm.1", "vm", "eth1"] == "00:0d:3a:00:00:03"
    assert ("fw", "eth2", "branch", "eth1") in found
    assert len({(end.node, end.interface) for w in links for end in (w.a, w.b)}) == 2 * len(links)


def test_a_fabric_has_a_port_for_each_nic(lab: Lab) -> None:
    ports = fabric_ports(lab, "hub")
    nics = {name: port.nic.address for name, port in ports.items() if isinstance(port, NicPort)}
    assert nics == {"fw": addr("10.1.1.4"), "fw.1": addr("10.1.2.4")}
    peering = fabric_ports(lab, "spoke")["hub"]
    assert isinstance(peering, PeeringPort)
    assert [address for address, _ in peering.neighbours] == [addr("10.1.1.4"), addr("10.1.2.4")]
    assert set(fabric_ports(lab, "hub", gone={"fw"})) == {"spoke"}, "a node that is gone has no port left"


def test_a_machine_is_known_by_its_primary_address_and_owns_all(lab: Lab) -> None:
    assert addresses(lab)["fw"] == addr("10.1.1.4")
    owned = owners(lab)
    assert (owned[IPv4Address("10.1.1.4")], owned[IPv4Address("10.1.2.4")]) == ("fw", "fw")
    assert plan(lab).owners["10.1.2.4"] == "fw"


def test_a_machine_with_several_nics_in_its_file(lab: Lab) -> None:
    front, back = lab.azure.nics_of("vm")
    assert (front.name, front.interface, front.address) == ("vm/front", "eth0", addr("10.2.1.4"))
    assert (back.name, back.interface, back.address) == ("vm/back", "eth1", addr("10.2.1.9"))
    assert front.mac != back.mac
    assert lab.azure.find_nic("vm") == lab.azure.find_nic("vm/front") == front
    assert lab.azure.find_nic("vm/back") == back
    with pytest.raises(KeyError):
        lab.azure.find_nic("vm/other")
    assert address_of(lab, "vm/back") == back.address
    machine = node(lab, "vm")
    assert machine.env["LABKIT_INTERFACE"] == "eth0 eth1"
    assert [command for command in machine.exec if command.startswith("ip rule")] == [
        "ip rule flush protocol 66",
        "ip rule add priority 100 from 10.2.1.4 lookup 100 protocol 66",
        "ip rule add priority 101 from 10.2.1.9 lookup 101 protocol 66",
    ]
    assert {"vm", "vm.1"} <= fabric_ports(lab, "spoke").keys()
    assert machine.env["LABKIT_NIC_TABLES"] == "1"
    guest = node(lab, "guest")
    assert (guest.env["LABKIT_INTERFACE"], "LABKIT_NIC_TABLES" in guest.env) == ("eth0 eth1", False)
    assert not any("rule" in command for command in guest.exec), "it is as DHCP leaves it"
    assert [c for c in guest.exec if "eth0" in c and "address" in c] == [
        "ip address replace 10.2.1.20/24 dev eth0",
        "ip address replace 10.2.1.21/24 dev eth0",
    ]
    alone = node(lab, "alone")
    assert alone.env["LABKIT_INTERFACE"] == "eth0"
    assert not any("rule" in command for command in alone.exec)
