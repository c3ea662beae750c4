"""Rendered folders, file by file.

`render/overview/` is what `labkit render overview` writes, with a fixed image name, and `render/overview-passive/` what
is different with `--variant active-passive`. Of the labs with gateways there is the topology and what is in nodes:
of pairs the first node only, and of files that are the same the first one. Of the lab with BIRD there are its
configurations. After a change of a template or of the plan run with LABKIT_UPDATE_GOLDEN=1 and read the difference
before committing it.
"""

from __future__ import annotations

import difflib
import os
import shutil
from pathlib import Path

import pytest

from labkit.lab.build import plan
from labkit.lab.load import read
from labkit.render.render import render
from labkit.resources import topologies

GOLDEN = Path(__file__).parent / "render" / "overview"
PASSIVE = GOLDEN.with_name("overview-passive")
IMAGE = "labkit/node:golden"


def render_lab(name: str, out: Path, variant: str = "") -> None:
    loaded = read(topologies() / name / "lab.yml", variant)
    render(plan(loaded.lab), out, image=IMAGE, lab_file=loaded.standalone().encode())


def render_overview(out: Path, variant: str = "") -> None:
    render_lab("overview", out, variant)
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


def once(rendered: dict[str, str]) -> dict[str, str]:
    """The topology and what is in nodes, without second nodes of pairs and second copies of files."""
    kept: dict[str, str] = {}
    for path, content in sorted(rendered.items()):
        first = path.startswith("nodes/") and not Path(path).parent.name.endswith("-1")
        if (first or path.endswith(".clab.yml")) and content not in kept.values():
            kept[path] = content
    return kept


@pytest.mark.parametrize(("name", "variant"), [("expressroute-vpn", "bgp"), ("dual-homed-expressroute", "overlay")])
def test_gateways(name: str, variant: str, tmp_path: Path) -> None:
    render_lab(name, tmp_path, variant)
    must_be_golden(once(files(tmp_path)), GOLDEN.with_name(name))


def test_bird(tmp_path: Path) -> None:
    """BIRD's configuration with every option of an NVA: tests/e2e/test_bird.py boots it."""
    file = Path(__file__).parents[1] / "e2e" / "labs" / "bird.lab.yml"
    render(plan(read(file).lab), tmp_path, image=IMAGE, lab_file=b"")
    rendered = {path: text for path, text in files(tmp_path).items() if path.endswith("/bird.conf")}
    assert len(rendered) == 5
    must_be_golden(rendered, GOLDEN.with_name("bird"))


def test_sites(tmp_path: Path) -> None:
    """The routers of a site with several of them, and of one with a way to the Internet: tests/e2e/test_sites.py."""
    file = Path(__file__).parents[1] / "e2e" / "labs" / "sites.lab.yml"
    render(plan(read(file).lab), tmp_path, image=IMAGE, lab_file=b"")
    kept = ("nodes/hq-", "nodes/plant/")
    must_be_golden({p: t for p, t in files(tmp_path).items() if p.startswith(kept)}, GOLDEN.with_name("sites"))


def must_be_golden(rendered: dict[str, str], golden: Path) -> None:
    if os.environ.get("LABKIT_UPDATE_GOLDEN") == "1":
        shutil.rmtree(golden, ignore_errors=True)
        for path, content in rendered.items():
            (golden / path).parent.mkdir(parents=True, exist_ok=True)
            (golden / path).write_text(content, encoding="utf-8")
    assert sorted(rendered) == sorted(files(golden)), "LABKIT_UPDATE_GOLDEN=1 accepts it."
    difference = differences(golden, rendered)
    assert not difference, f"\n{difference}\nLABKIT_UPDATE_GOLDEN=1 accepts it."
