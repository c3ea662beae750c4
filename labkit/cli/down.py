"""`labkit down`: take a lab away."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from labkit.cli import complete
from labkit.cli.output import say, span
from labkit.errors import InvalidInput
from labkit.operate.labs import lifecycle
from labkit.operate.records import record
from labkit.operate.records.others import others


def command(
    lab: Annotated[
        str | None,
        typer.Argument(
            metavar="LAB",
            help="The lab's name, or its file. Default: the only lab there is.",
            autocompletion=complete.labs_and_files,
        ),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Every lab that you have brought up.")] = False,
) -> None:
    """Take a lab down, whatever is left of it. Needs no lab file; fine if the lab is not up."""
    if every and lab is not None:
        raise InvalidInput("labkit down: a lab and --all exclude each other.", "Give one of them.")
    for each in _meant(lab, every, record.everything()):
        began = time.monotonic()
        lifecycle.down(each)
        say(f" {each.lab} is down.   {span(time.monotonic() - began)}")


def _meant(lab: str | None, every: bool, own: list[record.Record]) -> list[record.Record]:
    """The labs that are meant and up. Without a name it is one's own, by its name it may be anybody's."""
    if own and lab is None:
        return own if every else [record.choose(None, own)]
    found = [each for each in own if each.lab == lab]
    if found:
        return found
    if lab is not None:
        record.clear_lock(lab)
    there = [*own, *others(own)]
    if not there:
        say(" no lab is up.")
    elif lab is None:
        say(
            " no lab of yours is up." + "".join(f"\n {each.lab} is another's: labkit down {each.lab}" for each in there)
        )
    else:
        name = _name(lab)
        found = [each for each in there if each.lab == name]
        if not found:
            say(f" {name} is not up; {', '.join(each.lab for each in there)} {'is' if len(there) == 1 else 'are'}.")
    return found


def _name(lab: str) -> str:
    """The name of the lab that is meant: that of one that is up, or the one in a lab file, or else just a name."""
    try:
        return lifecycle.lab_name(lab)
    except InvalidInput:
        # Whoever says it twice, or has removed the file, has what he wants.
        if record.NAME.fullmatch(lab):
            return lab
        raise
