"""Whatever is done to a lab file, its reader gets a lab or a list of mistakes, never an exception."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from labkit.azure.rules.validation import problems
from labkit.lab.file.problems import FileProblem, LabFileError
from labkit.lab.file.yaml_source import parse
from labkit.lab.load import load_text, read_all_text
from labkit.lab.plan.nodes import owners
from tests.e2e.random_labs import lab_files

from .samples import EVERYTHING, OVERVIEW

DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
TEXTS = [OVERVIEW.read_text(), EVERYTHING]
ERRORS = sorted((Path(__file__).parents[2] / "golden" / "errors").glob("*.lab.yml"))


def check_problems(found: Sequence[FileProblem], text: str) -> None:
    lines = len(text.splitlines()) + 1
    for problem in found:
        assert 0 <= problem.line <= lines
        assert problem.text.endswith(".")
        assert problem.remedy
        assert "\n" not in problem.show("x.yml").replace("\n    ", "", 1)


def outcome(text: str) -> None:
    """Loads a text in every variant; what comes of it must be of use to its reader."""
    try:
        labs = read_all_text(text, "x.yml")
    except LabFileError as error:
        check_problems(error.problems, text)
        return
    check_problems(labs[0].warnings, text)
    for loaded in labs:
        # Valid by construction: what a file without errors gives, Azure takes, and names are distinct.
        assert problems(loaded.lab.azure) == ()
        assert len(owners(loaded.lab)) >= len(loaded.lab.azure.nics)
        nodes = [v.name for v in loaded.lab.azure.virtual_networks] + [n.name for n in loaded.lab.azure.nics]
        assert len({n.casefold() for n in nodes}) == len(nodes)
        alone = load_text(loaded.standalone(), "alone.yml")
        assert (alone.azure, alone.nvas, alone.sites) == (loaded.lab.azure, loaded.lab.nvas, loaded.lab.sites)


def places(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    pairs = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in pairs:
        found += places(value, (*path, key))
    return found


WORDS = st.sampled_from(
    [
        *(
            "vm1",
            "vm2",
            "rs1",
            "variants",
            "not_in",
            "bare",
            "proofs",
            "rs1-0",
            "fw",
            "fw4",
            "sdwan-nva",
            "branch",
            "branch-host",
            "internet",
            "controller",
        ),
        *("vnet1", "vnet1/workload", "hub", "hub/nva", "spoke/work", "nope", "nope/nope", "/", "None", "Internet"),
        *("10.1.0.0/16", "10.1.0.0/26", "0.0.0.0/0", "10.1.2.3/8", "10.1.0.0/33", "::/0", "255.255.255.255/32"),
        *(
            "10.1.1.4",
            "10.1.0.4",
            "224.0.0.1",
            "1.2.3",
            "0",
            "-1",
            "1",
            "65515",
            "4294967296",
            "1e999",
            "nan",
            "9" * 5000,
        ),
        *("", "true", "no", "~", "[key]", "with_", "from", "RouteServerSubnet", "GatewaySubnet", "x" * 300, "é", "a b"),
    ]
)
VALUES = st.recursive(
    st.none() | WORDS | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=5,
)


@st.composite
def mutated(draw: st.DrawFn) -> str:
    data: Any = parse(draw(st.sampled_from(TEXTS))).data
    for _ in range(draw(st.integers(1, 4))):
        path = draw(st.sampled_from(places(data)))
        holder = data
        for step in path[:-1]:
            holder = holder[step]
        action = draw(st.sampled_from(["replace", "delete", "rename", "copy"]))
        if action == "replace":
            holder[path[-1]] = draw(VALUES)
        elif action == "delete":
            del holder[path[-1]]
        elif action == "rename" and isinstance(holder, dict):
            holder[draw(WORDS)] = holder.pop(path[-1])
        elif isinstance(holder, dict):
            holder[draw(WORDS)] = copy.deepcopy(holder[path[-1]])
        else:
            holder.append(copy.deepcopy(holder[path[-1]]))
        if not places(data):
            break
    return yaml.dump(data, Dumper=DUMPER, sort_keys=False, allow_unicode=True)


@given(mutated())
def test_mutated_values(text: str) -> None:
    outcome(text)


@given(st.sampled_from(TEXTS), st.data())
def test_mutated_text(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 40)))
    outcome(text[:start] + data.draw(st.text(alphabet="[]{}:,-#&*!<?'\" \n\tax01/.é", max_size=8)) + text[end:])


@given(st.text())
@example("\ud800")
@example("name: \ud800")
@example("\0")
def test_any_text(text: str) -> None:
    outcome(text)


@given(st.sampled_from(TEXTS), st.data())
def test_missing_lines(text: str, data: st.DataObject) -> None:
    lines = text.splitlines(keepends=True)
    gone = data.draw(st.sets(st.integers(0, len(lines) - 1), max_size=5))
    outcome("".join(line for i, line in enumerate(lines) if i not in gone))


def test_golden_files_have_the_promised_shape() -> None:
    for file in ERRORS:
        outcome(file.read_text())


@given(lab_files())
def test_random_labs_that_are_to_boot_have_no_mistake(text: str) -> None:
    load_text(text, "random.lab.yml")
