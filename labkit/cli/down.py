"""`labkit down`: stop a lab and remove everything of it."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from labkit.cli import complete
from labkit.cli.output import note, span
from labkit.errors import InvalidInput
from labkit.operate.labs import lifecycle
from labkit.operate.records import record
from labkit.operate.records.others import others


def command(
    lab: Annotated[
        str | None,
        typer.Argument(
            metavar="LAB",
            help="The lab's name or lab file. Default: the only lab that runs.",
            autocompletion=complete.labs_and_files,
        ),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Every lab that you started.")] = False,
) -> None:
    """Stop a lab and remove everything of it. No lab file is needed; it is no error if the lab does not run."""
    if every and lab is not None:
        raise InvalidInput("labkit down: LAB and --all can't be combined.", "Give one of them.")
    for each in _meant(lab, every, record.everything()):
        began = time.monotonic()
        lifecycle.down(each)
        note(f" {each.lab} is down.   {span(time.monotonic() - began)}")


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
        note(" no lab runs here.")
    elif lab is None:
        note(
            " no lab of yours runs here."
            + "".join(f"\n {each.lab} belongs to another user: labkit down {each.lab}" for each in there)
        )
    else:
        name = _name(lab)
        found = [each for each in there if each.lab == name]
        if not found:
            note(f" {name} does not run here. Running: {', '.join(each.lab for each in there)}.")
    return found


def _name(lab: str) -> str:
    """The name of the lab that is meant: that of one that is up, or the one in a lab file, or else just a name."""
    try:
        return lifecycle.lab_name(lab)
    except InvalidInput:
        # A lab that was already taken down, or whose file is gone, is down.
        if record.NAME.fullmatch(lab):
            return lab
        raise
