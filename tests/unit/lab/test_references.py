"""Names in another case than where they are declared: the lab is the same, with the names as they are declared."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from labkit.lab.file.variants import as_text
from labkit.lab.file.yaml_source import Data, Source, parse
from labkit.lab.load import read_all_text
from labkit.lab.model import Lab
from labkit.resources import topologies

E2E = Path(__file__).parents[2] / "e2e" / "labs"
FILES = sorted([*topologies().glob("*/lab.yml"), *E2E.glob("*.lab.yml")])


def other_case(data: Data, names: frozenset[str]) -> Data:
    """The references of a file in the other case: texts that are names, and keys of lists' items."""

    def turned(text: str) -> str:
        whole = text in names or (text.partition("/")[0] in names and "/" in text)
        return text.swapcase() if whole else text

    def inside(value: Data, *, listed: bool = False) -> Data:
        if isinstance(value, dict):
            pairs = ((k, v if k in {"config", "daemon", "type"} else inside(v)) for k, v in value.items())
            return {turned(k) if listed and len(value) == 1 else k: v for k, v in pairs}
        if isinstance(value, list):
            return [inside(v, listed=True) for v in value]
        return turned(value) if isinstance(value, str) else value

    assert isinstance(data, dict)
    return {key: value if key in {"name", "internet"} else inside(value) for key, value in data.items()}


def declared(data: Data) -> Iterator[str]:
    assert isinstance(data, dict)
    for section, entries in data.items():
        if isinstance(entries, dict) and section not in {"internet", "assumptions", "variants"}:
            yield from entries
            yield from (f"{name}-host" for name in entries if section == "sites")
            yield from (f"{name}-0" for name in entries if section in {"route_servers", "gateways"})


def without_lines(lab: Lab) -> Lab:
    return replace(lab, proofs=tuple(replace(proof, line=0) for proof in lab.proofs))


def labs(source: Source) -> list[Lab]:
    return [without_lines(each.lab) for each in read_all_text(as_text(source), "lab.yml")]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.parent.name if file.name == "lab.yml" else file.name)
def test_references_in_another_case(file: Path) -> None:
    source = parse(file.read_text(encoding="utf-8"))
    names = frozenset(declared(source.data))
    turned = Source(other_case(source.data, names), {})
    assert as_text(turned) != as_text(source)
    assert labs(turned) == labs(source)


EVERYTHING = """
name: case
virtual_networks:
  Hub:
    address_space: 10.1.0.0/16
    subnets: {RouteServerSubnet: 10.1.0.0/26, Nva: 10.1.1.0/24, b: {prefix: 10.1.2.0/24, route_table: OUT}}
  Spoke: {address_space: 10.2.0.0/16, subnets: {Work: 10.2.1.0/24}}
peerings: [{between: [hub, SPOKE], use_remote_gateways: spoke, allow_gateway_transit: HUB}]
route_tables: {Out: {routes: {0.0.0.0/0: internet, 10.250.0.0/16: FW/inside}}}
route_servers: {RS: {virtual_network: hub, peers: [{fw/INSIDE: {asn: 65001}}]}}
nvas:
  Fw:
    nics: {Outside: hub/B, Inside: hub/nva}
    asn: 65001
    connects_to: [bRANCH]
    overlays: [{FAR: {nic: INSIDE}}]
    static_routes: {10.9.0.0/16: inside, 10.8.0.0/16: branch, 10.7.0.0/16: FW/outside}
    tracks: BRANCH
    advertises: 10.9.0.0/16
    exports: [{to: [rs, branch], set: {next_hop: FAR}}]
  Far: {subnet: hub/NVA, asn: 65002, next_hop: FW, peers_with: [thIRD]}
  Third: {subnet: HUB/nva, asn: 65003}
sites: {Branch: {asn: 65010, prefixes: 10.250.0.0/16, prepend: {FW: 1}}}
internet: 198.51.100.0/24
virtual_machines: {Vm: spoke/WORK}
load_balancers: {Lb: {subnet: HUB/nva, backends: [fw/INSIDE, far], probe: {port: 179}}}
variants:
  v: {nvas: {FW: {nics: {INSIDE: {subnet: hub/nva, ip_forwarding: true}}}}, virtual_machines: {VM: null}}
proofs:
  - session: {on: RS, with: FW/inside}
  - session: {on: far, with: fw}
  - effective_routes: {on: vm, rows: {0.0.0.0/0: Internet, 10.1.0.0/16: VNetPeering, 10.250.0.0/16: fw/INSIDE}}
    not_in: v
  - {path: {from: VM, to: branch-HOST, through: FW, never: rs}, not_in: v}
  - {ping: {from: vm, to: INTERNET}, not_in: v}
  - {capture: {table: learned-routes rs FW, source: x, rows: ""}, not_in: v}
"""


def names_in(value: object) -> set[str]:
    return set(re.findall(r"\w+", str(value)))


def test_names_have_the_spelling_of_their_declaration() -> None:
    lab, variant = (each.lab for each in read_all_text(EVERYTHING, "case.lab.yml"))
    wrong = {"FW", "fw", "INSIDE", "inside", "hub", "HUB", "rs", "FAR", "far", "branch", "BRANCH", "vm", "VM", "OUT"}
    assert names_in(lab) & wrong == set()
    assert names_in(variant) & wrong == set()
    assert variant.azure.nics_of("Vm") == ()
    assert [nic.name for nic in variant.azure.nics_of("Fw")] == ["Fw/Outside", "Fw/Inside"]
