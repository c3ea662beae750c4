"""SECURITY.md names the test of every claim: each one exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
CLAIMS, _, UNPROTECTED = PAGE.partition("## What is not protected")
CITED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def test_every_cited_test_exists() -> None:
    cited = CITED.findall(PAGE)
    assert len(cited) > 20
    for file, name in cited:
        functions = ast.walk(ast.parse((ROOT / file).read_text(encoding="utf-8")))
        assert any(isinstance(node, ast.FunctionDef) and node.name == name for node in functions), f"{file}::{name}"


def test_every_claim_cites_a_test() -> None:
    """Each point of a list, and each row of the table, before what is not protected."""
    points = re.findall(r"^- .*?(?=^- |^\n|\n\n|\Z)", CLAIMS, re.MULTILINE | re.DOTALL)
    rows = [line for line in CLAIMS.splitlines() if line.startswith("| ") and not line.startswith(("| from", "| ---"))]
    assert len(points) > 10
    assert [claim for claim in (*points, *rows) if not CITED.search(claim)] == []
