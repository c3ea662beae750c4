"""What is wrong with a lab file: one problem each, all of them in one error."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from labkit.errors import InvalidInput

MAX_TEXT = 400
"""The characters of a message or a remedy that are shown."""


class Severity(StrEnum):
    """An error refuses the file, a warning does not."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class FileProblem:
    """One mistake: the line of it (0: the file as a whole), what is wrong and what to do about it."""

    line: int
    text: str
    remedy: str
    severity: Severity = Severity.ERROR

    def show(self, name: str) -> str:
        """The problem as two lines of text; `name` is the file's name."""
        place = f"{name}:{self.line}" if self.line else name
        word = "warning: " if self.severity is Severity.WARNING else ""
        return f"{place}: {word}{_printable(self.text)}\n    {_printable(self.remedy)}"


def _printable(text: str) -> str:
    # Messages repeat parts of a file, and those may be anything: a line stays a line, and the terminal unharmed.
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return shown if len(shown) <= MAX_TEXT else f"{shown[: MAX_TEXT - 40]} ... {shown[-30:]}"


class LabFileError(InvalidInput):
    """A lab file with mistakes. `problems` holds them all, in the order of their lines."""

    def __init__(self, name: str, problems: Sequence[FileProblem]) -> None:
        self.name = name
        self.problems = tuple(problems)
        count = len(self.problems)
        summary = f"{count} error{'s' if count != 1 else ''}. Nothing was created."
        super().__init__("\n".join([*(p.show(name) for p in self.problems), summary]))


def in_order(problems: Iterable[FileProblem]) -> list[FileProblem]:
    """The problems by line, each once."""
    return sorted(dict.fromkeys(problems), key=lambda p: p.line)


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that `word` was probably meant to be, whatever its case."""
    by_fold = {k.casefold(): k for k in known}
    found = difflib.get_close_matches(word.casefold(), by_fold, n=1, cutoff=0.6)
    return by_fold[found[0]] if found else None


def listed(words: Iterable[str]) -> str:
    """`a, b and c`."""
    *most, last = list(words) or ["nothing"]
    return f"{', '.join(most)} and {last}" if most else last


def suggestion(word: str, known: Sequence[str], what: str) -> str:
    """A remedy for an unknown word: the nearest known one, or all of them."""
    near = nearest(word, known)
    if near is not None:
        return f'Did you mean "{near}"?'
    if not known:
        return f"The file has no {what}."
    return f"Known {what}: {', '.join(known)}."
