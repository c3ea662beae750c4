"""`labkit down`: take a lab away."""

from __future__ import annotations

from typing import Annotated

import typer

from labkit.cli.output import say
from labkit.operate import lifecycle, record


def command(
    lab: Annotated[
        str | None, typer.Argument(help="The lab's name, or its file. Default: the only one there is.")
    ] = None,
) -> None:
    """Take a lab down. Works from the lab's state alone, and when half of it is gone already."""
    lifecycle_name = lifecycle.lab_name(lab) if lab is not None else None
    if lifecycle_name is not None and record.read(lifecycle_name) is None:
        say(f" {lifecycle_name} is not up.")
        return
    target = record.the_running_lab(lifecycle_name)
    lifecycle.down(target)
    say(f" {target.lab} is down.")
