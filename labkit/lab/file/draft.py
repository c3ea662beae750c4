"""A lab file against its schema: what is sound goes on, what is not is reported and left out.

So that one mistyped value does not hide the next mistake, the sound rest of a file is checked like a whole one; and
what was left out is remembered, so that nothing complains of its absence.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, get_args, get_origin

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from labkit.lab.file.problems import FileProblem, Severity, listed, meant, nearest, suggestion
from labkit.lab.file.references import Spellings
from labkit.lab.file.schema import LabFile, Shape
from labkit.lab.file.schema_types import Part
from labkit.lab.file.yaml_source import Data, Path, Source

MAX_SUGGESTIONS, MAX_KNOWN = 20, 500
"""For so many unknown words of a file the nearest known one is sought, among so many: that grows with both."""

MAX_MISTAKES = 1000
"""The mistakes in the shape of a file that are described."""

_HINTS = {
    "name": "Add a name of letters, digits and hyphens, such as name: my-lab.",
    "prefix": "Add a prefix, such as prefix: 10.1.1.0/24.",
    "subnet": "Add the subnet of its NIC, such as subnet: vnet1/workload.",
    "asn": "Add its ASN, such as asn: 65001.",
    "virtual_network": "Add its virtual network, such as virtual_network: vnet1.",
}
"""What to do when a key is missing that several kinds have; `Section.hints` has the others."""


class _Items(list[Any]):
    """A list some of whose items were left out: `origins` are the positions of the rest in the file."""

    def __init__(self, pairs: Sequence[tuple[int, Any]]) -> None:
        super().__init__(item for _, item in pairs)
        self.origins = [origin for origin, _ in pairs]


_SHAPES: dict[type, str] = {list: "a list", _Items: "a list", dict: "a mapping"}


@dataclass
class Draft:
    """The sound part of a file, and every problem found so far.

    `damaged` are the places in the file that were left out. Paths that methods take are places in `file`.
    """

    file: LabFile
    source: Source
    shape: Shape
    tree: Any = None
    damaged: set[Path] = field(default_factory=set)
    problems: list[FileProblem] = field(default_factory=list)
    _sought: int = 0

    def nearest(self, word: str, known: Collection[str]) -> str | None:
        """The known word that was probably meant; None, too, where that would take long."""
        self._sought += 1
        return nearest(word, known) if self._sought <= MAX_SUGGESTIONS and len(known) <= MAX_KNOWN else None

    def suggestion(self, word: str, known: Collection[str], what: str) -> str:
        """A remedy for an unknown word: the nearest known one, or all of them."""
        return meant(self.nearest(word, known), known, what)

    def error(self, path: Path, text: str, remedy: str) -> None:
        """Notes a mistake at `path`."""
        self.problems.append(FileProblem(self.line(path), text, remedy))

    def warn(self, path: Path, text: str, remedy: str) -> None:
        """Notes a warning at `path`."""
        self.problems.append(FileProblem(self.line(path), text, remedy, Severity.WARNING))

    def line(self, path: Path) -> int:
        """The line of `path` in the file."""
        return self.source.line(_origin(self.tree, path))

    def proof_position(self, path: Path) -> int:
        """The position of the proof at `path` in the list that it was written in."""
        last = _origin(self.tree, path)[-1]
        assert isinstance(last, int)
        return self.source.proof(last)

    def broken(self, path: Path) -> bool:
        """Whether something at, in or around `path` was left out."""
        place = _origin(self.tree, path)
        return any(p[: len(place)] == place or place[: len(p)] == p for p in self.damaged)

    def spoil(self, path: Path) -> None:
        """Counts `path` as left out from now on: it refers to nothing, and that is noted."""
        self.damaged.add(_origin(self.tree, path))

    def subject(self, path: Path) -> tuple[str, Path]:
        """What a path is part of, in words, and the rest of the path within it."""
        return self.shape.subject(path)

    def names(self, *path: str) -> list[str]:
        """The keys of the mapping at `path`, those of damaged entries included."""
        data = self._data(path)
        return list(data) if isinstance(data, dict) else []

    def text(self, *path: str) -> str | None:
        """The single value at `path`, sound or not; None if there is none."""
        data = self._data(path)
        return data if isinstance(data, str) else None

    def _data(self, path: tuple[str, ...]) -> Data:
        data = self.source.data
        for step in path:
            data = data.get(step) if isinstance(data, dict) else None
        return data


def _origin(tree: Any, path: Path) -> Path:
    result: list[str | int] = []
    for step in path:
        if isinstance(tree, _Items) and isinstance(step, int) and step < len(tree):
            result.append(tree.origins[step])
            tree = tree[step]
        else:
            result.append(step)
            tree = tree.get(step) if isinstance(tree, dict) else None
    return tuple(result)


def _without(data: Data, damaged: set[Path], path: Path = ()) -> Any:
    if isinstance(data, dict):
        return {k: _without(v, damaged, (*path, k)) for k, v in data.items() if (*path, k) not in damaged}
    if isinstance(data, list):
        kept = ((i, v) for i, v in enumerate(data) if (*path, i) not in damaged)
        return _Items([(i, _without(v, damaged, (*path, i))) for i, v in kept])
    return data


def _existing(data: Data, path: Sequence[str | int]) -> Path:
    """The part of a pydantic location that the file has: short forms and key marks are not in it."""
    result: list[str | int] = []
    for step in path:
        if isinstance(data, dict) and step in data:
            data = data[str(step)]
        elif isinstance(data, list) and isinstance(step, int) and step < len(data):
            data = data[step]
        else:
            break
        result.append(step)
    return tuple(result)


def _model_in(annotation: Any) -> tuple[type[Part] | None, int]:
    """The model that a field's annotation holds, and how many list positions and keys lead to it."""
    if isinstance(annotation, type) and issubclass(annotation, Part):
        return annotation, 0
    for argument in get_args(annotation):
        model, depth = _model_in(argument)
        if model is not None:
            return model, depth + (get_origin(annotation) in {list, dict, tuple, Mapping})
    return None, 0


