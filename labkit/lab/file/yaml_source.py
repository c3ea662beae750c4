"""YAML as a lab file needs it: every scalar is text, every value knows its line, no key is given twice.

Scalars stay as they were written. What is a number or a switch is decided by the schema, not by YAML, so that `on`
is a key, `no` a name and 010 not eight.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import yaml

from labkit.lab.file.problems import FileProblem

Path = tuple[str | int, ...]
"""Where a value is in a file: the keys and list positions that lead to it."""

Data = str | None | list["Data"] | dict[str, "Data"]
"""A value of a file. A plain empty scalar, `null` and `~` are None."""

MAX_DEPTH = 32
MAX_VALUES = 200_000

# The loader of libyaml is ten times faster; a PyYAML built without it has only the other.
_LOADER: type[yaml.SafeLoader] | type[yaml.CSafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_MERGE = "tag:yaml.org,2002:merge"
_NULL = "tag:yaml.org,2002:null"
_STANDARD = "tag:yaml.org,2002:"
_PLAIN_TAGS = {
    _STANDARD + t for t in ("str", "null", "bool", "int", "float", "timestamp", "merge", "value", "map", "seq")
}
_ENDLESS = "the file's aliases expand without end"
_NULLS = {"", "~", "null", "Null", "NULL"}


@dataclass(frozen=True)
class Source:
    """The values of a file, the line of each, and what is wrong with its YAML.

    With `variant`, the values are those of a variant, and `proofs` holds the position of each proof in the list that
    it was written in: the file's or the variant's own.
    """

    data: Data
    lines: Mapping[Path, int]
    problems: tuple[FileProblem, ...] = ()
    variant: str = ""
    proofs: tuple[int, ...] = ()

    def line(self, path: Path) -> int:
        """The line of the value at `path`, or of the nearest value around it that the file holds."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    def proof(self, position: int) -> int:
        """The position of a proof in the list that it was written in."""
        return self.proofs[position] if position < len(self.proofs) else position


class _TooMuch(Exception):
    """The file nests too deep or unfolds to too many values."""

    def __init__(self, line: int, text: str) -> None:
        super().__init__(text)
        self.line = line
        self.text = text


@dataclass
class _Reader:
    lines: dict[Path, int] = field(default_factory=dict)
    problems: list[FileProblem] = field(default_factory=list)
    values: int = 0
    merging: int = 0

    def read(self, node: yaml.Node, path: Path) -> Data:
        line = node.start_mark.line + 1
        self.values += 1
        # Aliases are copied where they stand: one that holds itself never ends, nested ones explode.
        if len(path) > MAX_DEPTH or self.values > MAX_VALUES:
            raise _TooMuch(line, _ENDLESS)
        self.lines.setdefault(path, line)
        if node.tag not in _PLAIN_TAGS:
            tag = node.tag.replace(_STANDARD, "!!")
            self.problems.append(FileProblem(line, f"tag {tag} is not part of a lab file.", "Remove the tag."))
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.read(item, (*path, i)) for i, item in enumerate(node.value)]
        text: str = node.value
        return None if text in _NULLS and not getattr(node, "style", None) else text

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Data]:
        result: dict[str, Data] = {}
        merged: list[yaml.Node] = []
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                text = "a key must be a word, not a list or a mapping."
                self.problems.append(FileProblem(line, text, "Quote it if the brackets belong to it."))
                continue
            if key_node.tag == _MERGE:
                merged.append(value_node)
                continue
            key: str = key_node.value
            here = (*path, key)
            if key in result:
                text = f'"{key}" is given twice; the first is on line {self.lines[here]}.'
                self.problems.append(FileProblem(line, text, "Keep one of them, or rename one."))
                continue
            self.lines[here] = line
            result[key] = self.read(value_node, here)
        for value_node in merged:
            for source in value_node.value if isinstance(value_node, yaml.SequenceNode) else [value_node]:
                self._merge(source, path, result)
        return result

    def _merge(self, source: yaml.Node, path: Path, result: dict[str, Data]) -> None:
        """Adds the keys of `source` that `result` does not have."""
        line = source.start_mark.line + 1
        self.merging += 1
        if self.merging > MAX_DEPTH:
            raise _TooMuch(line, _ENDLESS)
        if isinstance(source, yaml.MappingNode):
            own = [pair for pair in source.value if pair[0].value not in [*result]]
            result |= self._mapping(yaml.MappingNode(source.tag, own, source.start_mark), path)
        else:
            self.problems.append(FileProblem(line, '"<<" merges mappings only.', "Refer to a mapping with it."))
        self.merging -= 1


def _check_depth(text: str) -> None:
    # Before anything recurses over the file.
    depth = 0
    for event in yaml.parse(text, Loader=_LOADER):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                line = event.start_mark.line + 1 if event.start_mark else 0
                raise _TooMuch(line, f"the file nests deeper than {MAX_DEPTH} levels")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _syntax_problem(error: yaml.YAMLError, text: str) -> FileProblem:
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark is not None else 0
        what = " ".join(filter(None, [error.context, error.problem]))
        if "another document" in what:
            return FileProblem(line, "a second YAML document begins here.", 'Keep one lab in a file: remove the "---".')
        if "\t" in _line_of(text, line):
            return FileProblem(line, f"not valid YAML: {what}.", "The line has a tab; YAML is indented with spaces.")
        remedy = 'Check the indentation, the colons (": ") and the brackets here and on the line above.'
        return FileProblem(line, f"not valid YAML: {what}.", remedy)
    if isinstance(error, yaml.reader.ReaderError):
        line = text.count("\n", 0, error.position) + 1
        return FileProblem(
            line, f"not valid YAML: {error.reason}.", "Remove the character; save the file as plain UTF-8 text."
        )
    return FileProblem(0, f"not valid YAML: {error}.", "Save the file as plain UTF-8 text.")


def _line_of(text: str, line: int) -> str:
    lines = text.splitlines()
    return lines[line - 1] if 0 < line <= len(lines) else ""


def parse(text: str) -> Source:
    """Reads a YAML text. Never raises: a text that is not YAML gives a `Source` of None with its problem."""
    try:
        _check_depth(text)
        node = yaml.compose(text, Loader=_LOADER)
        if node is None:
            return Source(None, {})
        reader = _Reader()
        data = reader.read(node, ())
    except yaml.YAMLError as error:
        return Source(None, {}, (_syntax_problem(error, text),))
    except _TooMuch as error:
        return Source(None, {}, (FileProblem(error.line, f"{error.text}.", "Write the values out without aliases."),))
    except UnicodeError as error:
        return Source(None, {}, (FileProblem(0, f"not valid text: {error}.", "Save the file as plain UTF-8 text."),))
    return Source(data, reader.lines, tuple(reader.problems))
