"""The overview lab's rendered folder, file by file.

`render/overview/` is what `labkit render overview` writes, with a fixed image name. After a change of a template or of
the plan run with LABKIT_UPDATE_GOLDEN=1 and read the difference before committing it.
"""

from __future__ import annotations

import difflib
import os
import shutil
from pathlib import Path

import pytest

from labkit.lab.load import load
from labkit.lab.plan import plan
from labkit.render.render import render
from labkit.resources import topologies

GOLDEN = Path(__file__).parent / "render" / "overview"
IMAGE = "labkit/node:golden"


def render_overview(out: Path) -> None:
    lab_file = topologies() / "overview" / "lab.yml"
    render(plan(load(lab_file)), out, image=IMAGE, lab_file=lab_file.read_bytes())
    (out / "lab.yml").unlink()  # a copy of topologies/overview/lab.yml, checked in tests/unit/lab/test_plan_render.py


def files(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): p.read_text(encoding="utf-8") for p in folder.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    out = tmp_path_factory.mktemp("render") / "overview"
    render_overview(out)
    if os.environ.get("LABKIT_UPDATE_GOLDEN") == "1":
        shutil.rmtree(GOLDEN, ignore_errors=True)
        shutil.copytree(out, GOLDEN)
    return files(out)


def test_the_same_files(rendered: dict[str, str]) -> None:
    assert sorted(rendered) == sorted(files(GOLDEN)), "LABKIT_UPDATE_GOLDEN=1 accepts it."


def test_the_same_content(rendered: dict[str, str]) -> None:
    difference = "".join(
        line
        for path, expected in sorted(files(GOLDEN).items())
        for line in difflib.unified_diff(
            expected.splitlines(keepends=True),
            rendered.get(path, "").splitlines(keepends=True),
            f"golden/{path}",
            f"rendered/{path}",
        )
    )
    assert not difference, f"\n{difference}\nLABKIT_UPDATE_GOLDEN=1 accepts it."


def test_twice_the_same(rendered: dict[str, str], tmp_path: Path) -> None:
    render_overview(tmp_path / "again")
    assert files(tmp_path / "again") == rendered
