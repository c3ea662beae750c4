"""Variants: what a patch makes of a lab file, where its mistakes stand, and that each is reported once."""

from __future__ import annotations

from ipaddress import IPv4Address
from pathlib import Path

import pytest
import yaml

from labkit.azure.model import ExportRule, PathChanges
from labkit.lab import proofs
from labkit.lab.file.problems import LabFileError
from labkit.lab.file.variants import as_text, patched, variant_names
from labkit.lab.file.yaml_source import Data, parse
from labkit.lab.load import Loaded, load, load_text, read_all_text, read_text

from .samples import EVERYTHING, OVERVIEW

BASE = """\
name: lab
virtual_networks:
  vnet1:
    address_space: 10.1.0.0/16
    subnets: {RouteServerSubnet: 10.1.0.0/26, nva: 10.1.1.0/24}
route_servers:
  rs1: {virtual_network: vnet1, peers: [one]}
nvas:
  one: {subnet: vnet1/nva, asn: 65001}
virtual_machines:
  vm1: vnet1/nva
proofs:
  - session: {on: rs1, with: one}
  - {ping: {from: vm1, to: one}, not_in: far}
  - kernel_route: {on: vm1, prefix: 0.0.0.0/0}
variants:
"""


def refused(variants: str, base: str = BASE) -> list[str]:
    """What is reported of a file with these variants, each mistake as line: text."""
    with pytest.raises(LabFileError) as caught:
        read_all_text(base + variants, "x.yml")
    return [f"{p.line}: {p.text}" for p in caught.value.problems]


