"""A document as the text of a lab file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from labkit.arm.read.document import Document
from labkit.lab.file.variants import as_text
from labkit.lab.file.yaml_source import Data, Source

WIDTH = 110
"""The characters of a line of a lab file, at most, where it is shortened to one."""


def text_of(document: Document, header: Iterable[str], origins: Mapping[str, str]) -> str:
    """The YAML of a document, with its remarks, after a header of comment lines; `origins` are comments on sections."""
    parts = ["".join(f"# {line}\n" for line in header)]
    for section, value in document.values.items():
        parts += ["\n", *([f"# {origins[section]}\n"] if section in origins else [])]
        if isinstance(value, dict):
            parts.append(f"{section}:\n")
            for name, entry in value.items():
                remark = document.remarks.get((section, name))
                parts += [f"  # {remark}\n"] if remark is not None else []
                parts += [f"  {line}\n" if line else "\n" for line in _entry(name, entry)]
        elif isinstance(value, list):
            parts.append(f"{section}:\n")
            for item in value:
                first, *others = _entries(item) if isinstance(item, dict) else _yaml(item).splitlines()
                parts += [f"  - {first}\n", *(f"    {line}\n" if line else "\n" for line in others)]
        else:
            parts += [f"{line}\n" for line in _entry(section, value)]
    return "".join(parts)


def _entries(values: dict[str, Data]) -> list[str]:
    """The lines of a mapping: in one line if it is short, as a lab file's author has it."""
    if not _has_lines(values):
        short = _in_one_line(values)
        if short is not None:
            return [short]
    return [line for key, value in values.items() for line in _entry(key, value)]


def _in_one_line(values: Data) -> str | None:
    """A value in braces on one line; None if it is too long for that."""
    text = " ".join(_yaml([values]).split())
    return text[1:-1] if len(text) <= WIDTH and text.startswith("[") and text.endswith("]") else None


def _entry(name: str, entry: Data) -> list[str]:
    """The lines of an entry. Text of several lines is written as it is. YAML's writer puts braces around one value."""
    if isinstance(entry, str) and _has_lines({name: entry}):
        return [f"{name}: |", *(f"  {line}" for line in entry.splitlines())]
    if isinstance(entry, dict) and _has_lines(entry):
        return [f"{name}:", *(f"  {line}" for key, value in entry.items() for line in _entry(key, value))]
    text = _yaml({name: entry}).rstrip()
    return (text[1:-1] if text.startswith("{") else text).splitlines()


def _has_lines(data: Data) -> bool:
    """Whether a text of several lines is in it, of which YAML's `|` loses nothing."""
    return isinstance(data, dict) and any(
        (isinstance(value, str) and "\n" in value and value.endswith("\n") and not value.startswith((" ", "\n")))
        or _has_lines(value)
        for value in data.values()
    )


def _yaml(data: Data) -> str:
    return as_text(Source(data, {}))
