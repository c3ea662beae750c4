"""The `labkit` command. Each verb is a module of this package with a function `command`; only one is loaded."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

import typer

from labkit.cli.output import say
from labkit.errors import LabkitError

VERBS = (
    "up",
    "down",
    "status",
    "list",
    "verify",
    "exec",
    "shell",
    "trace",
    "routes",
    "effective-routes",
    "learned-routes",
    "advertised-routes",
    "route-table",
    "stop",
    "start",
    "logs",
    "events",
    "validate",
    "render",
    "schema",
    "image",
    "doctor",
    "version",
)
PASS_THROUGH = ("exec",)
INTERRUPTED = 130

HELP = """An Azure Route Server laboratory: real BGP, real Linux kernels, real packets, on this machine.

Start with: labkit up overview

Exit status: 0 ok, 1 a check failed, 2 bad usage or bad input, 3 this machine lacks or refuses something,
130 interrupted. `exec` and `shell` pass on the exit status of what they ran.
"""


def application(verbs: Sequence[str]) -> typer.Typer:
    """The command line with these verbs."""
    app = typer.Typer(name="labkit", help=HELP, no_args_is_help=True, pretty_exceptions_enable=False)
    app.callback()(_root)
    for verb in verbs:
        module = importlib.import_module(f"labkit.cli.{verb.replace('-', '_')}")
        if hasattr(module, "app"):
            app.add_typer(module.app, name=verb)
            continue
        settings = {"ignore_unknown_options": True, "allow_interspersed_args": False} if verb in PASS_THROUGH else {}
        app.command(verb, context_settings=settings)(module.command)
    return app


def _root() -> None:
    """Nothing before the verb."""


_root.__doc__ = HELP


def main() -> None:
    """Run the command line and leave with its exit status."""
    verbs = [a for a in sys.argv[1:2] if a in VERBS] or VERBS
    try:
        application(verbs)()
    except LabkitError as error:
        say(error.message)
        if error.remedy:
            say("    " + error.remedy.replace("\n", "\n    "))
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        say("interrupted.")
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        # Whoever read our output has had enough; the interpreter must not complain about it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)


if __name__ == "__main__":
    main()
