"""A kind is a file and a line: what a made-up one gets from the stages, without a change anywhere else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from labkit.lab import compile as stages
from labkit.lab.build import wiring
from labkit.lab.file.draft import Draft
from labkit.lab.file.problems import LabFileError
from labkit.lab.file.schema import Section, SingleSection, shape
from labkit.lab.file.schema_types import Address, AzureName, ShortPart
from labkit.lab.kinds.kind import Checking, Given, Kind
from labkit.lab.kinds.machine import check_place, given_address
from labkit.lab.kinds.names import Declared
from labkit.lab.kinds.nouns import Noun, Trait
from labkit.lab.kinds.registry import KINDS
from labkit.lab.load import load_text

from .samples import EVERYTHING

BASTION = Noun("bastion", Trait.NEXT_HOP)


class Bastion(ShortPart):
    subnet: str
    address: Address | None = None


BASTIONS: Section[dict[str, Bastion]] = Section(
    "bastions",
    "bastion",
    dict[AzureName, Bastion],
    "Bastions by name.",
    dict,
    hints={"subnet": "Add the subnet of its host."},
)


class BastionKind(Kind):
    section = BASTIONS
    noun = BASTION

    def names(self, draft: Draft) -> Iterator[Declared]:
        for name in draft.names("bastions"):
            yield Declared(name, BASTION, ("bastions", name))

    def references(self, checking: Checking) -> None:
        for name, bastion in checking.draft.file[BASTIONS].items():
            check_place(checking, ("bastions", name), bastion.subnet)

    def given(self, draft: Draft) -> Iterator[Given]:
        for name, bastion in draft.file[BASTIONS].items():
            yield from given_address(draft, ("bastions", name), f"bastion {name}", bastion.subnet, bastion.address)


@pytest.fixture(autouse=True)
def _with_bastions(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = (*KINDS, BastionKind())
    monkeypatch.setattr(stages, "KINDS", kinds)
    monkeypatch.setattr(stages, "SHAPE", shape([kind.section for kind in kinds if kind.section is not None]))


LAB = """
name: fort
virtual_networks: {{hub: {{address_space: 10.1.0.0/16, subnets: {{work: 10.1.1.0/24}}}}}}
route_tables: {{out: {{routes: {{0.0.0.0/0: {hop}}}}}}}
virtual_machines: {{vm1: {{subnet: hub/work, address: 10.1.1.9}}}}
bastions:
  {bastion}
"""


def errors(bastion: str, hop: str = "Internet") -> list[str]:
    with pytest.raises(LabFileError) as caught:
        load_text(LAB.format(bastion=bastion, hop=hop), "fort")
    return [f"{problem.line}: {problem.text} {problem.remedy}" for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("bastion", "text"),
    [
        ("b1: {subnt: hub/work}", '7: bastion b1: unknown key "subnt". Did you mean "subnet"?'),
        ("b1: {address: 10.1.1.4}", "7: bastion b1: subnet is missing. Add the subnet of its host."),
        ("b1: hub/wrk", '7: bastion b1: virtual network hub has no subnet "wrk". Did you mean "work"?'),
        (
            "vm1: hub/work",
            (
                '7: bastion vm1: "vm1" is already the name of virtual machine vm1 (line 5). '
                "Every object has a name of its own, and Azure ignores case: rename one."
            ),
        ),
        (
            "b1: {subnet: hub/work, address: 10.1.1.9}",
            (
                "7: bastion b1: address 10.1.1.9 is also given to virtual machine vm1 (line 5). "
                "Change one, or omit one: labkit chooses a free one."
            ),
        ),
    ],
)
def test_its_mistakes_are_found(bastion: str, text: str) -> None:
    assert errors(bastion) == [text]


def test_its_names_are_known_to_others() -> None:
    assert errors("b1: hub/work", hop="b2") == [
        '4: route 0.0.0.0/0 of route table out: there is no next hop "b2". The file has: vm1, b1.'
    ]
    assert load_text(LAB.format(bastion="b1: hub/work", hop="b1"), "fort").name == "fort"


def test_a_section_that_is_empty_is_none() -> None:
    assert load_text(LAB.format(bastion="# nothing yet", hop="Internet"), "fort").name == "fort"


def test_a_section_knows_what_a_path_is_part_of() -> None:
    section: Section[dict[str, Bastion]] = Section(
        "bastions", "bastion", dict, "", dict, parts={"hosts": 'host "{1}" of bastion {0}'}
    )
    assert section.subject(("bastions", "b1", "hosts", 0, "h1", "port")) == ('host "h1" of bastion b1', ("port",))
    assert section.subject(("bastions", "b1", "hosts", "h1")) == ('host "h1" of bastion b1', ())
    assert section.subject(("bastions", "b1", "hosts", 0)) == ("bastion b1", ("hosts", 0))
    assert section.subject(("bastions",)) == ("", ("bastions",))
    single: SingleSection[None] = SingleSection("door", "door", type(None), "", lambda: None)
    assert single.subject(("door", "width")) == ("door", ("width",))


def test_every_end_of_a_wire_is_an_interface_of_its_own() -> None:
    ends = [end for wire in wiring(load_text(EVERYTHING, "all")).wires for end in (wire.a, wire.b)]
    assert len(ends) == len(set(ends))
