"""The command line as a whole. Each verb is a module of this package with a function `command`; only one is loaded."""

from __future__ import annotations

import importlib
import io
import os
import re
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from labkit.cli.output import Colour, ReaderGone, note, paint
from labkit.cli.verb import misplaced, strict
from labkit.errors import EnvironmentProblem, InvalidInput, LabkitError
from labkit.lab.file.problems import nearest

PANELS = {
    "Labs": ("up", "down", "list", "status", "verify", "diff", "changes", "apply", "reset"),
    "Inspect and change": (
        "routes",
        "effective-routes",
        "next-hop",
        "learned-routes",
        "advertised-routes",
        "route-server",
        "route-table",
        "vnet",
        "nic",
        "nva",
        "firewall",
        "gateway",
        "circuit",
        "trace",
        "whatif",
        "measure",
        "events",
        "logs",
    ),
    "Nodes": ("exec", "shell", "stop", "start"),
    "Lab files": ("validate", "render", "schema", "import", "export"),
    "This machine": ("doctor", "image", "version"),
}
PANEL = {verb: panel for panel, verbs in PANELS.items() for verb in verbs}
PASS_THROUGH = ("exec", "whatif")

# Messages of typer, and of pydantic with which it reads options, in labkit's words.
_REWORDED = (
    (": Value error, ", ": "),
    ("Input should be a valid integer.*", "must be a whole number."),
    ("Input should be a valid number.*", "must be a number."),
    ("Input should be a finite number.*", "must be a number."),
    ("Input should be greater than or equal to (.*)", r"must be at least \1."),
    ("Input should be less than or equal to (.*)", r"must be at most \1."),
    (r"No such command '(.*)'\.", r"unknown command: \1"),
)

HELP = (
    "An Azure Route Server laboratory: real BGP, real Linux kernels, real packets, on this machine.\n\n"
    "Start with: labkit up overview\n\n"
    "Exit status: 0 success; 1 a check failed; 2 wrong usage or invalid input; "
    "3 this machine lacks or refuses something; 130 interrupted. "
    "`exec`, `shell` and `routes` return the exit status of the command that they run."
)


def application(verbs: Sequence[str]) -> typer.Typer:
    """The command line with these verbs."""
    app = typer.Typer(name="labkit", help=HELP, no_args_is_help=True, pretty_exceptions_enable=False)
    app.callback()(_root)
    for verb in verbs:
        module = importlib.import_module(f"labkit.cli.{verb.replace('-', '_')}")
        if hasattr(module, "app"):
            app.add_typer(module.app, name=verb, rich_help_panel=PANEL[verb])
            continue
        settings = {"ignore_unknown_options": True, "allow_interspersed_args": False} if verb in PASS_THROUGH else {}
        settings |= getattr(module, "SETTINGS", {})
        summary = module.command.__doc__.partition(".")[0] + "."
        app.command(verb, context_settings=settings, short_help=summary, rich_help_panel=PANEL[verb])(module.command)
    return strict(app)


def _version(asked: bool) -> None:
    if asked:
        importlib.import_module("labkit.cli.version").command()
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print versions, like `labkit version`.", is_eager=True, callback=_version)
    ] = False,
) -> None:
    """Take the options before the verb."""


_root.__doc__ = HELP


def run(arguments: Sequence[str]) -> int:
    """Run the command line and return the exit status. Errors are printed on standard error."""
    try:
        error: LabkitError | None = None
        status = 0
        try:
            status = application(_verbs(arguments))(list(arguments), prog_name="labkit", standalone_mode=False) or 0
        except typer.TyperException as wrong:
            error = _usage(wrong, arguments)
        except LabkitError as found:
            error = found
        sys.stdout.flush()
    except (BrokenPipeError, ReaderGone):
        _drop_output()
        return 0
    except OSError as refused:
        _drop_output()
        error = _of_the_system(refused)
    return status if error is None else _explain(error)


def _verbs(arguments: Sequence[str]) -> Sequence[str]:
    """The verbs to load: the one that is asked for, where that is known."""
    words = (os.environ.get("COMP_WORDS") or os.environ.get("_TYPER_COMPLETE_ARGS") or "").split()
    completing = "_LABKIT_COMPLETE" in os.environ
    # The word that the cursor is on may yet become another.
    verb = words[1:2] if completing and len(words) > 2 else [] if completing else arguments[:1]
    if verb and verb[0] in PANEL:
        return verb
    if verb and not verb[0].startswith("-"):
        near = nearest(verb[0], PANEL)
        remedy = f"Did you mean `labkit {near}`?" if near else "`labkit --help` lists all commands."
        if not completing:
            raise InvalidInput(f"unknown command: {verb[0]}", remedy)
    return list(PANEL)


def _explain(error: LabkitError) -> int:
    """Print an error with its remedy; returns its exit status."""
    note(paint(_printable(error.message), Colour.RED, sys.stderr))
    if error.remedy:
        note("    " + _printable(error.remedy).replace("\n", "\n    "))
    return error.exit_code


def _printable(text: str) -> str:
    """A message in which what was typed, or comes from a file, can't do anything to the terminal."""
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


def _usage(error: typer.TyperException, arguments: Sequence[str]) -> InvalidInput:
    """A wrong command line in labkit's words: what is wrong, and the usage."""
    context = getattr(error, "ctx", None)
    text = error.format_message()
    if context is not None and context.parent is None and (rest := misplaced(arguments, list(PANEL))) is not None:
        return InvalidInput(f"labkit: {arguments[0]} belongs after the verb.", f"Write: labkit {rest}")
    for theirs, ours in _REWORDED:
        text = re.sub(theirs, ours, text, count=1)
    if context is None:
        return InvalidInput(f"labkit: {text}", "See `labkit --help`.")
    usage = " ".join(context.get_usage().split())
    return InvalidInput(f"{context.command_path}: {text}", f"{usage}\nSee `{context.command_path} --help`.")


def _of_the_system(error: OSError) -> EnvironmentProblem:
    """The error for what the system refused, where no code of ours has a better explanation."""
    what = f"{error.filename}: {error.strerror}." if error.filename else f"{error.strerror or error}."
    return EnvironmentProblem(
        what, "Fix that, or store labkit's files elsewhere: XDG_STATE_HOME for labs, XDG_CACHE_HOME for images."
    )


def _drop_output() -> None:
    """Discard what is still to be written, or the interpreter complains about it at its end."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
