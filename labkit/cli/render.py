"""`labkit render`: a lab as a folder that containerlab deploys."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from labkit.cli.output import say
from labkit.lab.load import load
from labkit.lab.plan import plan
from labkit.operate.lifecycle import find_lab_file
from labkit.render.render import render
from labkit.runtimes.images import node_image


def command(
    lab: Annotated[str, typer.Argument(help="A lab of labkit's, a lab file, or a folder with a lab.yml.")],
    out: Annotated[Path, typer.Option(help="The folder to write; must not exist or be empty.")],
) -> None:
    """Write the containerlab topology and every file it needs. Nothing is started."""
    lab_file = find_lab_file(lab)
    the_plan = plan(load(lab_file))
    topology = render(the_plan, out, image=node_image().reference, lab_file=lab_file.read_bytes())
    say(f" {topology}: {len(the_plan.nodes)} nodes, {len(the_plan.links)} links")
