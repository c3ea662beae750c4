"""What an instance tells its peers where paths of several kinds meet."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from labkit.azure.acceptance import Originated
from labkit.azure.model import BgpPeer, HubRoutingPreference, PathAttributes, PeerKind, RouteServer
from labkit.routeserver.policy import Config, Policy

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


@pytest.mark.parametrize(
    ("preference", "as_path"),
    [
        (HubRoutingPreference.EXPRESSROUTE, (65515, 12076, 65020)),
        (HubRoutingPreference.VPN_GATEWAY, (65515, 65001)),
        (HubRoutingPreference.AS_PATH, (65515, 65001)),
    ],
)
def test_what_the_server_prefers_is_told(preference: HubRoutingPreference, as_path: tuple[int, ...]) -> None:
    """Reference §4.1 step 2; §3.2 "Multipath"."""
    policy = Policy(Config(0, replace(SERVER, hub_routing_preference=preference), Originated((), ())))
    assert policy.advertised("10.9.0.0/16", PATHS)[B].as_path == as_path