@pytest.mark.parametrize(
    ("base", "patch", "result"),
    [
        # The cases of RFC 7386, appendix A, as far as a file is a mapping.
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": ["1"]}, {"a": ["1"]}),
        ({"e": None}, {"a": "1"}, {"e": None, "a": "1"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
        # And ours: proofs add up, and a description changes nothing in the lab.
        ({"proofs": ["a"]}, {"proofs": ["b", "c"]}, {"proofs": ["a", "b", "c"]}),
        ({}, {"proofs": ["b"], "description": "d"}, {"proofs": ["b"]}),
        ({"proofs": ["a"]}, {"proofs": None}, {"proofs": ["a"]}),
        ({"proofs": [{"x": "1", "not_in": "v"}, {"y": "2", "not_in": ["w"]}]}, {}, {"proofs": [{"y": "2"}]}),
        ({"proofs": [{"x": "1", "not_in": ["w", "v"]}]}, {}, {"proofs": []}),
    ],
)
def test_merge(base: dict[str, Data], patch: dict[str, Data], result: dict[str, Data]) -> None:
    source = parse(yaml.safe_dump({**base, "variants": {"v": patch}}))
    made = patched(source, "v")
    assert made.data == result
    assert made.variant == "v"
    assert parse(as_text(made)).data == result


def test_every_value_keeps_its_line() -> None:
    text = (
        "a: {b: 1}\nc:\n  d: 2\n  e: 3\nproofs:\n- x\n- {y: 1, not_in: v}\n- z\nvariants:\n  v:\n    c:\n      e: 4\n"
    )
    text += "      f:\n        g: 5\n    a: null\n    proofs:\n    - w\n"
    made = patched(parse(text), "v")
    assert made.data == {"c": {"d": "2", "e": "4", "f": {"g": "5"}}, "proofs": ["x", "z", "w"]}
    paths = [("c",), ("c", "d"), ("c", "e"), ("c", "f"), ("c", "f", "g")]
    assert [made.line(path) for path in paths] == [2, 3, 12, 13, 14]
    assert made.line(("a",)) == 15, "what was removed is where that is said"
    assert [made.line(("proofs", i)) for i in range(3)] == [6, 8, 17]
    assert [made.proof(i) for i in range(3)] == [0, 2, 0]


@pytest.mark.parametrize("text", ["null", "~", "", "true", "65001", "10.1.0.0/16", "a: b", "- x", "é", "x\ny", "010"])
def test_what_is_text_stays_text(text: str) -> None:
    source = parse(yaml.safe_dump({"a": text, "b": [None, text], "variants": {"v": {}}}))
    assert parse(as_text(patched(source, "v"))).data == {"a": text, "b": [None, text]}


def test_only_what_must_be_is_quoted() -> None:
    assert as_text(parse("a: 65001\nb: true\nc: 10.1.0.0/16\nd: 'null'\ne: {f: }")) == (
        "a: 65001\nb: true\nc: 10.1.0.0/16\nd: 'null'\ne: {f: null}\n"
    )


@pytest.fixture(scope="module")
def overview() -> dict[str, Loaded]:
    return {loaded.lab.variant: loaded for loaded in read_all_text(OVERVIEW.read_text(), "lab.yml")}


def test_overview(overview: dict[str, Loaded]) -> None:
    pairs = ["active-active", "active-passive", "load-balancer"]
    assert list(overview) == ["", *pairs]
    assert overview[""].lab == load(OVERVIEW)
    assert all(loaded.description for variant, loaded in overview.items() if variant)
    for variant in pairs:
        lab = overview[variant].lab
        assert lab.name == "overview"
        assert [n.name for n in lab.nvas] == ["sdwan-nva", "security-nva", "sdwan-nva-2"]
        assert {n.name: n.address for n in overview[""].lab.azure.nics}.items() <= {
            n.name: n.address for n in lab.azure.nics
        }.items(), "a variant that adds something moves nothing"
    policies = [overview[v].lab.azure.appliance["sdwan-nva-2"].exports for v in pairs]
    frontend = ExportRule(("rs1",), changes=PathChanges(next_hop=IPv4Address("10.1.1.6")))
    assert policies == [(), (ExportRule(changes=PathChanges(2)),), (frontend,)]
    via = {
        variant: {p.claim.via for p in loaded.lab.proofs if isinstance(p.claim, proofs.KernelRouteClaim)}
        for variant, loaded in overview.items()
    }
    one, both, security = ("sdwan-nva",), ("sdwan-nva", "sdwan-nva-2"), ("security-nva",)
    assert via == {
        "": {one, security},
        "active-active": {both, security},
        "active-passive": {one, security},
        "load-balancer": {("sdwan-lb",), security},
    }


def test_a_variant_alone_is_a_whole_file(overview: dict[str, Loaded]) -> None:
    assert overview[""].standalone() == OVERVIEW.read_text()
    for variant, loaded in overview.items():
        alone = read_text(loaded.standalone(), "x.yml")
        assert alone.warnings == ()
        assert alone.lab.azure == loaded.lab.azure
        assert [p.claim for p in alone.lab.proofs] == [p.claim for p in loaded.lab.proofs]
        assert variant_names(alone.source) == ([] if variant else [*overview][1:])


def test_every_form() -> None:
    labs = {loaded.lab.variant: loaded.lab for loaded in read_all_text(EVERYTHING, "x.yml")}
    base, bare, more, same = (labs[v] for v in ("", "bare", "more", "same"))
    towards_servers = ExportRule(tuple(base.nva["fw4"].route_servers), changes=PathChanges(10, as_override=True))
    assert base.azure.appliance["fw4"].exports == (towards_servers, ExportRule(changes=PathChanges(10)))
    assert bare.azure.appliance["fw4"].exports == ()
    assert bare.internet is None
    assert str(bare.azure.nic["vm1"].address) == "10.2.1.99"
    assert not bare.azure.nic["vm2"].ip_forwarding
    assert len(bare.azure.route_tables[0].routes) == len(base.azure.route_tables[0].routes) - 1
    assert "fw3" not in more.nva
    assert more.nva["fw5"].route_servers == {"rs1": "fw5"}
    assert [len(lab.proofs) - len(base.proofs) for lab in (bare, more, same)] == [-2, 0, 0]
    assert (same.azure, same.nvas, same.proofs) == (base.azure, base.nvas, base.proofs)


def test_a_mistake_of_the_base_is_reported_once_and_one_of_a_variant_with_its_name() -> None:
    base = BASE.replace("with: one", "with: oen")
    variants = (
        "  far:\n    nvas: {one: {asn: 65515}}\n    proofs:\n    - ping: {from: vm1, to: nobody}\n"
        "  near:\n    nvas:\n      one: {asn: 65515}\n      two: {subnet: vnet1/nva, asn: x}\n"
    )
    assert refused(variants, base) == [
        '13: proof 1 (session): there is no BGP speaker "oen".',
        '18: variant far: peer "one" of route server rs1: ASN 65515 is the route server\'s own.',
        '20: variant far: proof 1 (ping): there is no node "nobody".',
        '23: variant near: peer "one" of route server rs1: ASN 65515 is the route server\'s own.',
        '24: variant near: NVA two: asn: "x" is not a whole number.',
    ]


def test_what_several_variants_break_is_one_mistake() -> None:
    variants = "  far: {nvas: {one: null}}\n  near: {nvas: {one: null}}\n"
    assert refused(variants) == [
        '7: variants far and near: peer of route server rs1: there is no NVA "one" (also on line 13).',
    ]


def test_a_required_value_that_is_removed_is_missed_where_it_is_removed() -> None:
    variants = "  far:\n    route_servers:\n      rs1:\n        virtual_network: null\n"
    assert refused(variants) == ["20: variant far: route server rs1: virtual_network is missing."]


def test_a_variant_may_mend_the_base_but_the_base_must_be_right() -> None:
    base = BASE.replace("asn: 65001", "asn: 65515")
    assert refused("  far: {nvas: {one: {asn: 65001}}}\n", base) == [
        '9: peer "one" of route server rs1: ASN 65515 is the route server\'s own.'
    ]


def test_one_variant_alone_is_looked_at() -> None:
    text = BASE + "  far: {nvas: {one: {asn: 65002}}}\n  wrong: {nvas: {one: {asn: none}}}\n"
    assert load_text(text, "x").nva["one"].asn == 65001
    assert load_text(text, "x", "far").nva["one"].asn == 65002
    with pytest.raises(LabFileError, match="variant wrong: NVA one: asn"):
        load_text(text, "x", "wrong")
    with pytest.raises(LabFileError) as caught:
        load_text(text, "x.yml", "fra")
    assert caught.value.message.startswith('x.yml: there is no variant "fra".\n    Did you mean "far"?\n')
    with pytest.raises(LabFileError) as caught:
        load_text("name: lab\n", "x.yml", "far")
    assert caught.value.message.startswith('x.yml: there is no variant "far".\n    The file has no variants.\n')


def test_warnings_of_variants() -> None:
    text = BASE + "  far: {sites: {branch: {asn: 65010, prefixes: 10.250.0.0/16}}}\n"
    base, far = read_all_text(text, "x.yml")
    assert [f"{w.line}: {w.text}" for w in far.warnings] == ["17: variant far: site branch has no connection."]
    assert base.warnings == far.warnings
    assert read_text(text, "x.yml").warnings == ()


def test_an_option_towards_route_servers_that_reaches_none() -> None:
    text = BASE + "  far: {nvas: {two: {subnet: vnet1/nva, asn: 65002, connects_to: b, as_override: true}}, sites: {b: "
    loaded = read_text(text + "{asn: 65010, prefixes: 10.250.0.0/16}}}\n", "x.yml", "far")
    assert [w.text for w in loaded.warnings] == [
        "variant far: NVA two: as_override has no effect: no route server has it as a peer."
    ]


@pytest.mark.parametrize("variants", ["[]", "x", "{v: }", "{v: []}", "{v: {proofs: {}}}", "{v: {nvas: x}}"])
def test_shapes_that_are_wrong_are_reported_once(variants: str) -> None:
    with pytest.raises(LabFileError) as caught:
        read_all_text(f"name: lab\nvariants: {variants}\n", "x.yml")
    (problem,) = caught.value.problems
    assert problem.line == 2


def test_files_of_yaml_aliases(tmp_path: Path) -> None:
    text = BASE + "  far: &far {nvas: {one: {asn: 65002}}}\n  near:\n    <<: *far\n    description: Near.\n"
    file = tmp_path / "x.lab.yml"
    file.write_text(text)
    assert [loaded.lab.nva["one"].asn for loaded in read_all_text(text, "x")] == [65001, 65002, 65002]
