"""Resources as lab files: read(write(lab)) is the lab, and what real networks have."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given

from labkit.arm.beyond import beyond
from labkit.arm.read.document import document_of
from labkit.arm.read.text import text_of
from labkit.arm.write.bag import bag_of
from labkit.lab.load import Loaded, load_text, read_all, read_text
from labkit.lab.model import Lab
from tests.e2e.random_labs import lab_files

TOPOLOGIES = Path(__file__).parents[3] / "topologies"
LABS = [
    pytest.param(loaded, id=f"{loaded.lab.name}-{loaded.lab.variant}")
    for path in sorted(TOPOLOGIES.glob("*/lab.yml"))
    for loaded in read_all(path)
]


def once_more(loaded: Loaded) -> Lab:
    """A lab that went through its resources."""
    document = document_of(bag_of(loaded.lab.azure, "rg"), beyond(loaded.source.data), loaded.lab.name)
    return load_text(text_of(document, ["Imported."], {}), "imported.yml")


def without_lines(lab: Lab) -> Lab:
    """A lab whose proofs know no lines: they are others in another file."""
    return replace(lab, proofs=tuple(replace(proof, line=0) for proof in lab.proofs))


@pytest.mark.parametrize("loaded", LABS)
def test_a_lab_read_from_its_resources_is_the_lab(loaded: Loaded) -> None:
    found = once_more(loaded)
    assert found.azure == loaded.lab.azure
    assert without_lines(found) == replace(without_lines(loaded.lab), variant="")


@given(lab_files())
def test_random_labs_read_from_their_resources_are_themselves(text: str) -> None:
    loaded = read_text(text, "random.yml")
    found = once_more(loaded)
    assert found.azure == loaded.lab.azure
    assert without_lines(found) == without_lines(loaded.lab)


def test_references_in_any_case_are_the_same_ones() -> None:
    text = """
name: spelled
internet: 198.51.100.0/24
virtual_networks:
  hub: {address_space: 10.1.0.0/16, subnets: {GatewaySubnet: 10.1.255.0/27, app: 10.1.1.0/24, out: 10.1.2.0/24}}
  on-prem: {address_space: 10.2.0.0/16, subnets: {app: 10.2.1.0/24, side: 10.2.2.0/24}}
peerings: [{between: [HUB, ON-PREM], global: true, allow_forwarded_traffic: hub}]
gateways: {vpn: {type: Vpn, virtual_network: HUB, asn: 65501, connects_to: [BRANCH, FW/OUTSIDE]}}
nvas: {fw: {asn: 65002, nics: {outside: On-Prem/app, inside: On-Prem/side}}}
sites: {branch: {asn: 65010, prefixes: 10.250.0.0/16}}
"""
    loaded = read_text(text, "spelled.yml")
    assert without_lines(once_more(loaded)) == without_lines(loaded.lab)
