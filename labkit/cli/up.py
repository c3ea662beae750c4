"""`labkit up`: start a lab and run its proofs."""

from __future__ import annotations

from typing import Annotated

import typer

from labkit.cli.output import LabFileArgument, VariantOption
from labkit.runtimes.image import images
from labkit.runtimes.select import RUNTIMES, SANDBOX
from labkit.runtimes.select import runtime as runtime_named


def command(
    lab: LabFileArgument,
    runtime: Annotated[str, typer.Option(metavar="NAME", help=f"The runtime: {', '.join(RUNTIMES)}.")] = SANDBOX,
    variant: VariantOption = "",
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="Start it even if the machine seems to be too small for it: memory, processes, open files."
        ),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan; start nothing.")] = False,
) -> None:
    """Start a lab and run its proofs. For a lab that runs already, only the proofs are run.

    Waits for the BGP sessions and routes that the model predicts. Exit status 1: some did not come, or a proof failed.
    """
    if dry_run:
        from labkit.cli.bring_up import print_plan  # noqa: PLC0415

        print_plan(lab, variant)
        return
    engine = runtime_named(runtime)
    with engine.prepare(images.node_image().reference):
        # Loading this takes a third of a second, in which the runtime prepares itself.
        from labkit.cli.bring_up import bring_up  # noqa: PLC0415

        bring_up(lab, engine, variant, force=force)
