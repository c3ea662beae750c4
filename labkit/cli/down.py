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
            metavar="[LAB]",
            help="The lab's name, or its file. Default: the only lab there is.",
            autocompletion=complete.labs_and_files,
        ),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Every lab on this machine.")] = False,
) -> None:
    """Take a lab down. Works from the lab's state alone, and when half of it is gone already."""
    if every and lab is not None:
        raise InvalidInput("labkit down: a lab and --all exclude each other.", "Give one of them.")
    if lab is None:
        labs = record.everything() if every else [record.the_lab(None)]
    else:
        name = lifecycle.lab_name(lab)
        found = record.read(name)
        labs = [found] if found is not None else []
        if found is None:
            say(f" {name} is not up.")
    for each in labs:
        began = time.monotonic()
        lifecycle.down(each)
        say(f" {each.lab} is down.   {span(time.monotonic() - began)}")
    if every and not labs:
        say(" no lab is up.")
