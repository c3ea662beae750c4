"""What stays in an edited lab keeps its addresses, whatever comes or goes before it in the file."""

from __future__ import annotations

import pytest

from labkit.errors import InvalidInput
from labkit.lab.file.insertion import with_values
from labkit.lab.file.yaml_source import parse
from labkit.lab.kept import with_addresses_of
from labkit.lab.load import load_text

TEXT = """
name: kept
virtual_networks:
  hub: {address_space: 10.1.0.0/16, subnets: {GatewaySubnet: 10.1.0.0/26, app: 10.1.2.0/24, nva: 10.1.3.0/24}}
nvas:
  fw:
    # With two legs.
    nics:
      outside: {subnet: hub/nva}
      inside: hub/nva
sites:
  branch: {asn: 65010, prefixes: [10.250.0.0/16]}
internet: {prefix: 198.51.100.0/24}
gateways:
  vpn: {type: Vpn, virtual_network: hub, connects_to: [branch]}
load_balancers:
  lb: {subnet: hub/app, backends: [vm3], probe: {port: 80}}
virtual_machines:
  vm1: hub/app  # the first
  vm2: {subnet: hub/app}
  vm3:
    subnet: hub/app
    ip_forwarding: false
"""
LAB = load_text(TEXT, "kept.lab.yml")


def addresses(text: str, variant: str = "") -> dict[str, str]:
    azure = load_text(text, "edited.lab.yml", variant).azure
    found = {nic.name: str(nic.address) for nic in azure.nics}
    return found | {balancer.name: str(balancer.address) for balancer in azure.load_balancers}


BEFORE = addresses(TEXT)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("  vm1: hub/app  # the first\n", ""),
        ("  vm1: hub/app", "  vm0: hub/app\n  vm1: hub/app"),
        ("nvas:\n", "nvas:\n  a: {subnet: hub/app}\n  b: {subnet: hub/nva}\n"),
        ("gateways:\n", "gateways:\n  er: {type: ExpressRoute, virtual_network: hub}\n"),
        ("  vm2: {subnet: hub/app}\n", "  vm2: {subnet: hub/app, address: 10.1.2.77}\n  vm5: hub/app\n"),
    ],
)
def test_what_stays_keeps_its_address(old: str, new: str) -> None:
    text = TEXT.replace(old, new, 1)
    assert addresses(text) != BEFORE
    after = addresses(with_addresses_of(LAB, text, "edited.lab.yml"))
    moved = {name for name in after.keys() & BEFORE.keys() if after[name] != BEFORE[name]}
    assert moved == ({"vm2"} if "10.1.2.77" in new else set())
    assert len(set(after.values())) == len(after)


def test_a_file_in_which_nothing_moves_stays_as_it_is() -> None:
    text = f"{TEXT}  vm9: hub/nva\n"
    assert with_addresses_of(LAB, text, "edited.lab.yml") == text


def test_only_what_moves_is_written() -> None:
    text = TEXT.replace("  vm1: hub/app  # the first\n", "")
    assert with_addresses_of(LAB, text, "edited.lab.yml") == text.replace(
        "vm2: {subnet: hub/app}", "vm2: {address: 10.1.2.5, subnet: hub/app}"
    ).replace("    subnet: hub/app\n    ip", "    address: 10.1.2.6\n    subnet: hub/app\n    ip").replace(
        "lb: {subnet", "lb: {address: 10.1.2.7, subnet"
    )


def test_in_a_variant() -> None:
    variant = "variants:\n  more:\n    nvas: {a: {subnet: hub/app}}\n    virtual_machines: {vm4: hub/app}\n"
    lab = load_text(TEXT + variant, "kept.lab.yml", "more")
    text = (TEXT + variant).replace("  vm1: hub/app  # the first\n", "")
    kept = addresses(with_addresses_of(lab, text, "edited.lab.yml", "more"), "more")
    assert kept == {name: address for name, address in addresses(TEXT + variant, "more").items() if name != "vm1"}


def test_what_is_given_to_another_is_a_mistake() -> None:
    text = TEXT.replace("  vm1: hub/app", "  vm0: {subnet: hub/app, address: 10.1.2.5}\n  vm1: hub/app")
    with pytest.raises(InvalidInput, match=r"address 10\.1\.2\.5 is also given to"):
        with_addresses_of(LAB, text, "edited.lab.yml")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a: {b: net}", {"a": {"b": {"subnet": "net", "k": "1"}}}),
        ("a: {b: 'net'}", {"a": {"b": {"subnet": "net", "k": "1"}}}),
        ("a:\n  b:\n    x: 1\n    y: 2\n", {"a": {"b": {"k": "1", "x": "1", "y": "2"}}}),
        ("a:\n  b:\n    ? x\n    : 1\n", {"a": {"b": {"k": "1", "x": "1"}}}),
        ("a: {b: {x: 1,\n  # what\n  }}", {"a": {"b": {"k": "1", "x": "1"}}}),
        ("a: {b: {k: 2}}", {"a": {"b": {"k": "2"}}}),
        ("a: {b: &x {y: 2}, c: *x}", {"a": {"b": {"y": "2"}, "c": {"y": "2"}}}),
        ("a: {b: }", {"a": {"b": None}}),
        ("a: {c: 1}", {"a": {"c": "1"}}),
        ("a: [1]", {"a": ["1"]}),
        ("", None),
    ],
)
def test_a_value_is_written_where_there_is_a_place_for_it(text: str, wanted: object) -> None:
    assert parse(with_values(text, {("a", "b", "k"): "1"}, "subnet")).data == wanted
