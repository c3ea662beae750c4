"""YAML as a lab file needs it: every scalar is text, every value knows its line, no key is given twice.

Scalars stay as they were written. What is a number or a switch is decided by the schema, not by YAML, so that `on`
is a key, `no` a name and 010 not eight.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

import yaml

from labkit.lab.file.problems import FileProblem

Path = tuple[str | int, ...]
"""Where a value is in a file: the keys and list positions that lead to it."""

Data = str | None | list["Data"] | dict[str, "Data"]
"""A value of a file. A plain empty scalar, `null` and `~` are None."""

MAX_DEPTH = 32
MAX_VALUES = 100_000
"""Keys and values of a file, aliases and merges unfolded. A lab of 4,000 machines has up to 64,000."""

# The loader of libyaml is ten times faster; a PyYAML built without it has only the other.
_LOADER: type[yaml.SafeLoader] | type[yaml.CSafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_MERGE = "tag:yaml.org,2002:merge"
_NULL = "tag:yaml.org,2002:null"
_STANDARD = "tag:yaml.org,2002:"
_PLAIN_TAGS = {
    _STANDARD + t for t in ("str", "null", "bool", "int", "float", "timestamp", "merge", "value", "map", "seq")
}
_ENDLESS = "the file's aliases expand to too many values"
_NULLS = {"", "~", "null", "Null", "NULL"}


class _Mark(Protocol):
    """A place in a text; libyaml's loader has a class of its own for it. Both numbers begin with 0."""

    line: int
    column: int


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
    """The file nests too deep, or has or unfolds to too many values."""

    def __init__(self, mark: _Mark | None, text: str, remedy: str) -> None:
        super().__init__(text)
        self.problem = _problem(mark, f"{text}.", remedy)


@dataclass
class _Reader:
    lines: dict[Path, int] = field(default_factory=dict)
    problems: list[FileProblem] = field(default_factory=list)
    values: int = 0
    merging: int = 0

    def read(self, node: yaml.Node, path: Path) -> Data:
        # Aliases are copied where they are used: one that contains itself never ends, nested ones explode.
        self._count(node, 1, len(path))
        self.lines.setdefault(path, node.start_mark.line + 1)
        if node.tag not in _PLAIN_TAGS:
            tag = node.tag.replace(_STANDARD, "!!")
            self._note(node, f"tag {tag} is not part of a lab file.", "Remove the tag.")
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
            if not isinstance(key_node, yaml.ScalarNode):
                text = "a key must be a word, not a list or a mapping."
                self._note(key_node, text, "Quote it if the brackets belong to it.")
                continue
            if key_node.tag == _MERGE:
                merged.append(value_node)
                continue
            key: str = key_node.value
            here = (*path, key)
            if key in result:
                text = f'"{key}" is given twice; the first is on line {self.lines[here]}.'
                self._note(key_node, text, "Keep one of them, or rename one.")
                continue
            self.lines[here] = key_node.start_mark.line + 1
            result[key] = self.read(value_node, here)
        for value_node in merged:
            for source in value_node.value if isinstance(value_node, yaml.SequenceNode) else [value_node]:
                self._merge(source, path, result)
        return result

    def _merge(self, source: yaml.Node, path: Path, result: dict[str, Data]) -> None:
        """Adds the keys of `source` that `result` does not have."""
        self.merging += 1
        if isinstance(source, yaml.MappingNode):
            # What is there already costs time, too.
            self._count(source, len(source.value), self.merging)
            own = [(k, v) for k, v in source.value if not (isinstance(k, yaml.ScalarNode) and k.value in result)]
            result |= self._mapping(yaml.MappingNode(source.tag, own, source.start_mark), path)
        else:
            self._note(source, '"<<" merges mappings only.', "Refer to a mapping with it.")
        self.merging -= 1

    def _count(self, node: yaml.Node, values: int, depth: int) -> None:
        self.values += values
        if depth > MAX_DEPTH or self.values > MAX_VALUES:
            raise _TooMuch(node.start_mark, _ENDLESS, "Write the values out without aliases.")

    def _note(self, node: yaml.Node, text: str, remedy: str) -> None:
        self.problems.append(_problem(node.start_mark, text, remedy))


