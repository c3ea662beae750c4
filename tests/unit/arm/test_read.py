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
