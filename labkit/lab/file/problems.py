"""What is wrong with a lab file: one problem each, all of them in one error."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice

from labkit.errors import InvalidInput

MAX_TEXT = 400
"""The characters of a message or a remedy that are shown."""

MOST_SHOWN = 30
"""The words of a list that are shown of a great many."""

MAX_WORD = 80
"""The characters of a word for which a known one is suggested."""


class Severity(StrEnum):
    """An error refuses the file, a warning does not."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class FileProblem:
    """One mistake: the line of it (0: the file as a whole), what is wrong and what to do about it.

    `column` is counted from 1; 0 where a line is all there is to name.
    """

    line: int
    text: str
    remedy: str
    severity: Severity = Severity.ERROR
    column: int = 0

    def show(self, name: str) -> str:
        """The problem as two lines of text; `name` is the file's name."""
        place = ":".join(map(str, filter(None, (name, self.line, self.column))))
        word = "warning: " if self.severity is Severity.WARNING else ""
        return f"{place}: {word}{_printable(self.text)}\n    {_printable(self.remedy)}"


def _printable(text: str) -> str:
    # Messages repeat parts of a file, and those may be anything: a line stays a line, and the terminal unharmed.
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return shown if len(shown) <= MAX_TEXT else f"{shown[: MAX_TEXT - 40]} ... {shown[-30:]}"


class LabFileError(InvalidInput):
    """A lab file with mistakes. `problems` holds them all, in the order of their lines."""

    def __init__(self, name: str, problems: Collection[FileProblem]) -> None:
        self.name = name
        self.problems = tuple(problems)
        count = len(self.problems)
        summary = f"{count} error{'s' if count != 1 else ''}. Nothing was created."
        super().__init__("\n".join([*(p.show(name) for p in self.problems), summary]))


def in_order(problems: Iterable[FileProblem]) -> list[FileProblem]:
    """The problems by line, each once."""
    return sorted(dict.fromkeys(problems), key=lambda p: (p.line, p.column))


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that `word` was probably meant to be, whatever its case: it differs in a third of its letters."""
    folded = word.casefold()
    by_distance = {k: _distance(folded, k.casefold()) for k in known if _may_be(folded, k)}
    best = min(by_distance, key=by_distance.__getitem__, default=None)
    return best if best is not None and by_distance[best] <= _tolerance(word, best) else None


def _may_be(word: str, known: str) -> bool:
    return abs(len(word) - len(known)) <= _tolerance(word, known) and max(len(word), len(known)) <= MAX_WORD


def _tolerance(one: str, other: str) -> int:
    """How many letters of two words may differ; two letters may be swapped, however short the words are."""
    return max(max(len(one), len(other)) // 3, sorted(one.casefold()) == sorted(other.casefold()))


def _distance(one: str, other: str) -> int:
    """How many letters are missing, added, replaced or swapped with the next (optimal string alignment)."""
    before, row = [0] * (len(other) + 1), list(range(len(other) + 1))
    for i, letter in enumerate(one, 1):
        two_before, before = before, row
        row = [i]
        for j, its in enumerate(other, 1):
            row.append(min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != its)))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == its:
                row[j] = min(row[j], two_before[j - 2] + 1)
    return row[-1]


def listed(words: Iterable[str]) -> str:
    """`a, b and c`."""
    *most, last = list(words) or ["nothing"]
    return f"{', '.join(most)} and {last}" if most else last


def some(words: Collection[str]) -> str:
    """`a, b, c`; of very many, the first."""
    shown = ", ".join(islice(words, MOST_SHOWN))
    return f"{shown} and {len(words) - MOST_SHOWN:,} more" if len(words) > MOST_SHOWN else shown


def suggestion(word: str, known: Collection[str], what: str) -> str:
    """A remedy for an unknown word: the nearest known one, or all of them."""
    return meant(nearest(word, known), known, what)


def meant(near: str | None, known: Collection[str], what: str) -> str:
    """A remedy for an unknown word: the known one that was meant, or all of them."""
    if near is not None:
        return f'Did you mean "{near}"?'
    if not known:
        return f"The file has no {what}."
    return f"Known {what}: {some(known)}."
