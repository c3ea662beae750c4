"""The overview lab's rendered folder, file by file.

`render/overview/` is what `labkit render overview` writes, with a fixed image name, and `render/overview-passive/` what
is different with `--variant active-passive`. After a change of a template or of the plan run with
LABKIT_UPDATE_GOLDEN=1 and read the difference before committing it.
"""

from __future__ import annotations

import difflib
import os
import shutil
from pathlib import Path

import pytest

from labkit.lab.load import read
from labkit.lab.plan import plan
from labkit.render.render import render
from labkit.resources import topologies

GOLDEN = Path(__file__).parent / "render" / "overview"
PASSIVE = GOLDEN.with_name("overview-passive")
IMAGE = "labkit/node:golden"


def render_overview(out: Path, variant: str = "") -> None:
    loaded = read(topologies() / "overview" / "lab.yml", variant)
    render(plan(loaded.lab), out, image=IMAGE, lab_file=loaded.standalone().encode())
    if not variant:
        (out / "lab.yml").unlink()  # topologies/overview/lab.yml, as tests/unit/lab/test_variants.py checks


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


@pytest.fixture(scope="module")
def passive(rendered: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the variant's folder has that the base's has not, or has otherwise."""
    out = tmp_path_factory.mktemp("render") / "overview"
    render_overview(out, "active-passive")
    for path, content in files(out).items():
        if rendered.get(path) == content:
            (out / path).unlink()
    if os.environ.get("LABKIT_UPDATE_GOLDEN") == "1":
        shutil.rmtree(PASSIVE, ignore_errors=True)
        shutil.copytree(out, PASSIVE)
    return files(out)


def differences(golden: Path, rendered: dict[str, str]) -> str:
    return "".join(
        line
        for path, expected in sorted(files(golden).items())
        for line in difflib.unified_diff(
            expected.splitlines(keepends=True),
            rendered.get(path, "").splitlines(keepends=True),
            f"golden/{path}",
            f"rendered/{path}",
        )
    )


def test_the_same_files(rendered: dict[str, str], passive: dict[str, str]) -> None:
    assert sorted(rendered) == sorted(files(GOLDEN)), "LABKIT_UPDATE_GOLDEN=1 accepts it."
    assert sorted(passive) == sorted(files(PASSIVE)), "LABKIT_UPDATE_GOLDEN=1 accepts it."


def test_the_same_content(rendered: dict[str, str], passive: dict[str, str]) -> None:
    difference = differences(GOLDEN, rendered) + differences(PASSIVE, passive)
    assert not difference, f"\n{difference}\nLABKIT_UPDATE_GOLDEN=1 accepts it."


def test_twice_the_same(rendered: dict[str, str], tmp_path: Path) -> None:
    render_overview(tmp_path / "again")
    assert files(tmp_path / "again") == rendered
