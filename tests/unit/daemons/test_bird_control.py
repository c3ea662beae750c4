"""The commands that change a BIRD, and the names that they match."""

from __future__ import annotations

import pytest

from labkit.azure.model import Appliance
from labkit.daemons.bird.config import files, protocol_name
from labkit.daemons.registry import DAEMONS
from labkit.lab.load import load_text
from labkit.lab.plan.speakers import gateway_speaker, nva_speaker
from tests.unit.azure.builders import addr, net

CONTROL = DAEMONS["bird"].control
ORIGINATE = "/opt/labkit/lib/bird-originate"
LAB = load_text(
    """
name: bird
virtual_networks:
  hub:
    address_space: 10.1.0.0/16
    subnets: {RouteServerSubnet: 10.1.0.0/26, GatewaySubnet: 10.1.255.0/27, nvas: 10.1.1.0/24}
route_servers: {rs1: {virtual_network: hub, peers: [fw]}}
gateways: {ergw: {type: ExpressRoute, virtual_network: hub, connects_to: [circuit1]}}
circuits: {circuit1: {connects_to: [site]}}
sites: {site: {asn: 65010, prefixes: [10.10.0.0/16]}}
nvas: {fw: {subnet: hub/nvas, asn: 65001, daemon: bird}}
""",
    "bird",
)


def test_prefixes_are_originated_and_withdrawn() -> None:
    prefixes = (net("10.9.0.0/16"), net("0.0.0.0/0"))
    assert CONTROL.advertise(65001, prefixes) == (ORIGINATE, "advertise", "10.9.0.0/16", "0.0.0.0/0")
    assert CONTROL.withdraw(65001, prefixes) == (ORIGINATE, "withdraw", "10.9.0.0/16", "0.0.0.0/0")


def test_sessions_are_shut_down_and_started() -> None:
    peers = (addr("10.1.0.4"), addr("10.1.0.5"))
    lines = 'printf \'{0} "*:10.1.0.4"\\n{0} "*:10.1.0.5"\\n\' | birdc'
    assert CONTROL.shut_down(65001, peers) == ("sh", "-c", lines.format("disable"))
    assert CONTROL.start(65001, peers) == ("sh", "-c", lines.format("enable"))


def test_routes_are_sent_and_asked_for_again() -> None:
    assert CONTROL.refresh() == ("birdc", "reload", '"*:*"')
    assert CONTROL.refresh(addr("10.1.0.4")) == ("birdc", "reload", '"*:10.1.0.4"')


def test_protocols_have_the_neighbours_name_and_the_address_that_commands_match() -> None:
    neighbours = nva_speaker(LAB, LAB.nva["fw"], Appliance("fw")).neighbours
    assert [protocol_name(each) for each in neighbours] == ["rs1-0:10.1.0.4", "rs1-1:10.1.0.5"]


def test_a_gateway_has_no_bird() -> None:
    with pytest.raises(TypeError, match="ergw-0: BIRD routes in NVAs"):
        files(gateway_speaker(LAB, LAB.gateway["ergw"], 0))
