"""The installed wheel works from any directory: templates, labs and image definitions travel in it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import typer

from labkit.runtimes.image import images

REPOSITORY = Path(__file__).resolve().parent.parent.parent
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet", "--no-deps"]
    subprocess.run([*pip, "--wheel-dir", str(folder), str(REPOSITORY)], check=True, cwd=folder)
    (found,) = folder.glob("labkit-*.whl")
    return found


@pytest.fixture(scope="module")
def labkit(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """The console script of a virtual environment that has the wheel, and this one's packages for its dependencies."""
    folder = tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / "venv")], check=True)
    python = folder / "venv" / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(python), "install", "--quiet"]
    subprocess.run([*pip, "--no-deps", "--no-index", str(wheel)], check=True)
    (site,) = (folder / "venv" / "lib").glob("python3*/site-packages")
    (site / "dependencies.pth").write_text(f"{Path(typer.__file__).parent.parent}\n")
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    environment |= {"XDG_STATE_HOME": str(folder / "state"), "COLUMNS": "100"}

    def run(*arguments: str, cwd: str = "/") -> subprocess.CompletedProcess[str]:
        command = [str(folder / "venv" / "bin" / "labkit"), *arguments]
        return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)

    where = subprocess.run(
        [str(python), "-c", "import labkit; print(labkit.__file__)"],
        cwd="/",
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(where.stdout.strip()) == site / "labkit" / "__init__.py"  # and not the repository's
    yield run
    run("down", "--all")


def tracked(folder: str) -> set[str]:
    """The files below a folder of the repository, but what running them leaves."""
    root = REPOSITORY / folder
    return {
        path.relative_to(root).as_posix()
        for path in root.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_everything_is_in_it_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if not name.endswith("/")}
    for folder in ("templates", "topologies", "images"):
        prefix = f"labkit/data/{folder}/"
        assert {name.removeprefix(prefix) for name in names if name.startswith(prefix)} == tracked(folder)
    code = {name.removeprefix("labkit/") for name in names if name.startswith("labkit/")}
    assert {name for name in code if not name.startswith("data/")} == tracked("labkit")
    others = {name for name in names if not name.startswith("labkit/")}
    assert all(re.match(r"labkit-[^/]+\.dist-info/", name) for name in others), others
    assert any(name.endswith("/licenses/LICENSE") for name in others)


def test_versions_are_those_of_the_source(labkit: Run) -> None:
    facts = json.loads(labkit("version", "--format", "json").stdout)
    # The same definition, so the image that is built already serves both.
    assert facts["image"] == images.node_image().reference


def test_validate_render_and_schema(labkit: Run, tmp_path: Path) -> None:
    assert "lab.yml is valid: " in labkit("validate", "overview").stdout
    assert json.loads(labkit("schema").stdout)["properties"]
    done = labkit("render", "overview", "--out", "here", cwd=str(tmp_path))
    assert (done.returncode, done.stdout) == (0, "here/overview.clab.yml\n"), done.stderr
    assert (tmp_path / "here" / "nodes" / "sdwan-nva" / "frr.conf").is_file()


def test_a_lab_boots_from_it(labkit: Run) -> None:
    images.ensure(images.node_image())
    done = labkit("up", "overview")
    assert done.returncode == 0, done.stderr
    assert "overview is up in " in done.stderr
    assert labkit("exec", "vm1", "hostname").stdout == "vm1\n"
    assert labkit("down", "overview").returncode == 0
    assert "overview" not in [lab["lab"] for lab in json.loads(labkit("list", "--format", "json").stdout)]
