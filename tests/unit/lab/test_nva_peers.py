"""NVAs that peer with each other: which NICs, which static routes, which sessions."""

from __future__ import annotations

from labkit.lab.build import plan
from labkit.lab.load import load_text
from labkit.lab.model import NvaPeer
from labkit.lab.plan.bgp_sessions import bgp_sessions
from labkit.lab.plan.speakers import nva_routes, nva_speaker
from labkit.lab.sessions import speakers
from labkit.predict.sessions import expected_sessions
from labkit.render.render import render_files
from tests.unit.azure.builders import addr, net

LAB = load_text(
    """
name: peers
virtual_networks:
  hub:
    address_space: 10.1.0.0/16
    subnets: {RouteServerSubnet: 10.1.0.0/26, out: 10.1.1.0/24, in: 10.1.2.0/24, far: 10.1.3.0/24}
route_servers:
  rs1: {virtual_network: hub, peers: [fw1]}
nvas:
  fw1:
    asn: 65001
    nics: {outside: hub/out, inside: hub/in}
    peers_with: [fw2/inside, {node: {route_reflector_client: true, next_hop_self: true}}]
  fw2: {asn: 65002, nics: {outside: hub/out, inside: hub/in}, peers_with: [next]}
  node: {subnet: hub/far, asn: 65001, timers: {keepalive: 1, hold: 3}, peers_with: [fw1/outside]}
  next: {subnet: hub/far, asn: 65003, peers_with: [fw2/outside]}
""",
    "peers",
)


def test_a_session_is_between_the_nics_that_are_named_or_that_share_a_subnet() -> None:
    assert LAB.nva["fw1"].peers == (
        NvaPeer("fw2", "fw1/inside", "fw2/inside"),
        NvaPeer("node", "fw1/outside", "node", True, True),
    )
    assert LAB.nva["fw2"].peers == (
        NvaPeer("fw1", "fw2/inside", "fw1/inside"),
        NvaPeer("next", "fw2/outside", "next"),
    )
    assert LAB.nva["node"].peers == (NvaPeer("fw1", "node", "fw1/outside"),)
    assert speakers(LAB, "fw1", "node") == (("fw1", LAB.azure.nic["node"].address),)
    assert speakers(LAB, "node", "next") == ()


def test_an_nva_has_static_routes_to_all_next_hops_that_it_may_learn() -> None:
    """By the NIC of the session that they are learned on: subnets of others, and their route servers'."""
    routes = {r.prefix: r.via for r in nva_speaker(LAB, LAB.nva["fw1"], LAB.azure.appliance["fw1"]).static_routes}
    default, servers, far = net("0.0.0.0/0"), net("10.1.0.0/26"), net("10.1.3.0/24")
    assert routes == dict.fromkeys((default, servers, far), addr("10.1.1.1"))
    routes = {r.prefix: r.via for r in nva_speaker(LAB, LAB.nva["next"], LAB.azure.appliance["next"]).static_routes}
    assert set(routes) == {default, servers, net("10.1.1.0/24"), net("10.1.2.0/24")}


def test_every_session_is_there_once_with_the_lower_hold_time() -> None:
    holds = {str(session): session.hold for session in bgp_sessions(LAB)}
    assert holds == {"rs1-0 - fw1": 180, "rs1-1 - fw1": 180, "fw1 - fw2": 180, "fw1 - node": 3, "fw2 - next": 180}


