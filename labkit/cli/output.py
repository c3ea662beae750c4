"""How the command line prints: data to stdout, talk to stderr; tables as `az` prints them, or JSON."""

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


class Format(StrEnum):
    """The forms of a listing."""

    TABLE = "table"
    JSON = "json"


class Switch(StrEnum):
    """What a setting of Azure's may be."""

    ON = "on"
    OFF = "off"


def switch_text(on: bool) -> str:
    """A setting as people say it."""
    return Switch.ON if on else Switch.OFF


class Colour(StrEnum):
    """The few colours there are, as the terminal's own: what is well, wants a look, is wrong, or stands aside."""

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
        help="Which lab, where several run.",
        autocompletion=complete.labs,
    ),
]
NodeArgument = Annotated[str, typer.Argument(metavar="NODE", help="The node.", autocompletion=complete.nodes)]
LabFileArgument = Annotated[
    str,
    typer.Argument(
        metavar="LAB",
        help="A lab of labkit's, a lab file, or a folder with a lab.yml.",
        autocompletion=complete.lab_files,
    ),
]

VariantOption = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="A variant of the lab file. Default: the file's base.",
        autocompletion=complete.variants,
        show_default=False,
    ),
]


def say(text: str) -> None:
    """Talk to the user. Talk that nobody hears (a closed terminal, a pipe whose reader is gone) stops no work."""
    with suppress(OSError):
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


class ReaderGone(Exception):
    """Whoever read the output has had enough of it, as `head` has."""


def say_done(answer: Mapping[str, str]) -> None:
    """Say what the controller did, by its answer: `subject` and `what`."""
    say(f" {answer['subject']}: {answer['what']}")


def put(text: str, *, now: bool = False) -> None:
    """Print data; `now` sends it on its way at once, for what goes on while the reader waits."""
    try:
        sys.stdout.write(text + "\n")
        if now:
            sys.stdout.flush()
    except BrokenPipeError:
        raise ReaderGone from None  # the library beneath would take a broken pipe for a failure


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
    """A time span as people say it: 0.8 s, 42 s, 3 min 5 s, 2 h 10 min, 4 d 3 h."""
    if seconds < 10:
        return f"{max(seconds, 0.0):.1f} s"
    whole = int(seconds)
    for large, small, unit, next_unit in ((86400, 3600, "d", "h"), (3600, 60, "h", "min"), (60, 1, "min", "s")):
        if whole >= large:
            return f"{whole // large} {unit} {whole % large // small} {next_unit}"
    return f"{whole} s"
