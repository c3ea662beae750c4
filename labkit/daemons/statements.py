"""A configuration as statements, whatever the daemon: each line with the lines that it is indented under. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

Statement = tuple[str, ...]
"""A line of a configuration and, before it, the lines that it belongs to."""

_ENDS = ("exit", "end", "}", "};")


def statements(configuration: str) -> list[Statement]:
    """The statements of a configuration in its order, without comments and the ends of blocks."""
    found: list[Statement] = []
    around: list[tuple[int, str]] = []
    for line in configuration.splitlines():
        text = line.strip()
        if not text or text.startswith(("!", "#", "Current configuration")) or text.split("-", maxsplit=1)[0] in _ENDS:
            continue
        depth = len(line) - len(line.lstrip())
        around = [each for each in around if each[0] < depth]
        found.append((*(each for _, each in around), text))
        around.append((depth, text))
    return found


def difference(known: Iterable[Statement], running: Iterable[Statement]) -> tuple[list[Statement], list[Statement]]:
    """The statements of a running configuration that are not known, and the known ones that it lacks.

    Of a block that is there as a whole or missing as a whole, the lines in it alone are named.
    """
    was, now = Counter(known), Counter(running)
    return _lines(now - was), _lines(was - now)


def updated(known: Iterable[Statement], before: Iterable[Statement], after: Iterable[Statement]) -> list[Statement]:
    """What is known once labkit has made one running configuration of another: what was changed by hand stays so."""
    was, now = Counter(before), Counter(after)
    return [*(Counter(known) - (was - now) + (now - was)).elements()]


def as_text(found: Iterable[Statement]) -> str:
    """Statements as a file."""
    return "".join("\t".join(each) + "\n" for each in found)


def from_text(text: str) -> list[Statement]:
    """The statements of such a file."""
    return [tuple(line.split("\t")) for line in text.splitlines()]


def _lines(statements: Counter[Statement]) -> list[Statement]:
    return [
        each for each in statements if not any(other[: len(each)] == each and other != each for other in statements)
    ]
