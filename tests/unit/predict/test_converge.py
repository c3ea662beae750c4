"""Azure's speakers, NVAs and sites together: where BGP comes to rest, and where it never does."""

from __future__ import annotations

import pytest

from labkit.azure.model import InstanceId
from labkit.lab.load import load_text
from labkit.predict.azure_speakers import OscillationError
from tests.unit.azure.builders import net
from tests.unit.operate.test_whatif import settled

CHASE = """
name: chase
virtual_networks:
  hub:
    address_space: 10.1.0.0/16
    subnets: {RouteServerSubnet: 10.1.0.0/26, GatewaySubnet: 10.1.255.0/27, nvas: 10.1.1.0/24}
route_servers:
  rs1: {virtual_network: hub, branch_to_branch: true, hub_routing_preference: VpnGateway, peers: [nva]}
gateways:
  ergw: {type: ExpressRoute, virtual_network: hub, connects_to: [circuit1]}
circuits:
  circuit1: {connects_to: [site]}
nvas:
  nva: {subnet: hub/nvas, asn: 65001, strip_route_server_asn: true}
sites:
  site: {asn: 65010, prefixes: [10.10.0.0/16]}
"""


def test_a_route_that_chases_itself_never_settles() -> None:
    """An NVA gives the route server its own route back, which the preference puts before the circuit's, and so on."""
    with pytest.raises(OscillationError):
        settled(load_text(CHASE, "chase"))


def test_without_the_preference_it_does() -> None:
    end = settled(load_text(CHASE.replace("VpnGateway", "ExpressRoute"), "chase"))
    paths = {
        p.peer.name: p.attributes.as_path for p in end.speakers.at_server[InstanceId("rs1", 0)][net("10.10.0.0/16")]
    }
    assert paths == {"ergw-0": (12076, 65010), "ergw-1": (12076, 65010), "nva": (65001, 12076, 65010)}
