"""`labkit image`: the root file system that every node runs."""

from __future__ import annotations

from typing import Annotated

import typer

from labkit.cli.output import Format, FormatOption, put_json, put_table, say
from labkit.cli.progress import reporter
from labkit.errors import EnvironmentProblem, InvalidInput
from labkit.operate.records.record import everything
from labkit.runtimes.containerlab import docker_engine, docker_images
from labkit.runtimes.image import images
from labkit.runtimes.select import CONTAINERLAB, RUNTIMES, SANDBOX, must_be_known

app = typer.Typer(help="Build and show the nodes' image.", no_args_is_help=True)


@app.command()
def build(
    runtime: Annotated[str, typer.Option(metavar="NAME", help=f"For which runtime: {', '.join(RUNTIMES)}.")] = SANDBOX,
) -> None:
    """Build what is missing of the image; for containerlab, bring it into Docker too."""
    must_be_known(runtime)
    spec = images.node_image()
    with reporter() as progress:
        progress.begin("prepare")
        there = images.installed(spec.reference) is not None
        images.ensure(spec, lambda p: progress.update(f"image: {p.step}", p.fraction))
        progress.end(f"image {spec.reference} " + ("is there" if there else "built"))
        if runtime == CONTAINERLAB:
            progress.begin("prepare")
            known = docker_images.present(spec.reference)
            docker_images.ensure(spec.reference)
            progress.end("Docker has it" + ("" if known else " now"))


@app.command()
def show(output: FormatOption = Format.TABLE) -> None:
    """Show the image's Debian packages with their versions."""
    spec = images.node_image()
    image = images.installed(spec.reference)
    if image is None:
        raise InvalidInput(f"image {spec.reference} is not built yet.", "Build it: labkit image build")
    packages = image.packages()
    if output is Format.JSON:
        put_json({"reference": image.reference, "layers": [str(p) for p in image.layers], "packages": packages})
        return
    say(f" {image.reference}")
    put_table(("Package", "Version"), sorted(packages.items()))


@app.command()
def prune() -> None:
    """Remove images that nothing needs, here and in Docker. Running labs and this labkit keep theirs."""
    keep = [record.image for record in everything()]
    for folder in images.prune(keep):
        say(f" removed {folder.name}")
    try:
        docker_engine.engine()
    except EnvironmentProblem:
        return  # without an engine there are no images in it
    for tag in docker_images.prune(keep):
        say(f" removed {tag} from Docker")
