"""`labkit down`: take a lab away."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from labkit.cli import complete
from labkit.cli.output import say, span
from labkit.errors import InvalidInput
from labkit.operate import lifecycle, record


def command(
    lab: Annotated[
        str | None,
        typer.Argument(
            metavar="LAB",
            help="The lab's name, or its file. Default: the only lab there is.",
            autocompletion=complete.labs_and_files,
        ),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Every lab on this machine.")] = False,
) -> None:
    """Take a lab down, whatever is left of it. Needs no lab file; fine if the lab is not up."""
    if every and lab is not None:
        raise InvalidInput("labkit down: a lab and --all exclude each other.", "Give one of them.")
    labs = record.everything()
    names = ", ".join(each.lab for each in labs)
    if not labs:
        say(" no lab is up.")
    elif lab is not None:
        name = _name(lab)
        labs = [each for each in labs if each.lab == name]
        if not labs:
            say(f" {name} is not up; {names} {'is' if ', ' not in names else 'are'}.")
    elif not every:
        labs = [record.the_lab(None)]
    for each in labs:
        began = time.monotonic()
        lifecycle.down(each)
        say(f" {each.lab} is down.   {span(time.monotonic() - began)}")


def _name(lab: str) -> str:
    """The name of the lab that is meant: that of one that is up, or the one in a lab file, or else just a name."""
    try:
        return lifecycle.lab_name(lab)
    except InvalidInput:
        # Whoever says it twice, or has removed the file, has what he wants.
        if record.NAME.fullmatch(lab):
            return lab
        raise