def known_keys(root: type[Part], location: Sequence[str | int]) -> list[str]:
    """The keys that a model knows at a pydantic location in it."""
    model: type[Part] | None = root
    skip = 0
    for step in location:
        if skip:
            skip -= 1
        elif model is not None:
            annotations = {f.alias or name: f.annotation for name, f in model.model_fields.items()}
            model, skip = _model_in(annotations.get(str(step)))
    return [f.alias or name for name, f in model.model_fields.items()] if model is not None else []


def _describe(error: ErrorDetails, shape: Shape) -> tuple[str, str]:
    """What is wrong with a value, and the remedy."""
    kind, value, location, context = error["type"], error["input"], error["loc"], error.get("ctx", {})
    hints = {**_HINTS, **shape.hints()}
    shown = f'"{value}"' if isinstance(value, str) else _SHAPES.get(type(value), "nothing")
    match kind:
        case "mistake":
            return context["text"], context["remedy"]
        case "missing" if isinstance(location[-1], int):
            return "must be a list of two", "Write two values, such as [a, b]."
        case "missing":
            return f"{location[-1]} is missing", hints.get(str(location[-1]), f'Add "{location[-1]}: ...".')
        case "extra_forbidden":
            keys = known_keys(shape.model, location[:-1])
            return f'unknown key "{location[-1]}"', suggestion(str(location[-1]), keys, "keys here")
        case "enum" | "literal_error":
            choices = re.findall(r"'([^']+)'", context["expected"])
            return f"{shown} is not one of {listed(choices)}", suggestion(str(value), choices, "words here")
        case "bool_parsing" | "bool_type":
            return f"{shown} is neither true nor false", "Write true or false."
        case "int_parsing" | "int_type" | "int_from_float" | "int_parsing_size":
            return f"{shown} is not a whole number", "Write a number in digits."
        case "float_parsing" | "float_type" | "finite_number":
            return f"{shown} is not a number", "Write a number, such as 10 or 0.5."
        case "greater_than_equal" | "greater_than":
            bound = context.get("ge", context.get("gt"))
            return f"{value} is too small", f"Write {'at least' if 'ge' in context else 'more than'} {bound:g}."
        case "less_than_equal" | "less_than":
            bound = context.get("le", context.get("lt"))
            return f"{value} is too large", f"Write {'at most' if 'le' in context else 'less than'} {bound:g}."
        case "too_short":
            return "the list is empty", hints.get(str(location[-1]), "Add an item.")
        case "too_long":
            return f"the list has {context['actual_length']} items", f"Keep {context['max_length']}."
        case "model_type" | "dict_type":
            return f"expected keys and values, found {shown}", "Indent lines of the form key: value below it."
        case "list_type" | "tuple_type":
            return f"expected a list, found {shown}", "Write a list in brackets, such as [a, b]."
        case "string_type":
            return f"expected a single value, found {shown}", "Write a single value."
        case _:
            return f"{shown}: {error['msg']}", "Compare it with the reference of the lab file."


