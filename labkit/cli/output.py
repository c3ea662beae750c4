"""How the command line prints: data to stdout, talk to stderr; tables as `az` prints them, or JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated

import typer


class Format(StrEnum):
    """The forms of a listing."""

    TABLE = "table"
    JSON = "json"


FormatOption = Annotated[Format, typer.Option("--format", "-f", help="table for people, json for programs.")]
LabOption = Annotated[str | None, typer.Option("--lab", "-l", metavar="NAME", help="Which lab, where several run.")]


def say(text: str) -> None:
    """Talk to the user."""
    sys.stderr.write(text + "\n")


def put(text: str) -> None:
    """Print data."""
    sys.stdout.write(text + "\n")


def put_json(data: object) -> None:
    """Print data as JSON."""
    put(json.dumps(data, indent=2))


def put_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows below their columns, each as wide as its widest cell, as `az --output table` does."""
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [
        max(len(column), *(len(row[i]) for row in cells)) if cells else len(column) for i, column in enumerate(columns)
    ]
    for line in (columns, ["-" * width for width in widths], *cells):
        put("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
