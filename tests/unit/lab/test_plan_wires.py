"""Every veth, MAC and switch port of a lab."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from labkit.lab.build import wiring
from labkit.lab.fabric_ports import InternetPort, NicPort, PeeringPort, fabric_ports
from labkit.lab.load import load, load_text
from labkit.lab.model import Lab
from labkit.lab.plan.macs import FABRIC_MAC
from labkit.lab.plan.wires import instance_nics

from .samples import EVERYTHING, OVERVIEW

OVERVIEW_LAB = load(OVERVIEW)
EVERYTHING_LAB = load_text(EVERYTHING, "all.lab.yml")
every_lab = pytest.mark.parametrize("lab", [OVERVIEW_LAB, EVERYTHING_LAB], ids=["overview", "everything"])


def drawn(lab: Lab) -> list[str]:
    return [f"{w.a.node}:{w.a.interface} {w.b.node}:{w.b.interface}" for w in wiring(lab).links]


def test_wires_of_the_overview() -> None:
    assert drawn(OVERVIEW_LAB) == [
        "vnet1:sdwan-nva sdwan-nva:eth0",
        "vnet1:security-nva security-nva:eth0",
        "vnet1:vm1 vm1:eth0",
        "vnet1:vm2 vm2:eth0",
        "vnet1:rs1-0 rs1-0:eth0",
        "vnet1:rs1-1 rs1-1:eth0",
        "vnet1:internet internet:eth0",
        "sdwan-nva:eth1 branch:eth1",
        "branch:eth0 branch-host:eth0",
    ]


def test_a_leg_for_each_virtual_network_and_one_wire_for_each_peering() -> None:
    wanted = {"hub:internet internet:eth0", "spoke:internet internet:eth1", "hub:spoke spoke:hub"}
    assert wanted <= set(drawn(EVERYTHING_LAB))


def test_a_peering_with_one_side_only_carries_nothing() -> None:
    azure = EVERYTHING_LAB.azure
    lab = replace(EVERYTHING_LAB, azure=replace(azure, peerings=azure.peerings[:1]))
    assert "hub:spoke spoke:hub" not in drawn(lab)
    assert "spoke" not in fabric_ports(lab, "hub")


def test_an_nva_with_two_sites_and_a_site_with_two_nvas() -> None:
    text = EVERYTHING.replace("connects_to: branch", "connects_to: [branch, depot]").replace(
        "fw2: {subnet: hub/nva, asn: 65002}", "fw2: {subnet: hub/nva, asn: 65002, connects_to: branch}"
    )
    text = text.replace("sites:\n", "sites:\n  depot: {asn: 65011, prefixes: 10.251.0.0/16}\n")
    assert [w for w in drawn(load_text(text, "x")) if ":eth" in w.split()[0] and "host" not in w] == [
        "fw2:eth1 branch:eth1",
        "fw4:eth1 branch:eth2",
        "fw4:eth2 depot:eth1",
    ]


def test_what_a_peering_does_not_take_from_afar_is_kept_out() -> None:
    for flag, sources in ((True, None), (False, EVERYTHING_LAB.azure.virtual_network["spoke"].address_space)):
        peerings = tuple(
            replace(p, allow_forwarded_traffic=flag, use_remote_gateways=False, allow_gateway_transit=False)
            for p in EVERYTHING_LAB.azure.peerings
        )
        port = fabric_ports(EVERYTHING_LAB, "hub", replace(EVERYTHING_LAB.azure, peerings=peerings))["spoke"]
        assert isinstance(port, PeeringPort)
        assert port.sources == sources


@every_lab
def test_interfaces_and_macs_are_unique(lab: Lab) -> None:
    ends = [end for wire in wiring(lab).links for end in (wire.a, wire.b)]
    assert len({(e.node, e.interface) for e in ends}) == len(ends)
    macs = [e.mac for e in ends]
    assert len(set(macs)) == len(macs)
    assert FABRIC_MAC not in macs
    assert all(len(e.interface) <= 15 for e in ends)


@every_lab
def test_a_nics_wire_carries_the_nics_mac(lab: Lab) -> None:
    macs = {e.node: e.mac for wire in wiring(lab).links for e in (wire.a, wire.b) if e.interface == "eth0"}
    for nic in (*lab.azure.nics, *instance_nics(lab)):
        assert macs[nic.name] == nic.mac


def test_macs_that_collide_are_made_again() -> None:
    instance = instance_nics(OVERVIEW_LAB)[0].mac
    nics = tuple(replace(n, mac=instance) if n.name == "vm1" else n for n in OVERVIEW_LAB.azure.nics)
    lab = replace(OVERVIEW_LAB, azure=replace(OVERVIEW_LAB.azure, nics=nics))
    assert instance_nics(lab)[0].mac != instance
    test_interfaces_and_macs_are_unique(lab)


def test_instances_have_nics_that_forward_nothing() -> None:
    assert [(n.name, n.virtual_network, n.subnet, str(n.address)) for n in instance_nics(OVERVIEW_LAB)] == [
        ("rs1-0", "vnet1", "RouteServerSubnet", "10.1.0.4"),
        ("rs1-1", "vnet1", "RouteServerSubnet", "10.1.0.5"),
    ]
    assert not any(n.ip_forwarding for n in instance_nics(OVERVIEW_LAB))


def test_ports_of_the_overviews_fabric() -> None:
    ports = fabric_ports(OVERVIEW_LAB, "vnet1")
    assert list(ports) == ["sdwan-nva", "security-nva", "vm1", "vm2", "rs1-0", "rs1-1", "internet"]
    nic = OVERVIEW_LAB.azure.nic["vm1"]
    port = ports["vm1"]
    assert port == NicPort(nic)
    internet = ports["internet"]
    leg = next(w.b.mac for w in wiring(OVERVIEW_LAB).links if w.b.node == "internet")
    assert internet == InternetPort(leg)


def test_a_peerings_port_knows_the_nics_beyond_it_instances_included() -> None:
    beyond_spoke = fabric_ports(EVERYTHING_LAB, "spoke")["hub"]
    assert isinstance(beyond_spoke, PeeringPort)
    assert [str(address) for address, _ in beyond_spoke.neighbours] == [
        "10.9.1.4",
        "10.9.1.5",
        "10.9.1.6",
        "10.1.1.5",
        "10.1.1.6",
        "10.1.0.4",
        "10.1.0.5",
    ]
    beyond_hub = fabric_ports(EVERYTHING_LAB, "hub")["spoke"]
    assert isinstance(beyond_hub, PeeringPort)
    vm2 = EVERYTHING_LAB.azure.nic["vm2"]
    assert (IPv4Address("10.2.1.200"), vm2.mac) in beyond_hub.neighbours


@every_lab
def test_a_fabric_has_a_port_for_each_of_its_wires_and_no_other(lab: Lab) -> None:
    ends = {(e.node, e.interface) for wire in wiring(lab).links for e in (wire.a, wire.b)}
    for network in lab.azure.virtual_networks:
        assert set(fabric_ports(lab, network.name)) == {i for node, i in ends if node == network.name}


def test_an_unknown_virtual_network() -> None:
    with pytest.raises(KeyError):
        fabric_ports(OVERVIEW_LAB, "vnet9")
