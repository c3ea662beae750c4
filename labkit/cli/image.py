"""`labkit image`: the root file system of all nodes."""

from __future__ import annotations

from typing import Annotated

import typer

from labkit.cli.output import Format, FormatOption, note, put_json, put_table
from labkit.cli.progress import reporter
from labkit.errors import EnvironmentProblem, InvalidInput
from labkit.operate.records.record import everything
from labkit.runtimes.containerlab import docker_engine, docker_images
from labkit.runtimes.image import images
from labkit.runtimes.select import CONTAINERLAB, RUNTIMES, SANDBOX, must_be_known

app = typer.Typer(help="Build, show and remove images of nodes.", no_args_is_help=True)


@app.command()
def build(
    runtime: Annotated[str, typer.Option(metavar="NAME", help=f"The runtime: {', '.join(RUNTIMES)}.")] = SANDBOX,
) -> None:
    """Build the missing layers of the image; for containerlab, load it into Docker too."""
    must_be_known(runtime)
    spec = images.node_image()
    with reporter() as progress:
        progress.begin("prepare")
        there = images.installed(spec.reference) is not None
        images.ensure(spec, lambda p: progress.update(f"image: {p.step}", p.fraction))
        progress.end(f"image {spec.reference} " + ("is present" if there else "built"))
        if runtime == CONTAINERLAB:
            progress.begin("prepare")
            known = docker_images.present(spec.reference)
            docker_images.ensure(spec.reference)
            progress.end("Docker has the image" if known else "loaded into Docker")


@app.command()
def show(output: FormatOption = Format.TABLE) -> None:
    """Show the image's Debian packages with their versions."""
    spec = images.node_image()
    image = images.installed(spec.reference)
    if image is None:
        raise InvalidInput(f"image {spec.reference} has not been built.", "Build it: labkit image build")
    packages = image.packages()
    if output is Format.JSON:
        put_json({"reference": image.reference, "layers": [str(p) for p in image.layers], "packages": packages})
        return
    note(f" {image.reference}")
    put_table(("Package", "Version"), sorted(packages.items()))


@app.command()
def prune() -> None:
    """Remove unused images, here and in Docker. Images of running labs and of this labkit stay."""
    keep = [record.image for record in everything()]
    for folder in images.prune(keep):
        note(f" removed {folder.name}")
    try:
        docker_engine.engine()
    except EnvironmentProblem:
        return  # without an engine there are no images in it
    for tag in docker_images.prune(keep):
        note(f" removed {tag} from Docker")
