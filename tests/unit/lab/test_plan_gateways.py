"""Gateways, circuits, tunnels and overlays in the plan: who is linked with whom, and by which addresses."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address
from typing import Any

import pytest

from labkit.lab.build import plan, wiring
from labkit.lab.fabric_ports import NicPort, PeeringPort, fabric_ports
from labkit.lab.load import read
from labkit.lab.model import Lab
from labkit.lab.plan.model import Node, Plan
from labkit.lab.plan.nodes import owners
from labkit.lab.sessions import speakers
from labkit.resources import topologies


def lab(name: str, variant: str = "") -> Lab:
    return read(topologies() / name / "lab.yml", variant).lab


def node(of: Plan, name: str) -> Node:
    return next(n for n in of.nodes if n.name == name)


def test_each_instance_of_a_gateway_has_a_line_of_its_own() -> None:
    found = {(w.a.node, w.a.interface, w.b.node, w.b.interface) for w in wiring(lab("expressroute")).links}
    assert {("ergw-0", "eth1", "circuit1", "eth2"), ("ergw-1", "eth1", "circuit1", "eth3")} <= found
    assert ("circuit1", "eth1", "onprem2", "eth1") in found


def test_each_instance_of_a_gateway_has_a_line_to_both_edges() -> None:
    """And the site a link to each [circuit-edges]."""
    found = [(w.a.node, w.a.interface, w.b.node, w.b.interface) for w in wiring(lab("expressroute-vpn")).links]
    assert [each for each in found if each[2].startswith("circuit1")] == [
        ("ergw-0", "eth1", "circuit1-0", "eth2"),
        ("ergw-0", "eth2", "circuit1-1", "eth2"),
        ("ergw-1", "eth1", "circuit1-0", "eth3"),
        ("ergw-1", "eth2", "circuit1-1", "eth3"),
    ]
    assert {("circuit1-0", "eth1", "onprem", "eth1"), ("circuit1-1", "eth1", "onprem", "eth2")} <= {*found}


def test_microsofts_edge_is_behind_the_gateways_port() -> None:
    """The next hop of what comes over a circuit is on Microsoft's side, by two addresses [edge-addresses]."""
    port = fabric_ports(lab("expressroute-vpn"), "hub")["ergw-0"]
    assert isinstance(port, NicPort)
    assert port.beyond == (IPv4Address("10.100.0.199"), IPv4Address("100.65.0.1"))
    assert {owners(lab("expressroute-vpn"))[address] for address in port.beyond} == {"circuit1-0"}


@pytest.mark.parametrize(
    ("idle", "of_0", "of_1"),
    [
        ([], ["circuit1-0"], ["circuit1-1"]),
        ([("ergw-0", "circuit1")], [], ["circuit1-0", "circuit1-1"]),
        ([("ergw-0", "another")], ["circuit1-0"], ["circuit1-1"]),
        ([("ergw-0", "circuit1"), ("ergw-1", "circuit1")], ["circuit1-0"], ["circuit1-1"]),
    ],
)
def test_which_instance_gets_what_is_for_an_edge(idle: list[tuple[str, str]], of_0: list[str], of_1: list[str]) -> None:
    """That of the edge's number, while it has routes [edge-by-instance]."""
    here = lab("expressroute-vpn")
    ports = fabric_ports(here, "hub", idle=idle)
    for name, edges in (("ergw-0", of_0), ("ergw-1", of_1)):
        port = ports[name]
        assert isinstance(port, NicPort)
        assert list(dict.fromkeys(owners(here)[address] for address in port.beyond)) == edges


def test_edges_are_the_first_free_addresses_of_the_gateways_subnet() -> None:
    (gateway,) = lab("expressroute").gateways
    assert [(str(line.edge), str(line.next_hop)) for line in gateway.lines] == [
        ("10.1.255.6", "100.65.0.1"),
        ("10.1.255.7", "100.65.0.2"),
    ]


