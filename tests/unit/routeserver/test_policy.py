"""What an instance advertises to its peers where paths of several kinds meet."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import pytest

from labkit.azure.model import BgpPeer, HubRoutingPreference, LearnedRoute, PathAttributes, PeerKind, RouteServer
from labkit.azure.rules.acceptance import Originated
from labkit.azure.rules.advertisement import advertised_to_peer
from labkit.routeserver.policy import Policy, PolicyConfig

A, B, ER = "10.1.0.10", "10.1.0.20", "10.1.9.12"
PEERS = (
    BgpPeer("a", 65001, IPv4Address(A)),
    BgpPeer("b", 65002, IPv4Address(B)),
    BgpPeer("er-0", 65515, IPv4Address(ER), PeerKind.EXPRESSROUTE_GATEWAY),
)
SERVER = RouteServer("rs1", "vnet1", (IPv4Address("10.1.0.4"), IPv4Address("10.1.0.5")), PEERS, branch_to_branch=True)
PATHS = {
    A: PathAttributes(IPv4Address(A), (65001,)),
    ER: PathAttributes(IPv4Address("10.1.9.6"), (12076, 65020)),
}


@pytest.mark.parametrize("preference", HubRoutingPreference)
def test_what_the_rules_advertise_is_advertised(preference: HubRoutingPreference) -> None:
    """A long path over ExpressRoute and a short one of an NVA: which is advertised, the server's preference decides."""
    server, nothing = replace(SERVER, hub_routing_preference=preference), Originated((), ())
    prefix = IPv4Network("10.9.0.0/16")
    learned = [LearnedRoute(prefix, PATHS[str(peer.address)], peer) for peer in (PEERS[0], PEERS[2])]
    told = Policy(PolicyConfig(0, server, nothing)).advertised(str(prefix), PATHS)
    assert told[B] == advertised_to_peer(server, 0, PEERS[1], nothing, prefix, learned)
