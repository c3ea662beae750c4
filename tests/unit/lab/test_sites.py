"""Sites with several routers, links, static routes and more to advertise than their ranges."""

from __future__ import annotations

from ipaddress import IPv4Interface
from pathlib import Path

from labkit.lab.build import plan
from labkit.lab.edited import obstacles
from labkit.lab.load import load, load_text
from labkit.lab.model import Lab
from labkit.lab.plan.bgp_sessions import bgp_sessions
from labkit.lab.plan.nodes import owners, target_address
from labkit.lab.plan.speakers import site_speaker, static_prefixes
from labkit.lab.sessions import speakers
from labkit.names import handle
from tests.unit.azure.builders import addr, net

LAB = load(Path(__file__).parents[2] / "e2e" / "labs" / "sites.lab.yml")

SMALL = """
name: small
virtual_networks:
  hub: {address_space: 10.1.0.0/16, subnets: {GatewaySubnet: 10.1.255.0/27}}
gateways:
  er: {type: ExpressRoute, virtual_network: hub, connects_to: [c1]}
circuits:
  c1: {connects_to: hq-r1}
sites:
  hq:
    asn: 65010
    prefixes: [10.50.1.0/24, 10.50.2.0/30]
    routers: {hq-r1: {}, HQ-r2: {address: 10.50.1.7}}
    default_gateway: hq-R2
"""


def of(lab: Lab, node: str) -> dict[str, str]:
    speaker = site_speaker(lab, lab.site_router[node])
    return {neighbour.name: str(neighbour.address) for neighbour in speaker.neighbours}


def test_routers_have_addresses_in_every_range() -> None:
    lab = load_text(SMALL, "small")
    first, second = lab.site["hq"].routers
    assert first.lan == (IPv4Interface("10.50.1.1/24"), IPv4Interface("10.50.2.1/30"))
    assert second.lan == (IPv4Interface("10.50.1.7/24"), IPv4Interface("10.50.2.2/30"))
    assert lab.site["hq"].gateway == second
    assert owners(lab)[addr("10.50.2.2")] == "HQ-r2"


def test_a_site_of_one_router_has_its_name() -> None:
    lab = load_text(SMALL.replace("hq-r1", "hq").partition("    routers")[0], "small")
    assert [router.name for router in lab.site["hq"].routers] == ["hq"]
    assert lab.site["hq"].switch is None
    assert {"hq", "hq-host"} <= {node.name for node in plan(lab).nodes}


def test_the_name_of_a_site_with_routers_means_its_host() -> None:
    assert target_address(LAB, "hq") == LAB.site["hq"].host.address.ip
    assert "hq" not in {node.name for node in plan(LAB).nodes}


def test_routers_of_a_site_peer_with_each_other() -> None:
    lan = {router.name: str(router.lan[0].ip) for router in LAB.site["hq"].routers}
    for end in lan.items():
        assert lan.items() - {end} <= of(LAB, end[0]).items()
    internal = next(s for s in bgp_sessions(LAB) if str(s) == "hq-core - hq-r1")
    assert internal.hold == 9
    assert speakers(LAB, "hq-core", "hq-r1") == (("hq-core", addr(lan["hq-r1"])),)


def test_sites_are_linked() -> None:
    (link,) = (link for link in LAB.wan_links if {link.router, link.site} == {"hq-core", "plant"})
    assert of(LAB, "plant")["hq-core"] == str(link.router_address.ip)
    assert of(LAB, "hq-core")["plant"] == str(link.site_address.ip)


def test_what_a_router_originates_and_discards() -> None:
    speaker = site_speaker(LAB, LAB.site_router["hq-r1"])
    lans, wider = ("10.50.1.0/24", "10.50.2.0/24"), ("10.50.0.0/16", "0.0.0.0/0")
    assert [str(prefix) for prefix in speaker.networks] == [*lans, *wider, "192.168.34.16/30", "192.168.34.20/30"]
    assert [str(prefix) for prefix in speaker.discarded] == [*wider]
    core = site_speaker(LAB, LAB.site_router["hq-core"])
    assert core.discarded == (), "a static route leads there"
    assert static_prefixes(LAB, "hq-core") == {net("10.70.0.0/24")}
    assert static_prefixes(LAB, "hq-r1") == {net("10.50.0.0/16"), net("0.0.0.0/0")}


def test_static_routes_lead_to_links_routers_and_addresses() -> None:
    routes = "hq-r1: {static_routes: {10.70.0.0/24: HQ-R2, 10.71.0.0/24: c1, 10.72.0.0/24: 10.50.1.99}}"
    lab = load_text(SMALL.replace("hq-r1: {}", routes), "small")
    (link,) = lab.wan_links
    found = site_speaker(lab, lab.site_router["hq-r1"]).static_routes
    assert [route.via for route in found] == [addr("10.50.1.7"), link.router_address.ip, addr("10.50.1.99")]


def test_the_nodes_of_a_lan() -> None:
    planned = plan(LAB)
    nodes = {node.name: node for node in planned.nodes}
    joined = {(link.a.node, link.a.interface) for link in planned.links if link.b.node == "hq-lan"}
    assert joined == {(node, "eth0") for node in ("hq-core", "hq-r1", "hq-r2", "hq-host")}
    switch, host = nodes["hq-lan"], nodes["hq-host"]
    assert [line for line in switch.exec if "master" in line] == [
        f"ip link set dev eth{n} master lan" for n in (1, 2, 3, 4)
    ]
    assert "ip route replace default via 10.50.1.1 dev eth0" in host.exec
    assert handle("hq-lan") == "hq-lan"


def test_a_way_to_the_internet_needs_a_link_and_translates() -> None:
    assert LAB.internet is not None
    assert {"hq-r1", "plant", "kiosk"} <= LAB.internet.public.keys()
    assert not {"hq-core", "hq-r2"} & LAB.internet.public.keys()
    loads = {node.name for node in plan(LAB).nodes if any(line.startswith("nft -f") for line in node.exec)}
    assert {"hq-r1", "plant", "kiosk"} == loads & LAB.site_router.keys()


def test_what_an_edited_file_has_otherwise() -> None:
    lab = load_text(SMALL, "small")
    edited = load_text(SMALL.replace("hq-r1: {}", "hq-r1: {transit: true}").replace("hq-R2", "hq-r1"), "small")
    assert obstacles(lab, edited) == (
        "site hq: default_gateway differs, which no change configures",
        "router hq-r1: transit differs, which no change configures",
    )
    gone = load_text(SMALL.replace(", HQ-r2: {address: 10.50.1.7}", "").replace("hq-R2", "hq-r1"), "small")
    assert any(text.startswith("router HQ-r2 is gone") for text in obstacles(lab, gone))
