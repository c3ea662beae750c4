"""The lab files that guides have in full are valid, without a warning."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from labkit.lab.load import read_text

ROOT = Path(__file__).parents[2]
LABS = [
    (page, found)
    for page in sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("topologies/*/README.md")])
    for found in re.findall(r"```yaml\n(name: .*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
]


@pytest.mark.parametrize(("page", "text"), LABS, ids=[f"{page.parent.name}/{page.name}" for page, _ in LABS])
def test_a_guides_lab_is_valid(page: Path, text: str) -> None:
    loaded = read_text(text, page.name)
    assert loaded.warnings == ()
    assert loaded.lab.proofs


def test_there_are_some() -> None:
    assert LABS