def test_a_peered_network_reaches_the_edge_too() -> None:
    port = fabric_ports(lab("dual-homed-expressroute"), "vnet0")["vnet1"]
    assert isinstance(port, PeeringPort)
    assert IPv4Address("10.3.129.67") in dict(port.neighbours)


def test_a_tunnel_goes_from_public_address_to_public_address() -> None:
    found = lab("expressroute-vpn")
    assert found.internet is not None
    public = found.internet.public
    assert list(public) == ["vpngw-0", "vpngw-1", "branch"]
    commands = "\n".join(node(plan(found), "vpngw-1").exec)
    assert f"vxlan id 2 local {public['vpngw-1']} remote {public['branch']}" in commands
    assert "ip address replace 10.100.0.197 peer 10.200.0.1 dev vxlan2" in commands


@pytest.mark.parametrize(
    ("near", "far", "expected"),
    [
        ("ergw", "circuit1", [(f"ergw-{i}", f"10.100.0.{edge}") for i in (0, 1) for edge in (199, 198)]),
        ("ergw", "circuit1-1", [("ergw-0", "10.100.0.198"), ("ergw-1", "10.100.0.198")]),
        ("circuit1", "ergw", [(f"circuit1-{edge}", f"10.100.0.{i}") for i in (204, 205) for edge in (0, 1)]),
        ("circuit1-1", "ergw", [("circuit1-1", "10.100.0.204"), ("circuit1-1", "10.100.0.205")]),
        ("vpngw", "branch", [("vpngw-0", "10.200.0.1"), ("vpngw-1", "10.200.0.1")]),
        ("branch", "vpngw", [("branch", "10.100.0.196"), ("branch", "10.100.0.197")]),
        ("onprem", "circuit1", [("onprem", "192.168.34.18"), ("onprem", "192.168.34.22")]),
        ("onprem", "circuit1-1", [("onprem", "192.168.34.22")]),
        ("branch", "onprem", []),
    ],
)
def test_who_has_sessions_with_whom(near: str, far: str, expected: list[tuple[str, str]]) -> None:
    found = speakers(lab("expressroute-vpn", "bgp"), near, far)
    assert [(n, str(address)) for n, address in found] == expected


def test_without_bgp_no_session_goes_through_a_tunnel() -> None:
    assert speakers(lab("expressroute-vpn"), "vpngw", "branch") == ()


def test_an_overlay_has_a_tunnel_and_a_session_on_both_sides() -> None:
    found = lab("dual-homed-expressroute", "overlay")
    ((near, far),) = [overlay.addresses for overlay in found.overlays]
    assert speakers(found, "csr1", "csr2") == (("csr1", far.ip),)
    assert speakers(found, "csr2", "csr1") == (("csr2", near.ip),)
    for name, other in (("csr1", "10.102.3.10"), ("csr2", "10.101.3.10")):
        assert any(f"remote {other} dstport 4789" in command for command in node(plan(found), name).exec)


@pytest.mark.parametrize(("premium", "most"), [(False, 4000), (True, 10_000)])
def test_a_circuit_takes_so_many_routes_of_its_customer(premium: bool, most: int) -> None:
    """[customer-to-circuit-limit]"""
    here = lab("expressroute")
    (circuit,) = here.azure.circuits
    made = plan(replace(here, azure=replace(here.azure, circuits=(replace(circuit, premium=premium),))))
    conf = next(file for file in made.files if file.path == f"nodes/{circuit.name}/frr.conf")
    assert (conf.context["most_from_customer"], conf.context["most_from_gateway"]) == (most, 1000)


def test_route_servers_expect_gateways_whatever_the_setting() -> None:
    """Branch-to-branch may change while the lab runs."""
    files = {file.path: file.context for file in plan(lab("expressroute")).files}
    peers: Any = files["nodes/rs1-0/exabgp.conf"]["peers"]
    assert [peer["name"] for peer in peers] == ["sdwan-nva", "ergw-0", "ergw-1"]
