"""`labkit down`: stop a lab and remove everything of it."""

from __future__ import annotations

import os
import time
from typing import Annotated

import typer

from labkit.cli.output import LabArgument, LabOption, note, one_lab, span
from labkit.errors import InvalidInput
from labkit.lab.file.problems import nearest
from labkit.operate.labs import lifecycle
from labkit.operate.records import record
from labkit.operate.records.lab_files import name_in_file
from labkit.operate.records.others import others


def command(
    lab: LabArgument = None,
    every: Annotated[bool, typer.Option("--all", help="Every lab that you started.")] = False,
    named: LabOption = None,
) -> None:
    """Stop a lab and remove everything of it. A lab file whose lab does not run is not an error."""
    meant = one_lab(lab, named)
    if every and (lab is not None or (named is not None and named != os.environ.get("LABKIT_LAB"))):
        raise InvalidInput("labkit down: a lab and --all can't be combined.", "Give one of them.")
    for each in _meant(None if every else meant, every, record.everything()):
        began = time.monotonic()
        lifecycle.down(each)
        note(f" {each.lab} is down.   {span(time.monotonic() - began)}")


def _meant(lab: str | None, every: bool, own: list[record.Record]) -> list[record.Record]:
    """The labs that are meant and up. Without a name it is one's own, by its name it may be anybody's.

    Raises:
        InvalidInput: there is no such lab, and no such lab file.
    """
    if own and lab is None:
        return own if every else [record.choose(None, own)]
    found = [each for each in own if each.lab == lab]
    if found:
        return found
    there = [*own, *others(own)]
    if lab is not None:
        return _by_name(lab, there)
    note(
        " no lab of yours runs here."
        + "".join(f"\n {each.lab} belongs to another user: labkit down {each.lab}" for each in there)
        if there
        else " no lab runs here."
    )
    return []


def _by_name(lab: str, there: list[record.Record]) -> list[record.Record]:
    record.clear_lock(lab)  # of an `up` that was killed at once
    found = [each for each in there if each.lab == lab]
    if found:
        return found
    running = f"Running: {', '.join(each.lab for each in there)}." if there else "No lab runs here."
    name = name_in_file(lab)
    if name is None:
        near = nearest(lab, [each.lab for each in there])
        remedy = f"Did you mean `labkit down {near}`?" if near is not None else running
        raise InvalidInput(f"no lab called {lab} runs here, and there is no such lab file.", remedy)
    record.clear_lock(name)
    found = [each for each in there if each.lab == name]
    if not found:
        note(f" {name} does not run here. {running}")
    return found
