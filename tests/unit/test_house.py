"""The rooms of the house: imports go one way between them, and each describes what is in it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

ROOMS = (
    ("errors",),
    ("inotify", "linux", "names", "netlink", "paths", "patience", "resources", "small_files"),
    ("azure.model",),
    ("azure.rules",),
    ("azure.flows",),
    ("azure.forwarding",),
    ("azure.changes",),
    ("daemons",),
    ("lab.proofs",),
    ("lab.model",),
    ("lab.connections", "lab.sessions"),
    ("lab.file", "lab.plan"),
    ("lab.kinds",),
    ("lab.compile", "lab.edited", "lab.export_rules", "lab.route_table", "lab.running"),
    ("lab.load", "lab.json_schema", "lab.build"),
    ("lab.fabric_ports", "lab.kept"),
    ("arm",),
    ("predict.walk",),
    ("predict",),
    ("predict.whatif",),
    ("feed",),
    ("agent", "fabric", "firewall", "gateway", "routeserver", "start", "tracker"),
    ("controller",),
    ("render",),
    ("runtimes",),
    ("runtimes.image",),
    ("runtimes.sandbox", "runtimes.containerlab"),
    ("runtimes.select",),
    ("operate.records",),
    ("operate.look",),
    ("operate.verify",),
    ("operate.diff", "operate.trace"),
    ("operate.labs", "operate.faults"),
    ("operate.measure",),
    ("operate",),
    ("cli", "pytest"),
)
"""The rooms of labkit, lowest first. A room imports itself and lower ones, never one beside or above it.

A module belongs to the most exact name here that it begins with; every module belongs to one.
"""

PROCESSES = ("agent", "controller", "fabric", "firewall", "gateway", "routeserver", "start", "tracker")
"""What runs in nodes. It is reached by its messages and its API: no other room imports it."""

PENDING: dict[tuple[str, str], str] = {}
"""Imports that are still against this, and how each will be mended."""


def modules() -> dict[str, Path]:
    """Every module of labkit by its name."""
    files = sorted((ROOT / "labkit").rglob("*.py"))
    return {".".join(f.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): f for f in files}


def imports(file: Path, known: dict[str, Path]) -> Iterator[str]:
    """The modules of labkit that a file imports, also for types alone or within a function."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            module = name if name in known else name.rpartition(".")[0]
            if module in known:
                yield module


def room_of(module: str) -> str:
    """The room of a module of labkit; empty for the package itself, which imports nothing."""
    name = module.removeprefix("labkit").removeprefix(".")
    found = [room for level in ROOMS for room in level if f"{name}.".startswith(f"{room}.")]
    return max(found, key=len, default="" if module in PARENTS else name)


PARENTS = {"labkit", "labkit.azure", "labkit.lab"}
"""Packages with nothing in them but rooms."""

LEVELS = {room: level for level, rooms in enumerate(ROOMS) for room in rooms} | {"": -1}


def test_every_module_is_in_a_room() -> None:
    assert [module for module in modules() if room_of(module) not in LEVELS] == []


def test_every_room_exists() -> None:
    assert [room for room in LEVELS if room and f"labkit.{room}" not in modules()] == []


def test_imports_go_one_way() -> None:
    known = modules()
    against = {
        (room_of(module), room_of(imported)): f"{module} imports {imported}"
        for module, file in known.items()
        for imported in imports(file, known)
        if (room := room_of(imported)) != room_of(module)
        and (LEVELS[room] >= LEVELS[room_of(module)] or room in PROCESSES)
    }
    assert [text for pair, text in against.items() if pair not in PENDING] == []
    assert [pair for pair in PENDING if pair not in against] == [], "mended: strike them out of PENDING"


def test_the_tree_of_errors_is_complete() -> None:
    """Every error that a user sees is drawn in labkit/errors.py."""
    tree = ast.get_docstring(ast.parse(modules()["labkit.errors"].read_text(encoding="utf-8"))) or ""
    classes = [
        (node.name, {base.id for base in node.bases if isinstance(base, ast.Name)})
        for file in modules().values()
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
    ]
    errors = {"LabkitError"}
    while more := {name for name, bases in classes if bases & errors} - errors:
        errors |= more
    assert {name for name in errors if name not in tree} == set()
    assert len(errors) == len([line for line in tree.splitlines() if "── " in line]) + 1


TWINS = (
    ("azure.model.", "lab.kinds.", "lab.file.", "lab.model", "lab.proofs"),
    ("lab.plan.model", "runtimes.topology", "runtimes.sandbox.spec"),
    ("lab.fabric_ports", "feed.switch"),
)
"""Where one object has a class for each of its forms: in Azure, file and lab; from plan to runtime; in messages."""


def test_a_class_name_has_one_meaning() -> None:
    places: dict[str, list[str]] = {}
    for module, file in modules().items():
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places.setdefault(node.name, []).append(module.removeprefix("labkit."))
    assert {
        name: there
        for name, there in places.items()
        if len(there) > 1 and not any(all(module.startswith(forms) for module in there) for forms in TWINS)
    } == {}


def test_no_module_imports_itself_in_a_circle() -> None:
    known = modules()
    TopologicalSorter({module: set(imports(file, known)) - {module} for module, file in known.items()}).prepare()


def folders() -> set[str]:
    """The folders that the map of the house must have, each with a slash at its end."""
    packages = {file.parent for file in modules().values()}
    top = {ROOT / name for name in (".ci", "docs", "images", "templates", "tests", "tools", "topologies")}
    suites = {folder for folder in (ROOT / "tests").iterdir() if folder.is_dir() and folder.name != "__pycache__"}
    return {f"{folder.relative_to(ROOT)}/" for folder in packages | top | suites}


def test_the_map_of_the_house_has_every_folder() -> None:
    rows = [line.split("`")[1] for line in (ROOT / "CONTRIBUTING.md").read_text().splitlines() if line[:3] == "| `"]
    assert sorted(folders() - set(rows)) == [], "not on the map in CONTRIBUTING.md"
    assert [row for row in rows if not (ROOT / row).exists()] == [], "on the map, but not there"


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", *(f"docs/{f.name}" for f in (ROOT / "docs").glob("adding-*.md"))])
def test_a_page_names_what_exists(page: str) -> None:
    """Paths in code style, and links, lead to a file or folder."""
    text = (ROOT / page).read_text(encoding="utf-8")
    named = re.findall(r"`((?:labkit|tests|tools|docs|images|templates|topologies)/[\w./-]*)`", text)
    linked = [str(Path(page).parent / link) for link in re.findall(r"\]\(([\w./-]+)\)", text)]
    assert [path for path in (*named, *linked) if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("package", [m for m, f in modules().items() if f.name == "__init__.py"])
def test_a_package_describes_itself(package: str) -> None:
    """What is in it, what it may import, and what may be changed in it."""
    doc = ast.get_docstring(ast.parse(modules()[package].read_text(encoding="utf-8"))) or ""
    assert len(doc.splitlines()) >= 4, f"{package}/__init__.py says too little of the room"
    assert re.search(r"\bimport(s|ed)?\b", doc), f"{package}/__init__.py does not say what the room may import"
