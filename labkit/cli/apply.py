"""`labkit apply`: a list of changes, or an edited lab file, onto the running lab."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from labkit.azure.changes.base import Change
from labkit.cli.changing import Trial, change, changing, warn
from labkit.cli.output import LabOption, note, put, put_table
from labkit.operate.apply import Step, plan
from labkit.operate.changes import Now
from labkit.operate.look.running import running


@changing
def command(
    ctx: typer.Context,
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="A list of changes, as `labkit changes --format json` prints it (- reads standard input); "
            "or the lab file, edited.",
        ),
    ],
    variant: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="A variant of the lab file. Default: the one that runs.", show_default=False),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan only.")] = False,
    lab: LabOption = None,
) -> None:
    """Carry out a list of changes, or make the running lab match its edited file. All is done, or nothing.

    An edited file is reached by the least disruptive changes: nothing is deleted to be created again.

    Gateways and connections that the file lacks are deleted, and those that it has again are created.

    What needs new nodes or links is refused. `labkit whatif apply FILE` predicts what follows.
    """

    def make(now: Now) -> Sequence[Change]:
        return [step.change for step in plan(now, file, variant)]

    if isinstance(ctx.obj, Trial):
        change(ctx, lab, make)
        return
    now = Now(running(lab)[0])
    steps = plan(now, file, variant)
    _show(steps)
    if steps and not dry_run:
        changes = [step.change for step in steps]
        cautions = now.cautions(changes)
        now.client.change(*changes)
        warn(cautions)
        note(f"{len(steps)} {'change' if len(steps) == 1 else 'changes'} made. Undo all: labkit reset")


def _show(steps: Sequence[Step]) -> None:
    if steps:
        rows = [(step.change.kind, step.change.subject, step.what, step.reason) for step in steps]
        put_table(("Kind", "Object", "Change", "Reason"), rows)
    else:
        put("Nothing to change.")
