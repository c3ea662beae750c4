"""How the command line prints: data to stdout, messages to stderr; tables as `az` prints them, or JSON."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from enum import StrEnum
from typing import IO, Annotated

import typer

from labkit.cli import complete
from labkit.errors import InvalidInput


class Format(StrEnum):
    """The forms of a listing."""

    TABLE = "table"
    JSON = "json"


class Switch(StrEnum):
    """The values of an Azure setting that is a switch."""

    ON = "on"
    OFF = "off"


def switch_text(on: bool) -> str:
    """A setting as it is shown: on or off."""
    return Switch.ON if on else Switch.OFF


class Colour(StrEnum):
    """The colours in use, as the terminal defines them: good, needs attention, wrong, secondary."""

    DIM = "2"
    GREEN = "32"
    YELLOW = "33"
    RED = "31"


FormatOption = Annotated[Format, typer.Option("--format", "-o", help="table for people, json for programs.")]
LabOption = Annotated[
    str | None,
    typer.Option(
        "--lab",
        "-l",
        metavar="NAME",
        envvar="LABKIT_LAB",
        help="The lab, if several run.",
        autocompletion=complete.labs,
    ),
]
LabArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="LAB",
        help="The lab's name or lab file, as with --lab. Default: the only lab that runs.",
        autocompletion=complete.labs_and_files,
        show_default=False,
    ),
]
"""For verbs about a lab as a whole, which have `LabOption` too; `one_lab` takes both."""

NodeArgument = Annotated[str, typer.Argument(metavar="NODE", help="The node.", autocompletion=complete.nodes)]
LabFileArgument = Annotated[
    str,
    typer.Argument(
        metavar="LAB",
        help="A bundled lab, a lab file, or a folder with a lab.yml.",
        autocompletion=complete.lab_files,
    ),
]

VariantOption = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="A variant in the lab file. Default: the base lab.",
        autocompletion=complete.variants,
        show_default=False,
    ),
]


def one_lab(argument: str | None, option: str | None) -> str | None:
    """The lab that is meant by a verb's argument or by its `--lab`.

    Raises:
        InvalidInput: they are different labs.
    """
    if argument is None or option in (None, argument, os.environ.get("LABKIT_LAB")):
        return option if argument is None else argument
    raise InvalidInput(f"two labs: {argument} and {option}.", "Name one: LAB and --lab LAB mean the same.")


def note(text: str) -> None:
    """Print a note for the user. If it can't be shown (a closed terminal, a reader that is gone), work goes on."""
    with suppress(OSError):
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


class ReaderGone(Exception):
    """The reader of the output has closed it, as `head` does."""


def note_done(answer: Mapping[str, str]) -> None:
    """Print what the controller did, from its answer: `subject` and `what`."""
    note(f" {answer['subject']}: {answer['what']}")


def put(text: str, *, now: bool = False) -> None:
    """Print data; `now` flushes it at once, for output that goes on while the reader waits."""
    try:
        sys.stdout.write(text + "\n")
        if now:
            sys.stdout.flush()
    except BrokenPipeError:
        raise ReaderGone from None  # the library below would take a broken pipe for a failure


def put_json(data: object) -> None:
    """Print data as JSON."""
    put(json.dumps(data, indent=2))


def put_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    colour: Callable[[str], Colour | None] = lambda _cell: None,
) -> None:
    """Print rows below their columns, each as wide as its widest cell, as `az --output table` does.

    `colour` gives the colour of a cell by its text.
    """
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [
        max(len(column), *(len(row[i]) for row in cells)) if cells else len(column) for i, column in enumerate(columns)
    ]
    for line in (columns, ["-" * width for width in widths]):
        put("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    for row in cells:
        *most, last = [
            paint(cell, colour(cell)) + " " * (width - len(cell)) for cell, width in zip(row, widths, strict=True)
        ]
        put("  ".join([*most, last.rstrip()]).rstrip())


def paint(text: str, colour: Colour | None, stream: IO[str] | None = None) -> str:
    """The text in a colour, if the stream (standard output if None) is a terminal that shows colours."""
    shows = (stream or sys.stdout).isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
    return f"\x1b[{colour}m{text}\x1b[0m" if colour is not None and shows else text


def span(seconds: float) -> str:
    """A time span as it is shown: 0.8 s, 42 s, 3 min 5 s, 2 h 10 min, 4 d 3 h."""
    if seconds < 10:
        return f"{max(seconds, 0.0):.1f} s"
    whole = int(seconds)
    for large, small, unit, next_unit in ((86400, 3600, "d", "h"), (3600, 60, "h", "min"), (60, 1, "min", "s")):
        if whole >= large:
            return f"{whole // large} {unit} {whole % large // small} {next_unit}"
    return f"{whole} s"
