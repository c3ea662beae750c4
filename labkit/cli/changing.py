"""Verbs that change a running lab: each makes changes; they go to the controller from here, or `whatif` tries them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import typer

from labkit.azure.changes.base import Change
from labkit.azure.changes.names import as_known
from labkit.cli.output import note, note_done
from labkit.errors import InvalidInput
from labkit.operate.changes import Now
from labkit.operate.look.running import running
from labkit.predict.whatif.prepend import Prepend

Make = Callable[[Now], Sequence[Change]]
"""Makes the changes of a command line, given the lab as it is."""

Command = TypeVar("Command", bound=Callable[..., Any])

_CHANGING: set[Callable[..., Any]] = set()


def changing(command: Command) -> Command:
    """Mark a command as one that changes a running lab, so that `labkit whatif` can try it."""
    _CHANGING.add(command)
    return command


class Trial:
    """Changes that are tried together: where `whatif` runs a command, they end here and not at the controller.

    Attributes:
        changes: of Azure's objects.
        prepends: of NVAs.
        titles: what each of them does, in the order of the command lines.
    """

    def __init__(self, lab: str | None, now: Now | None = None) -> None:
        """`lab` is the one that `whatif` names; `now` what is known of it, for tests."""
        self._lab, self._now = lab, now
        self.changes: list[Change] = []
        self.prepends: list[Prepend] = []
        self.titles: list[str] = []

    def now(self, lab: str | None = None) -> Now:
        """The lab with what was tried so far. A command may name it; all must name the same.

        Raises:
            LabkitError: there is no such lab, or the commands name several.
        """
        if self._now is None:
            self._lab = self._lab or lab
            self._now = Now(running(self._lab)[0])
        if lab is not None and lab != self._now.record.lab:
            raise InvalidInput(f"labkit whatif: labs {self._now.record.lab} and {lab}.", "Try changes of one lab.")
        return self._now

    def add(self, lab: str | None, make: Make) -> None:
        """Add what a command makes.

        Raises:
            LabkitError: the command can't make it.
        """
        now = self.now(lab)
        for made in make(now):
            change = as_known(made, now.azure)
            self.titles.append(f"{change.subject}: {change.describe(now.azure)}")
            now.after([change])
            self.changes.append(change)

    def prepend(self, change: Prepend) -> None:
        """Add the change of an NVA."""
        self.titles.append(change.title)
        self.prepends.append(change)


def change(ctx: typer.Context, lab: str | None, make: Make) -> None:
    """Send the changes of a command to the controller and print what they did; or let `whatif` try them.

    Raises:
        LabkitError: they can't be made, or are refused.
    """
    if isinstance(ctx.obj, Trial):
        ctx.obj.add(lab, make)
        return
    now = Now(running(lab)[0])
    changes = make(now)
    if changes:
        cautions = now.cautions(changes)
        for done in now.client.change(*changes):
            note_done(done)
        warn(cautions)


def warn(cautions: Iterable[tuple[str, str]]) -> None:
    """Print what Azure takes although it does not work, each with its remedy."""
    for text, remedy in cautions:
        note(f" warning: {text}\n    {remedy}".rstrip())


def only_changing(app: typer.Typer) -> typer.Typer:
    """An application with those commands of another one that change a running lab."""
    found = typer.Typer(help=app.info.help, no_args_is_help=True)
    found.registered_commands = [each for each in app.registered_commands if each.callback in _CHANGING]
    for group in app.registered_groups:
        if group.typer_instance is not None:
            inner = only_changing(group.typer_instance)
            if inner.registered_commands:
                found.add_typer(inner, name=group.name)
    return found