def _problem(error: ErrorDetails, source: Source, shape: Shape) -> FileProblem:
    about, rest = shape.subject(_as_written(tuple(error["loc"]), source))
    text, remedy = _describe(error, shape)
    own = error["type"] in {"missing", "extra_forbidden"}
    words = [s if isinstance(s, str) else f", item {s + 1}" for s in (rest[:-1] if own else rest) if s != "[key]"]
    place = _existing(source.data, error["loc"])
    # A short form has no key of its own in the file: the value alone is at fault.
    if not own and words and len(place) < len(error["loc"]) and error["loc"][-1] != "[key]":
        words = words[:-1]
    where = f"{'.'.join(words).replace('.,', ',')}: " if words else ""
    # A variant may have removed what is missing: then it is the line where it does.
    line = source.line(tuple(error["loc"]))
    return FileProblem(line, f"{about}: {where}{text}." if about else f"{where}{text}.", remedy)


def _as_written(path: Path, source: Source) -> Path:
    """The path with a proof's position in the list that it was written in."""
    match path:
        case ("proofs", int(position), *rest):
            return ("proofs", source.proof(position), *rest)
        case _:
            return path


def read(
    source: Source,
    shape: Shape,
    spelled: Spellings,
    unknown: Collection[str] = (),
    left_out: Iterable[Path] = (),
) -> Draft:
    """The sound part of a file. Never raises; a file that is not a mapping at all gives an empty draft.

    Of a variant, `left_out` are the places that its file has mistakes at. What is called by a name that is `unknown`
    there is left out too: it is a patch of what has another name now. References get the spelling of `spelled`.
    """
    problems = list(source.problems)
    if not isinstance(source.data, dict):
        if not source.problems:
            text = "the file is empty." if source.data is None else "the file is not a mapping of keys to values."
            remedy = "Start with name: and virtual_networks:, or copy topologies/overview/lab.yml."
            problems.append(FileProblem(0, text, remedy))
        return Draft(shape.model(name="lab"), Source({}, {}), shape, problems=problems, damaged={()})
    damaged: set[Path] = {path for path in left_out if all(isinstance(step, str) for step in path)}
    damaged |= {path for path in _named(source.data) if path[-1] in unknown or "/".join(path[1::2]) in unknown}
    first = True
    while True:
        tree = _without(source.data, damaged)
        try:
            sound = tree if ("name",) not in damaged else {**tree, "name": "lab"}
            file = shape.model.model_validate(sound, context=spelled)
        except ValidationError as invalid:
            errors = invalid.errors(include_url=False)
        else:
            return Draft(file, source, shape, tree, damaged, problems)
        if first:
            reported = [e for e in errors if e["type"] != "missing" or tuple(e["loc"]) not in damaged]
            problems += _mistakes(reported, source, shape)
            damaged |= _meant(errors, source.data, shape)
            first = False
        for error in errors:
            location = error["loc"][:-1] if error["type"] == "missing" else error["loc"]
            place = _existing(tree, location)
            damaged.add(_origin(tree, place) if place else ("name",))


def _named(data: dict[str, Data]) -> Iterator[tuple[str, ...]]:
    """The places of what has a name: entries of sections, and entries of entries, such as subnets."""
    for section, entries in data.items():
        for name, entry in entries.items() if isinstance(entries, dict) else ():
            yield section, name
            for part, parts in entry.items() if isinstance(entry, dict) else ():
                yield from ((section, name, part, each) for each in parts) if isinstance(parts, dict) else ()


def _mistakes(errors: Sequence[ErrorDetails], source: Source, shape: Shape) -> Iterator[FileProblem]:
    """What is wrong with the shape of a file. A key that is missing because it is misspelt is one mistake."""
    misspelt = _meant(errors, source.data, shape)
    for error in errors[:MAX_MISTAKES]:
        *around, key = error["loc"]
        instead = error.get("ctx", {}).get("instead", key)
        if error["type"] != "missing" or not {(*around, key), (*around, instead)} & misspelt:
            yield _problem(error, source, shape)
    if len(errors) > MAX_MISTAKES:
        yield FileProblem(0, f"{len(errors) - MAX_MISTAKES:,} more mistakes are not shown.", "Correct these first.")


def _meant(errors: Sequence[ErrorDetails], data: Data, shape: Shape) -> set[Path]:
    """The places of missing keys that unknown ones were probably meant to be: nothing may complain of their absence."""
    found: set[Path] = set()
    for error in errors[:MAX_MISTAKES]:
        *around, key = error["loc"]
        near = nearest(str(key), known_keys(shape.model, around)) if error["type"] == "extra_forbidden" else None
        if near is not None and _existing(data, (*around, near)) != (*around, near):
            found.add((*around, near))
    return found
