"""How a lab file writes down a table that somebody published from real Azure."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo
from pydantic.json_schema import WithJsonSchema

from labkit.lab.file.references import as_declared
from labkit.lab.file.schema_types import Part, mistake
from labkit.lab.proofs import TableKind

_EMPTY = "-"
_SEVERAL = ","


def parse_rows(value: object) -> tuple[tuple[str, ...], ...]:
    """The rows of a table written as text, a line each, with spaces between cells; `-` is an empty cell.

    A row in which cells have several values, with commas between, means as many rows: the first values make the
    first one, and so on.
    """
    if isinstance(value, tuple):
        return value
    if not isinstance(value, str):
        raise mistake("must be the rows of a table", 'Write "|" after the key, and below it a line for each row.')
    return tuple(row for line in value.splitlines() if line.strip() for row in _rows(line))


def _rows(line: str) -> list[tuple[str, ...]]:
    cells = [cell.split(_SEVERAL) for cell in line.split()]
    count = max(map(len, cells))
    if any(len(cell) not in {1, count} for cell in cells):
        raise mistake(
            f'"{line.strip()}" has cells with different numbers of values',
            "Give each cell one value, or as many as the others that have several.",
        )
    columns = [cell * count if len(cell) == 1 else cell for cell in cells]
    return [tuple("" if cell == _EMPTY else cell for cell in row) for row in zip(*columns, strict=True)]


Rows = Annotated[
    tuple[tuple[str, ...], ...],
    BeforeValidator(parse_rows),
    WithJsonSchema({"type": "string", "examples": ["10.0.0.4  10.5.1.0/24  10.101.2.10\n"]}),
]


_COMMANDS = {word for kind in TableKind for word in kind.split()}


class DeviationPart(Part):
    """Rows that only Azure has, and rows that only this lab has, for one reason."""

    because: Annotated[str, Field(min_length=1)]
    """Why."""
    azure: Rows = ()
    """What only Azure's table has."""
    here: Rows = ()
    """What only this lab's table has."""


def _words(text: str, info: ValidationInfo) -> str:
    """The words of a command, names among them as the file spells them."""
    return " ".join(word if word in _COMMANDS else as_declared(word, info) for word in text.split())


class CaptureProof(Part):
    """A table of this lab is the one that somebody published from real Azure, row by row and column by column."""

    table: Annotated[str, AfterValidator(_words)]
    """The words after `labkit` that print the table here, such as: learned-routes rs0 csr1."""
    source: Annotated[str, Field(min_length=1)]
    """Where it was published."""
    rows: Rows
    """The rows that both have; cells in the order of the columns that `labkit` prints, None rows left out."""
    otherwise: list[DeviationPart] = Field(default_factory=list)
    """The rows that differ, and why."""