def test_a_loopback_is_identifier_and_end_of_the_sessions_with_other_nvas() -> None:
    text = """
name: loopbacks
virtual_networks:
  hub:
    address_space: 10.1.0.0/16
    subnets: {RouteServerSubnet: 10.1.0.0/26, nva: {prefix: 10.1.1.0/24, route_table: loops}}
route_tables:
  loops: {routes: {10.99.0.1/32: one, 10.99.0.2/32: two}}
route_servers:
  rs1: {virtual_network: hub, peers: [one]}
nvas:
  one: {subnet: hub/nva, asn: 65001, loopback: 10.99.0.1, peers_with: [two, three], snat: true}
  two: {subnet: hub/nva, asn: 65001, loopback: 10.99.0.2}
  three: {subnet: hub/nva, asn: 65003}
"""
    lab = load_text(text, "loopbacks")
    one, two, nic = addr("10.99.0.1"), addr("10.99.0.2"), lab.azure.nic["one"].address
    speaker = nva_speaker(lab, lab.nva["one"], lab.azure.appliance["one"])
    assert speaker.router_id == one
    ends = {neighbour.name: (neighbour.own, neighbour.address) for neighbour in speaker.neighbours}
    instances = dict(zip(("rs1-0", "rs1-1"), lab.azure.route_server["rs1"].instances, strict=True))
    assert ends == {
        **{name: (nic, address) for name, address in instances.items()},
        "two": (one, two),
        "three": (one, lab.azure.nic["three"].address),
    }
    assert speakers(lab, "three", "one") == (("three", one),)
    assert net("10.99.0.2/32") in {route.prefix for route in speaker.static_routes}
    assert net("10.99.0.1/32") not in {route.prefix for route in speaker.static_routes}
    node = next(node for node in plan(lab).nodes if node.name == "one")
    assert "ip address replace 10.99.0.1/32 dev lo" in node.exec
    files = render_files(plan(lab), image="x", lab_file=b"")
    lines = files["nodes/one/frr.conf"].decode().splitlines()
    assert f" neighbor {two} update-source {one}" in lines
    assert f" neighbor {instances['rs1-0']} update-source {nic}" in lines
    assert str(one) in files["nodes/one/nftables.conf"].decode()


def test_a_session_may_lead_through_the_overlay_of_others() -> None:
    """An internal one: external ones have `ebgp-multihop 2`, and the two edges are two hops before the far end."""
    text = """
name: behind
virtual_networks:
  one: {address_space: 10.1.0.0/16, subnets: {edge: 10.1.1.0/24, nva: {prefix: 10.1.2.0/24, route_table: to-two}}}
  two: {address_space: 10.2.0.0/16, subnets: {edge: 10.2.1.0/24, nva: {prefix: 10.2.2.0/24, route_table: to-one}}}
route_tables:
  to-two: {routes: {10.2.0.0/16: edge1}}
  to-one: {routes: {10.1.0.0/16: edge2}}
internet: {prefix: 198.51.100.0/24}
nvas:
  edge1: {subnet: one/edge, asn: 65001, advertises: 10.1.0.0/16, overlays: [{edge2: {public: true}}]}
  edge2: {subnet: two/edge, asn: 65002, advertises: 10.2.0.0/16}
  nva1: {subnet: one/nva, asn: 65003, peers_with: [nva2]}
  nva2: {subnet: two/nva, asn: 65003}
"""

    def sessions(text: str) -> set[str]:
        lab = load_text(text, "behind")
        return {str(session) for session in expected_sessions(lab, lab.azure)}

    assert sessions(text) == {"edge1 - edge2", "nva1 - nva2"}
    assert sessions(text.replace("two/nva, asn: 65003", "two/nva, asn: 65004")) == {"edge1 - edge2"}


def test_a_static_route_by_the_name_of_an_nva_leads_into_their_overlay() -> None:
    """The only NIC of that NVA has its name, too, and is no NIC of the one that has the route."""
    text = """
name: into
virtual_networks:
  hub: {address_space: 10.1.0.0/16, subnets: {out: 10.1.1.0/24, in: 10.1.2.0/24}}
nvas:
  fw:
    asn: 65001
    nics: {outside: hub/out, inside: hub/in}
    overlays: [far]
    static_routes: {10.7.0.0/16: far, 10.8.0.0/16: inside}
  far: {subnet: hub/in, asn: 65002}
"""
    lab = load_text(text, "into")
    routes = {route.prefix: (route.via, route.nic) for route in nva_routes(lab, lab.nva["fw"])}
    assert routes[net("10.7.0.0/16")] == (lab.overlays[0].addresses[1].ip, None)
    assert routes[net("10.8.0.0/16")] == (addr("10.1.2.1"), lab.azure.nic["fw/inside"])
