"""What all verbs have in common in reading their command lines."""

from __future__ import annotations

import importlib
from collections.abc import Sequence

import typer
from typer.core import TyperArgument, TyperCommand, TyperOption

NOT_NAMES = ("variant",)
"""Options that may be empty: the variant of that name is the base."""


OF_VERBS = ("--lab", "-l", "--format", "-o")
"""Options that most verbs have, and `labkit` itself has not."""


class Verb(TyperCommand):
    """A verb. What is empty is refused here: no name, no file and no command is."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override] # a class that typer does not export
        """Read the command line of the verb.

        Raises:
            TyperException: it is wrong.
        """
        rest: list[str] = super().parse_args(ctx, args)
        for parameter in (each for each in self.params if isinstance(each, TyperArgument | TyperOption)):
            value = ctx.params.get(str(parameter.name))
            first = value[0] if isinstance(value, list | tuple) and value else value
            if first == "" and parameter.name not in NOT_NAMES and not ctx.resilient_parsing:
                raise typer.BadParameter("must not be empty.", ctx=ctx, param=parameter)
        return rest


def strict(app: typer.Typer) -> typer.Typer:
    """The application, in which every command is a `Verb`."""
    for command in app.registered_commands:
        command.cls = Verb
    for group in app.registered_groups:
        if group.typer_instance is not None:
            strict(group.typer_instance)
    return app


def misplaced(arguments: Sequence[str], verbs: Sequence[str]) -> str | None:
    """A command line whose options are before its verb, with the options after it; None for any other."""
    position = next((i for i, word in enumerate(arguments) if word in verbs), 0)
    if not position or arguments[0].partition("=")[0] not in OF_VERBS:
        return None
    verb, options = arguments[position], arguments[:position]
    module = importlib.import_module(f"labkit.cli.{verb.replace('-', '_')}")
    return " ".join([verb, *(["COMMAND"] if hasattr(module, "app") else []), *options])
