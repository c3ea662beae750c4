from dataclasses import replace

import pytest

from labkit.azure.model import Azure, BgpPeer, Circuit, PeerKind, RouteServer
from labkit.azure.rules.adjacency import programming_hub, programming_server
from labkit.azure.rules.gateways import (
    connected_circuits,
    connected_devices,
    gateway_peers,
    gateways_in,
    gateways_on,
    instance_peer,
    session_server,
    with_gateway_peers,
)

from .builders import addr, azure, connected, er_gateway, network, nva, peered, site, vpn_gateway

NVA = nva("nva", 65001, "10.1.1.4")
SERVER = RouteServer("rs1", "hub", (addr("10.1.0.4"), addr("10.1.0.5")), (NVA,), branch_to_branch=True)
ER = er_gateway("er", "hub", "10.1.9.12", "10.1.9.13")
VPN = vpn_gateway("vpn", "hub", "10.1.9.4", "10.1.9.5", asn=300)
FAR = er_gateway("far", "hub2", "10.9.9.12")


def lab(*, b2b: bool = True) -> Azure:
    return azure(
        [network("hub", "10.1.0.0/16"), network("hub2", "10.9.0.0/16"), network("spoke", "10.2.0.0/16")],
        peered("hub", "hub2"),
        peered("spoke", "hub2", urg=True),
        servers=[replace(SERVER, branch_to_branch=b2b)],
        gateways=[ER, VPN, FAR],
        circuits=[Circuit("c1", 65020), Circuit("c2", 65021)],
        sites=[site("s1", "10.200.0.0/24")],
        connections=[
            connected("er", "c2"),
            connected("er", "c1"),
            connected("far", "c1"),
            connected("vpn", "s1"),
        ],
    )


def test_sessions_are_in_one_virtual_network_and_need_b2b() -> None:
    # [b2b-sessions, b2b-toggle]
    on, off = lab(), lab(b2b=False)
    assert gateway_peers(on, on.route_servers[0]) == (
        BgpPeer("er-0", 65515, addr("10.1.9.12"), PeerKind.EXPRESSROUTE_GATEWAY),
        BgpPeer("er-1", 65515, addr("10.1.9.13"), PeerKind.EXPRESSROUTE_GATEWAY),
        BgpPeer("vpn-0", 300, addr("10.1.9.4"), PeerKind.VPN_GATEWAY),
        BgpPeer("vpn-1", 300, addr("10.1.9.5"), PeerKind.VPN_GATEWAY),
    )
    assert gateway_peers(off, off.route_servers[0]) == ()
    assert [session_server(on, g) for g in on.gateways] == [SERVER, SERVER, None]
    assert [session_server(off, g) for g in off.gateways] == [None] * 3


def test_gateway_sessions_come_after_the_configured_peers() -> None:
    peers = with_gateway_peers(lab(), SERVER).peers
    assert peers[0] is NVA
    assert [p.name for p in peers] == ["nva", "er-0", "er-1", "vpn-0", "vpn-1"]
    assert peers[1] == instance_peer(ER, 0)


def test_who_is_where() -> None:
    model = lab()
    assert gateways_in(model, "hub") == (ER, VPN)
    assert gateways_in(model, "spoke") == ()
    assert [c.name for c in connected_circuits(model, ER)] == ["c2", "c1"]
    assert connected_circuits(model, VPN) == ()
    assert [s.name for s in connected_devices(model, VPN, 0)] == ["s1"]
    assert connected_devices(model, ER, 0) == ()
    assert gateways_on(model, model.circuit["c1"]) == (ER, FAR)


@pytest.mark.parametrize(("where", "hub"), [("hub", "hub"), ("hub2", "hub2"), ("spoke", "hub2")])
def test_a_gateway_programs_its_network_and_spokes_as_a_route_server_does(where: str, hub: str) -> None:
    # [table-per-nic]
    assert programming_hub(lab(), where) == hub


def test_nobody_programs_a_network_with_neither() -> None:
    bare = replace(lab(), gateways=(), route_servers=())
    assert [programming_hub(bare, v.name) for v in bare.virtual_networks] == [None] * 3
    assert programming_server(lab(), "spoke") is None
    assert programming_server(bare, "hub") is None
