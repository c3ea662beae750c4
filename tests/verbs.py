"""The verbs of the command line as it has them itself, and how a test calls one in its own process."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import typer.main
from typer.core import TyperArgument, TyperCommand, TyperGroup

from labkit.cli.app import application, run

EXEC = "[--] COMMAND [ARGUMENT]..."
"""How `exec` shows the command that it is given."""


@dataclass(frozen=True)
class VerbShape:
    """A verb: its words, its arguments as the help shows them with whether each must be given, its options."""

    words: tuple[str, ...]
    arguments: dict[str, bool]
    options: tuple[str, ...]


def verbs(names: Iterable[str]) -> Iterator[VerbShape]:
    """The verbs of these names, and each sub-verb of theirs."""
    yield from _below(typer.main.get_command(application(sorted(names))), ())


def _below(command: object, words: tuple[str, ...]) -> Iterator[VerbShape]:
    if isinstance(command, TyperGroup):
        for name, each in command.commands.items():
            yield from _below(each, (*words, name))
        return
    assert isinstance(command, TyperCommand)
    arguments = {
        str(p.metavar or p.name): p.required for p in command.params if isinstance(p, TyperArgument) and not p.hidden
    }
    options = tuple(o for p in command.params if not isinstance(p, TyperArgument) for o in p.opts)
    yield VerbShape(words, arguments, options)


def in_process(arguments: Sequence[str]) -> tuple[int, str, str]:
    """Exit status, output and messages of a command line."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = run(arguments)
    return status, out.getvalue(), err.getvalue()
