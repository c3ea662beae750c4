"""Export rules on the command line, in the words of a lab file."""

from __future__ import annotations

from pathlib import Path

import pytest

from labkit.azure.model import AsPathMatch, ExportRule, Origin, PathChanges, PrefixMatch
from labkit.errors import InvalidInput
from labkit.lab.compile import check
from labkit.lab.export_rules import rules_of
from labkit.lab.file.yaml_source import parse
from labkit.lab.kinds.next_hop import next_hops
from labkit.lab.load import load_text
from labkit.lab.route_table import user_route
from labkit.resources import topologies
from tests.unit.azure.builders import addr, net

LAB = load_text(
    """
name: exports
virtual_networks:
  hub: {address_space: 10.1.0.0/16, subnets: {RouteServerSubnet: 10.1.0.0/26, nva: 10.1.1.0/24}}
route_servers: {rs1: {virtual_network: hub, peers: [fw, far]}}
nvas:
  fw:
    subnet: hub/nva
    asn: 65001
    connects_to: branch
    prepend: 1
    next_hop: far
    exports:
      - {to: rs1, prefix: [10.2.0.0/16, 10.3.0.0/16 or longer], as_path: [65010, ^$], set: {next_hop: unchanged}}
      - {to: [branch, rs1], community: no-export, deny: yes}
      - {to: branch, set: {med: 5, origin: incomplete, strip: 65515, communities: [1:1, 2:2]}}
  far: {subnet: hub/nva, asn: 65002, exports: [{set: {prepend: 2}}]}
sites:
  branch: {asn: 65010, prefixes: 10.250.0.0/16, exports: [{to: fw, set: {next_hop: far}}], prepend: {fw: 2}}
""",
    "exports",
)
EXPORTS = LAB.azure.appliance["fw"].exports


def test_a_lab_files_rules_and_what_its_one_word_options_are_short_for() -> None:
    prefixes = (PrefixMatch(net("10.2.0.0/16")), PrefixMatch(net("10.3.0.0/16"), or_longer=True))
    as_paths = (AsPathMatch((65010,)), AsPathMatch((), from_start=True, to_end=True))
    assert (
        ExportRule(("rs1",), prefixes, (), as_paths, changes=PathChanges(next_hop_unchanged=True)),
        ExportRule(("branch", "rs1"), communities=((65535, 65281),), deny=True),
        ExportRule(
            ("branch",),
            changes=PathChanges(communities=((1, 1), (2, 2)), strip=(65515,), med=5, origin=Origin.INCOMPLETE),
        ),
        ExportRule(("rs1",), changes=PathChanges(1, next_hop=addr("10.1.1.5"))),
        ExportRule(changes=PathChanges(1)),
    ) == EXPORTS


def test_a_sites_rules() -> None:
    to_fw = ExportRule(("fw",), changes=PathChanges(next_hop=addr("10.1.1.5")))
    assert LAB.site_router["branch"].exports == (to_fw, ExportRule(("fw",), changes=PathChanges(2)))


def test_a_rule_as_it_is_shown_is_that_rule() -> None:
    assert tuple(rules_of(LAB.azure, map(str, EXPORTS))) == EXPORTS


@pytest.mark.parametrize(
    ("text", "message", "remedy"),
    [
        ("deny", "deny is not an export rule.", "Write it as in a lab file: '{to: rs1"),
        ("{deny: [", "{deny: [ is not an export rule.", "Write it as in a lab file: '{to: rs1"),
        (
            "{prefix: 10.1.0.0}",
            "export rule {prefix: 10.1.0.0}: prefix.0: prefix 10.1.0.0 has no",
            "Add it, as",
        ),
        ("{as_path: 0}", 'export rule {as_path: 0}: as_path.0: "0" does not match AS paths.', "Write an ASN, or ASNs"),
        ("{as_path: _}", 'export rule {as_path: _}: as_path.0: "_" does not match AS paths.', "Write an ASN, or ASNs"),
        ("{deny: x}", "export rule {deny: x}: deny: input should be a valid boolean", "Keys of a rule: to, prefix,"),
        ("{when: x}", "export rule {when: x}: when: extra inputs are not permitted.", "Keys of a rule: to, prefix,"),
        ("{to: []}", "export rule {to: []}: to: the list is empty.", "Add an item, or remove the key"),
        ("{set: {next_hop: rs1}}", "next_hop: rs1 is not a next hop.", "Write the name of a machine, a load"),
    ],
)
def test_what_is_not_a_rule(text: str, message: str, remedy: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        list(rules_of(LAB.azure, [text]))
    assert refused.value.message.startswith(message)
    assert refused.value.remedy.startswith(remedy)


@pytest.mark.parametrize("file", sorted(topologies().glob("*/lab.yml")), ids=lambda file: file.parent.name)
def test_a_next_hop_has_the_same_names_in_a_lab_file_and_while_the_lab_runs(file: Path) -> None:
    checked = check(parse(file.read_text(encoding="utf-8")))
    assert checked.addresses.next_hops == next_hops(checked.azure)
    for name, address in checked.addresses.next_hops.items():
        rule = f"{{set: {{next_hop: {name.upper()}}}}}"
        (made,) = rules_of(checked.azure, [rule])
        assert made.changes.next_hop == user_route("10.99.0.0/16", name.upper(), checked.azure).next_hop == address
