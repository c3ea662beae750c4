"""A document as the text of a lab file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from labkit.arm.read.document import Document
from labkit.lab.file.variants import as_text
from labkit.lab.file.yaml_source import Data, Source


def text_of(document: Document, header: Iterable[str], origins: Mapping[str, str]) -> str:
    """The YAML of a document, with its remarks, after a header of comment lines; `origins` are comments on sections."""
    parts = ["".join(f"# {line}\n" for line in header)]
    for section, value in document.values.items():
        parts += ["\n", *([f"# {origins[section]}\n"] if section in origins else [])]
        if not isinstance(value, dict):
            parts += [*(f"{line}\n" for line in _entry(section, value))]
            continue
        lines = [f"{section}:\n"]
        for name, entry in value.items():
            remark = document.remarks.get((section, name))
            lines += [f"  # {remark}\n"] if remark is not None else []
            lines += [f"  {line}\n" if line else "\n" for line in _entry(name, entry)]
        parts += lines
    return "".join(parts)


def _entry(name: str, entry: Data) -> list[str]:
    """The lines of an entry. YAML's writer puts braces around a mapping of one value."""
    text = _yaml({name: entry}).rstrip()
    return (text[1:-1] if text.startswith("{") else text).splitlines()


def _yaml(data: Data) -> str:
    return as_text(Source(data, {}))
