"""SECURITY.md and docs/reliability.md name the test of every claim: each one exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = ("SECURITY.md", "docs/reliability.md")
CITED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


@pytest.mark.parametrize("page", PAGES)
def test_every_cited_test_exists(page: str) -> None:
    cited = CITED.findall((ROOT / page).read_text(encoding="utf-8"))
    assert len(cited) > 15
    for file, name in cited:
        functions = ast.walk(ast.parse((ROOT / file).read_text(encoding="utf-8")))
        assert any(isinstance(node, ast.FunctionDef) and node.name == name for node in functions), f"{file}::{name}"


@pytest.mark.parametrize("page", PAGES)
def test_every_claim_cites_a_test(page: str) -> None:
    """Each point of a list, and each row of a table, but for what is not protected and for figures."""
    text = (ROOT / page).read_text(encoding="utf-8")
    claims = re.sub(r"## (Chaos|What is not protected)\n.*?(?=\n## |\Z)", "", text, flags=re.DOTALL)
    points = re.findall(r"^- .*?(?=^- |^\n|\n\n|\Z)", claims, re.MULTILINE | re.DOTALL)
    rows = [line for line in claims.splitlines() if re.match(r"\| (?!from|what happens|---|command)", line)]
    assert len(points) + len(rows) > 10
    assert [claim for claim in (*points, *rows) if not CITED.search(claim)] == []
