"""`labkit apply`: a list of changes, or an edited lab file, onto the running lab."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from labkit.azure.changes.base import Change
from labkit.cli.changing import Trial, change, changing, warn
from labkit.cli.output import LabOption, note, put, put_table, span
from labkit.cli.progress import reporter
from labkit.cli.results import failures
from labkit.operate.apply import GivenFile, follow, plan, read, reshaping
from labkit.operate.changes import Now
from labkit.operate.diff.tables import table_checks
from labkit.operate.labs import lifecycle
from labkit.operate.labs.interrupt import settled
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

    Nodes and links that the file has and the lab has not are made, and those that are gone are removed. The rest keeps
    running.

    `labkit whatif apply FILE` predicts what follows, without new nodes and links.
    """

    def make(now: Now) -> Sequence[Change]:
        return [step.change for step in plan(now, read(file), variant)]

    if isinstance(ctx.obj, Trial):
        change(ctx, lab, make)
        return
    now, given = Now(running(lab)[0]), read(file)
    needed = reshaping(now, given, variant)
    if needed is not None:
        _show([(step.kind, step.name, step.what, step.reason) for step in needed.steps])
        if not dry_run:
            _reshape(now, given, variant)
        return
    steps = plan(now, given, variant)
    _show([(step.change.kind, step.change.subject, step.what, step.reason) for step in steps])
    if steps and not dry_run:
        cautions = now.cautions(step.change for step in steps)
        follow(now, given, variant, lifecycle.Silent())
        warn(cautions)
        note(f"{len(steps)} {'change' if len(steps) == 1 else 'changes'} made. Undo all: labkit reset")


def _reshape(now: Now, given: GivenFile, variant: str | None) -> None:
    """Make the running lab that of the file, and run its proofs.

    Raises:
        LabkitError: it can't become that one.
        typer.Exit: with status 1: a proof does not hold.
    """
    with reporter() as progress:
        done = follow(now, given, variant, progress)
        assert done is not None
        outcomes = lifecycle.prove(done.edited.lab, done.record, progress, table_checks(done.edited.lab))
    settled()  # the lab is changed: a late Ctrl-C must not look as if it were not
    record = done.record
    if bad := failures(outcomes):
        note(f"\n {record.lab} is changed, but {len(bad)} of {len(outcomes)} checks failed.  See: labkit status")
        raise typer.Exit(1)
    note(f"\n {record.lab} is the lab of {given.name} now, in {span(progress.total)}.")
    if done.edited.text != given.text:
        note(f" Machines keep their addresses, though the file would give them others: {record.source} has them.")


def _show(rows: Sequence[tuple[str, str, str, str]]) -> None:
    if rows:
        put_table(("Kind", "Object", "Change", "Reason"), rows)
    else:
        put("Nothing to change.")
