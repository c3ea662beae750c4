"""`labkit image`: the root file system of all nodes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import typer

from labkit.cli.output import Format, FormatOption, note, put_json, put_table
from labkit.cli.progress import reporter
from labkit.errors import EnvironmentProblem, InvalidInput
from labkit.operate.records.record import everything
from labkit.runtimes.containerlab import docker_engine, docker_images
from labkit.runtimes.image import extra, images
from labkit.runtimes.select import CONTAINERLAB, RUNTIMES, SANDBOX, must_be_known

app = typer.Typer(help="Build, show and remove images of nodes.", no_args_is_help=True)


@app.command()
def build(
    added: Annotated[
        list[str] | None,
        typer.Option(
            "--with",
            metavar="PACKAGE [PACKAGE ...]",
            help="Debian packages for all nodes, in every image from now on.",
            show_default=False,
        ),
    ] = None,
    more: Annotated[list[str] | None, typer.Argument(metavar="PACKAGE", hidden=True)] = None,
    *,
    removed: Annotated[
        list[str] | None,
        typer.Option("--without", metavar="PACKAGE", help="One that `--with` has added.", show_default=False),
    ] = None,
    runtime: Annotated[str, typer.Option(metavar="NAME", help=f"The runtime: {', '.join(RUNTIMES)}.")] = SANDBOX,
) -> None:
    """Build the missing layers of the image; for containerlab, load it into Docker too.

    For example: labkit image build --with nginx-light hping3

    If Debian has not all of the packages, the image and the choice of packages stay as they are.
    """
    must_be_known(runtime)
    if more and not added:
        raise InvalidInput(f"labkit image build: {' '.join(more)}: no option given.", "Write --with PACKAGE.")
    wanted = _wanted([*(added or ()), *(more or ())], removed or ())
    spec = images.node_image(wanted)
    with reporter() as progress:
        progress.begin("prepare")
        there = images.installed(spec.reference) is not None
        images.ensure(spec, lambda p: progress.update(f"image: {p.step}", p.fraction))
        extra.choose(wanted)
        progress.end(f"image {spec.title} " + ("is present" if there else "built"))
        if runtime == CONTAINERLAB:
            progress.begin("prepare")
            known = docker_images.present(spec.reference)
            docker_images.ensure(spec.reference)
            progress.end("Docker has the image" if known else "loaded into Docker")


def _wanted(added: Iterable[str], removed: Iterable[str]) -> tuple[str, ...]:
    """The packages that were chosen, with those that are added and without those that are removed.

    Raises:
        InvalidInput: one is not a package's name, or one that is removed is not there.
    """
    own = {package.name for package in images.node_image(()).definition.packages}
    there = extra.checked([*extra.chosen(), *(name for words in added for name in words.replace(",", " ").split())])
    for name in own.intersection(there):
        note(f" {name} is in the image without --with.")
    for name in removed:
        if name not in there:
            choice = f"Added are: {', '.join(there)}." if there else "None was added."
            raise InvalidInput(f"{name} is not a package that --with has added.", choice)
    return tuple(name for name in there if name not in own and name not in removed)


@app.command()
def show(output: FormatOption = Format.TABLE) -> None:
    """Show the image's Debian packages with their versions."""
    spec = images.node_image()
    image = images.installed(spec.reference)
    if image is None:
        raise InvalidInput(f"image {spec.reference} has not been built.", "Build it: labkit image build")
    packages = image.packages()
    wanted = spec.definition.extra
    if output is Format.JSON:
        layers = [str(layer) for layer in image.layers]
        put_json({"reference": image.reference, "layers": layers, "extra": list(wanted), "packages": packages})
        return
    note(f" {spec.title}")
    reasons = dict.fromkeys((package.name for package in spec.definition.packages), "labkit")
    reasons |= dict.fromkeys(wanted, "--with")
    rows = [(name, version, reasons.get(name, "-")) for name, version in sorted(packages.items())]
    put_table(("Package", "Version", "Asked for by"), rows)


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
