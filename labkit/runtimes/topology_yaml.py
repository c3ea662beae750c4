"""YAML with line numbers, and a collector of mistakes that reports all of a file's at once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml

from labkit.errors import InvalidInput

_Loader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
Scalar = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Value:
    """A YAML value with the line (from 1) where it stands, or where its key does. `text` is a scalar as written."""

    content: dict[str, Value] | list[Value] | Scalar
    line: int
    text: str = ""


class Problems:
    """The mistakes of one file."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._found: list[tuple[int, str]] = []

    def add(self, at: Value, text: str) -> None:
        """Note a mistake."""
        self.add_line(at.line, text)

    def add_line(self, line: int, text: str) -> None:
        """Note a mistake in a line."""
        if (line, text) not in self._found:
            self._found.append((line, text))

    def raise_any(self) -> None:
        """Raise InvalidInput with all mistakes, if there are any."""
        if self._found:
            text = "\n".join(f"{self._file}:{line}: {text}" for line, text in sorted(self._found))
            raise InvalidInput(text, "Correct the file; nothing was created.")


def load(file: Path, problems: Problems) -> Value | None:
    """The file's one document. Raises InvalidInput if it can't be read; syntax errors go to `problems`."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise InvalidInput(f"{file}: {reason}.", "Name a containerlab topology file (*.clab.yml).") from error
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            problems.add_line(1, "the file is empty.")
            return None
        return _value(loader, node, node.start_mark.line + 1, problems)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problems.add_line(
            mark.line + 1 if mark else 1, f"this is not YAML: {getattr(error, 'problem', None) or error}."
        )
        return None
    finally:
        loader.dispose()


def _value(loader: yaml.SafeLoader, node: yaml.Node, line: int, problems: Problems) -> Value:
    if isinstance(node, yaml.MappingNode):
        own: set[str] = set()
        for key, _ in node.value:
            name = str(key.value)
            if name in own:
                problems.add_line(key.start_mark.line + 1, f"key `{name}` is there twice.")
            own.add(name)
        loader.flatten_mapping(node)  # resolves merge keys (<<); a mapping's own come last, and win
        found: dict[str, Value] = {}
        for key, child in node.value:
            name = str(key.value)
            found[name] = _value(loader, child, key.start_mark.line + 1, problems)
        return Value(found, line)
    if isinstance(node, yaml.SequenceNode):
        return Value([_value(loader, child, child.start_mark.line + 1, problems) for child in node.value], line)
    content = loader.construct_object(node)
    known = content is None or isinstance(content, str | int | float | bool)
    return Value(content if known else str(node.value), line, str(node.value))
