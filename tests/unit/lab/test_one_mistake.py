"""One mistake gives one error, wherever it is made: no second one about what follows from it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from labkit.lab.compile import SHAPE
from labkit.lab.file.draft import known_keys
from labkit.lab.file.problems import LabFileError
from labkit.lab.file.variants import as_text
from labkit.lab.file.yaml_source import Data, Source, parse
from labkit.lab.load import read_all_text
from labkit.resources import topologies
from tests.extent import LONG

REPOSITORY = Path(__file__).resolve().parents[3]
FILES = [*sorted(topologies().glob("*/lab.yml")), *sorted((REPOSITORY / "tests/e2e/labs").glob("*.lab.yml"))]


def misspelt(word: str) -> str:
    """A word without a letter, or with two swapped where it is short."""
    return f"{word[:-2]}{word[-1]}" if len(word) > 3 else f"{word[:-2]}{word[-1]}{word[-2]}"


NAMED = [
    "virtual_networks", "route_tables", "route_servers", "nvas", "load_balancers", "gateways", "circuits", "sites",
    "virtual_machines",
]  # fmt: skip

BY_NAME = {*NAMED, "subnets", "nics", "routes"}
"""The sections whose keys are names."""


def errors(data: Data) -> list[str]:
    try:
        read_all_text(as_text(Source(data, {})), "x.yml")
    except LabFileError as error:
        return [f"{p.line}: {p.text}" for p in error.problems]
    return []


def places(data: Data, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The places of all keys in a file's values."""
    if isinstance(data, dict):
        for key, value in data.items():
            yield (*path, key)
            yield from places(value, (*path, key))
    elif isinstance(data, list):
        for position, value in enumerate(data):
            yield from places(value, (*path, position))


def renamed(data: Data, path: tuple[str | int, ...], name: str) -> Data:
    """The values with another key at a place."""
    first, *rest = path
    if isinstance(data, list):
        return [renamed(v, tuple(rest), name) if i == first else v for i, v in enumerate(data)]
    assert isinstance(data, dict)
    if rest:
        return {k: renamed(v, tuple(rest), name) if k == first else v for k, v in data.items()}
    return {name if k == first else k: v for k, v in data.items()}


def values(data: Data, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """All texts of a file, with their places."""
    if isinstance(data, str):
        yield path, data
    pairs = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for step, value in pairs:
        yield from values(value, (*path, step))


def replaced(data: Data, path: tuple[str | int, ...], text: str) -> Data:
    """The values with another text at a place."""
    if not path:
        return text
    first, *rest = path
    if isinstance(data, list):
        return [replaced(v, tuple(rest), text) if i == first else v for i, v in enumerate(data)]
    assert isinstance(data, dict)
    return {k: replaced(v, tuple(rest), text) if k == first else v for k, v in data.items()}


def alike(path: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """What places have in common of which one is tried: a lab has many proofs of a kind.

    It has many objects of a kind, too, of which the long suite tries all.
    """
    if path[0] == "proofs":
        return tuple(step for step in path if isinstance(step, str))
    if LONG:
        return path
    return tuple(
        s for parent, s in zip(("", *path), path, strict=False) if isinstance(s, str) and parent not in BY_NAME
    )


FOR_EVERY_FILE = pytest.mark.parametrize(
    "file", FILES, ids=[f"{f.parent.name}-{f.name.partition('.')[0]}" for f in FILES]
)


@FOR_EVERY_FILE
def test_a_misspelt_key_is_one_error(file: Path) -> None:
    data = parse(file.read_text()).data
    for path in {alike(path): path for path in places(data)}.values():
        key = path[-1]
        if path[0] != "variants" and isinstance(key, str) and key in known_keys(SHAPE.model, path[:-1]):
            found = errors(renamed(data, path, misspelt(key)))
            assert len(found) == 1, (path, found)


@FOR_EVERY_FILE
def test_a_name_that_is_changed_only_where_it_is_declared_is_one_error(file: Path) -> None:
    data = parse(file.read_text()).data
    for path in places(data):
        match path:
            case (str(section), str(name)) if section in NAMED:
                new = f"{name[:6]}9"
            case ("virtual_networks", _, "subnets", str(name)) if not name.endswith("Subnet"):
                new = f"{name}9"
            case ("virtual_machines" | "nvas", _, "nics", str(name)) | ("sites", _, "routers", str(name)):
                new = f"{name}9"
            case _:
                continue
        found = errors(renamed(data, path, new))
        assert len(found) <= 1, (path, found)


@FOR_EVERY_FILE
def test_a_reference_to_nothing_is_one_error(file: Path) -> None:
    data = parse(file.read_text()).data
    assert isinstance(data, dict)
    names = {name for section in NAMED if isinstance(entries := data.get(section), dict) for name in entries}
    for path, value in {alike(path): (path, value) for path, value in values(data)}.values():
        # A file of the user's own is looked for when the lab starts.
        if path[0] not in ("variants", "name") and path[-1] != "config" and value.partition("/")[0] in names:
            found = errors(replaced(data, path, f"{value}9"))
            assert len(found) == 1, (path, found)
