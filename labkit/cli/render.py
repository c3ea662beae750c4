"""`labkit render`: a lab as a folder that containerlab can deploy."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from labkit.cli.output import LabFileArgument, VariantOption, note, put
from labkit.lab.build import plan
from labkit.lab.load import read
from labkit.operate.labs.own_files import checked
from labkit.operate.records.lab_files import find_lab_file
from labkit.render.render import render
from labkit.runtimes.image.images import installed, node_image


def command(
    lab: LabFileArgument,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="The folder to write: new, empty, or rendered before.")],
    variant: VariantOption = "",
) -> None:
    """Write a lab as a containerlab topology, with every file that it needs. Nothing is started."""
    loaded = read(find_lab_file(lab), variant)
    for warning in loaded.warnings:
        note(warning.show(loaded.name))
    the_plan = plan(loaded.lab)
    image = node_image().reference
    own = checked(loaded, the_plan, installed(image))
    topology = render(the_plan, out, image=image, lab_file=loaded.standalone().encode(), own=own)
    put(str(topology))
    note(f" {len(the_plan.nodes)} nodes, {len(the_plan.links)} links, image {image}.")
