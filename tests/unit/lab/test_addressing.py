from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from hypothesis import given
from hypothesis import strategies as st

from labkit.lab.kinds.addresses import WAN
from labkit.lab.load import load_text
from labkit.lab.model import Lab
from labkit.lab.plan.macs import derive_mac
from labkit.lab.plan.nodes import addresses, owners

BASE = """
name: lab
virtual_networks:
  vnet1:
    address_space: 10.1.0.0/16
    subnets: {RouteServerSubnet: 10.1.0.0/26, nva: 10.1.1.0/24, work: 10.1.2.0/28}
"""


def lab(text: str) -> Lab:
    return load_text(BASE + text, "lab.yml")


def test_nics_in_file_order_after_what_is_given() -> None:
    made = lab("""
virtual_machines:
  a: vnet1/work
  b: {subnet: vnet1/work, address: 10.1.2.5}
  c: vnet1/work
nvas:
  n: {subnet: vnet1/work, asn: 65001}
""")
    found = {nic.name: str(nic.address) for nic in made.azure.nics}
    assert found == {"n": "10.1.2.4", "a": "10.1.2.6", "b": "10.1.2.5", "c": "10.1.2.7"}


def test_instances() -> None:
    text = "route_servers: {rs1: {virtual_network: vnet1%s}}\n"
    assert lab(text % "").azure.route_servers[0].instances == (IPv4Address("10.1.0.4"), IPv4Address("10.1.0.5"))
    swapped = lab(text % ", instances: [10.1.0.5, 10.1.0.4]")
    assert swapped.azure.route_servers[0].instances == (IPv4Address("10.1.0.5"), IPv4Address("10.1.0.4"))


def test_sites() -> None:
    made = lab("""
sites:
  a: {asn: 65010, prefixes: [10.250.0.0/16, 10.251.0.0/24, 10.252.0.1/32]}
  b: {asn: 65011, prefixes: 10.253.0.0/29}
  c: {asn: 65012, prefixes: [10.254.0.0/24], host: 10.254.0.1}
  d: {asn: 65013, prefixes: [10.255.0.0/31]}
  e: {asn: 65014, prefixes: [10.249.0.0/24], router: 10.249.0.10}
""")
    assert {s.name: ([str(i) for i in s.gateway.lan], str(s.host.address)) for s in made.sites} == {
        "a": (["10.250.0.1/16", "10.251.0.1/24", "10.252.0.1/32"], "10.250.0.10/16"),
        "b": (["10.253.0.1/29"], "10.253.0.2/29"),
        "c": (["10.254.0.2/24"], "10.254.0.1/24"),
        "d": (["10.255.0.0/31"], "10.255.0.1/31"),
        "e": (["10.249.0.10/24"], "10.249.0.1/24"),
    }


def test_links_skip_what_the_lab_uses() -> None:
    made = lab("""
nvas:
  n: {subnet: vnet1/nva, asn: 65001, connects_to: [a, {b: 192.168.9.0/31}, c]}
sites:
  a: {asn: 65010, prefixes: 100.64.0.0/28}
  b: {asn: 65011, prefixes: 10.251.0.0/16}
  c: {asn: 65012, prefixes: 10.252.0.0/16}
""")
    assert [(w.site, str(w.router_address), str(w.site_address)) for w in made.wan_links] == [
        ("a", "100.64.0.17/30", "100.64.0.18/30"),
        ("b", "192.168.9.0/31", "192.168.9.1/31"),
        ("c", "100.64.0.21/30", "100.64.0.22/30"),
    ]
    assert made.wan_links[0].router_address in WAN


def test_microsofts_side_of_a_circuit_has_the_second_address() -> None:
    """FAB-C: the circuit has 10.1.34.0/25 from 192.168.34.17; FAB-E: the customer has Azure's from 192.168.20.18."""
    made = lab("""
circuits:
  c: {connects_to: [{a: 192.168.34.16/30}]}
sites:
  a: {asn: 65010, prefixes: 10.250.0.0/16}
""")
    (link,) = made.wan_links
    assert (str(link.router_address), str(link.site_address)) == ("192.168.34.18/30", "192.168.34.17/30")


def test_internet() -> None:
    made = load_text(
        "name: lab\nvirtual_networks: {v1: {address_space: 10.1.0.0/16}, v2: {address_space: 10.1.0.0/16}}\n"
        "internet: 203.0.113.0/24\n",
        "lab.yml",
    )
    assert made.internet is not None
    assert str(made.internet.host) == "203.0.113.10"
    assert [(leg.virtual_network, str(leg.public)) for leg in made.internet.legs] == [
        ("v1", "203.0.113.254"),
        ("v2", "203.0.113.253"),
    ]
    small = lab("internet: {prefix: 203.0.113.0/30, host: 203.0.113.2}\n").internet
    assert small is not None
    assert str(small.legs[0].public) == "203.0.113.1"


def test_macs_are_azure_like_stable_and_unique() -> None:
    assert derive_mac("vm1", "eth0") == derive_mac("vm1", "eth0")
    assert derive_mac("vm1", "eth0").startswith("00:0d:3a:")
    assert derive_mac("vm1", "eth0") != derive_mac("vm1", "eth1")
    assert derive_mac("vm1", "eth0", {derive_mac("vm1", "eth0")}) != derive_mac("vm1", "eth0")


def test_mac_given_to_another_is_not_derived() -> None:
    mac = derive_mac("a", "eth0")
    made = lab(f"virtual_machines: {{a: vnet1/work, b: {{subnet: vnet1/work, mac: '{mac.upper()}'}}}}\n")
    assert made.azure.nic["b"].mac == mac
    assert made.azure.nic["a"].mac != mac


@given(st.integers(0, 4), st.integers(0, 3), st.integers(0, 3))
def test_addresses_are_unique_and_in_their_ranges(machines: int, nvas: int, sites: int) -> None:
    names = [f"s{i}" for i in range(sites)]
    text = "".join(
        [
            "route_servers: {rs1: {virtual_network: vnet1}}\ninternet: 198.51.100.0/24\nvirtual_machines:\n",
            *(f"  vm{i}: vnet1/work\n" for i in range(machines)),
            "nvas:\n",
            *(f"  n{i}: {{subnet: vnet1/nva, asn: 65001, connects_to: [{', '.join(names)}]}}\n" for i in range(nvas)),
            "sites:\n",
            *(f"  s{i}: {{asn: 65010, prefixes: [10.25{i}.0.0/16]}}\n" for i in range(sites)),
        ]
    )
    made = lab(text)
    assert len(addresses(made)) == 2 + machines + nvas + 2 * sites + 1
    legs = [leg.public for leg in made.internet.legs] if made.internet else []
    found = owners(made)
    wan: list[IPv4Interface] = [i for w in made.wan_links for i in (w.router_address, w.site_address)]
    assert len(found) == len(addresses(made)) + len({i.ip for i in wan})
    assert not set(legs) & set(found)
    assert len({nic.mac for nic in made.azure.nics}) == machines + nvas
    assert all(nic.address in IPv4Network("10.1.0.0/16") for nic in made.azure.nics)
    assert len({i.network for i in wan}) == len(made.wan_links)