def _problem(mark: _Mark | None, text: str, remedy: str) -> FileProblem:
    line, column = (mark.line + 1, mark.column + 1) if mark is not None else (0, 0)
    return FileProblem(line, text, remedy, column=column)


def _check_size(text: str) -> None:
    """Checks depth and length before anything recurses over the file, or keeps it."""
    depth = values = 0
    for event in yaml.parse(text, Loader=_LOADER):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        values += isinstance(event, yaml.NodeEvent)
        if depth > MAX_DEPTH:
            what = f"the file nests deeper than {MAX_DEPTH} levels"
            raise _TooMuch(event.start_mark, what, "No lab file needs that: check the brackets and the indentation.")
        if values > MAX_VALUES:
            what = f"the file has more than {MAX_VALUES:,} keys and values"
            raise _TooMuch(event.start_mark, what, "No lab needs that many: split it.")


def _syntax_problem(error: yaml.YAMLError, text: str) -> FileProblem:
    if isinstance(error, yaml.reader.ReaderError):
        before = text[: found.start()] if (found := yaml.reader.Reader.NON_PRINTABLE.search(text)) else ""
        place = before.count("\n") + 1, len(before) - before.rfind("\n")
        remedy = "Remove the character; save the file as plain UTF-8 text."
        return FileProblem(place[0], f"not valid YAML: {error.reason}.", remedy, column=place[1])
    if not isinstance(error, yaml.MarkedYAMLError):
        return FileProblem(0, f"not valid YAML: {error}.", "Save the file as plain UTF-8 text.")
    mark, begin = error.problem_mark or error.context_mark, error.context_mark
    what = " ".join(filter(None, [error.context, error.problem]))
    if "another document" in what:
        return _problem(mark, "a second YAML document begins here.", 'Keep one lab in a file: remove the "---".')
    if "quoted scalar" in what and "end of stream" in what:
        remedy = "Close it, or remove it: few values need quotes."
        return _problem(begin, "not valid YAML: the quote that begins here is not closed.", remedy)
    quote = _long_quote(text, mark)
    if quote is not None:
        what = f"the quote that begins here is closed on line {quote.end_mark.line + 1} only"
        return _problem(quote.start_mark, f"not valid YAML: {what}.", "Close it where the text ends.")
    if mark is not None and "\t" in _line_of(text, mark.line + 1):
        return _problem(mark, f"not valid YAML: {what}.", "The line has a tab; YAML is indented with spaces.")
    if mark is not None and begin is not None and "flow" in what and begin.line < mark.line:
        what += f" for the bracket on line {begin.line + 1}, column {begin.column + 1}"
    remedy = 'Check the indentation, the colons (": ") and the brackets here and on the line above.'
    return _problem(mark, f"not valid YAML: {what}.", remedy)


def _long_quote(text: str, mark: _Mark | None) -> yaml.ScalarToken | None:
    """A text in quotes of several lines that ends on the line of a mistake: its quote was closed by another's."""
    found: yaml.ScalarToken | None = None
    with suppress(yaml.YAMLError):
        for token in yaml.scan(text, Loader=_LOADER):
            if mark is None or token.start_mark.line > mark.line:
                break
            if isinstance(token, yaml.ScalarToken) and token.style in {"'", '"'} and token.end_mark.line == mark.line:
                found = token if token.start_mark.line < mark.line else found
    return found


def _line_of(text: str, line: int) -> str:
    lines = text.splitlines()
    return lines[line - 1] if 0 < line <= len(lines) else ""


def parse(text: str) -> Source:
    """Reads a YAML text. Never raises: a text that is not YAML gives a `Source` of None with its problem."""
    try:
        _check_size(text)
        node = yaml.compose(text, Loader=_LOADER)
        if node is None:
            return Source(None, {})
        reader = _Reader()
        data = reader.read(node, ())
    except yaml.YAMLError as error:
        return Source(None, {}, (_syntax_problem(error, text),))
    except _TooMuch as error:
        return Source(None, {}, (error.problem,))
    except UnicodeError as error:
        return Source(None, {}, (FileProblem(0, f"not valid text: {error}.", "Save the file as plain UTF-8 text."),))
    return Source(data, reader.lines, tuple(reader.problems))
