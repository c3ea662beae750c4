"""`labkit export`: a running lab as ARM resources and as a lab file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from labkit.arm.files import files_of
from labkit.cli.output import LabArgument, LabOption, note, one_lab, put
from labkit.operate.changes import Now
from labkit.operate.look.running import loaded, running
from labkit.operate.resource_files import write_files


def command(
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="The folder to write: new or empty.")],
    lab: LabArgument = None,
    named: LabOption = None,
) -> None:
    """Write a running lab as ARM resources, as az lists them, and as a lab file.

    All of it is the lab as it is now, with every change that was made while it runs. `labkit import FOLDER` makes a lab
    of it.
    """
    record, _ = running(one_lab(lab, named))
    now = Now(record)
    files = files_of(loaded(record), now.azure)
    write_files(out, files)
    for name in files:
        put(str(out / name))
    for text in now.lab.own_routers.values():
        note(text)
