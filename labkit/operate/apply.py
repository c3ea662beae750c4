"""`labkit apply`: the changes that a file holds, or that make a running lab match an edited lab file."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from labkit.azure.changes.base import Change
from labkit.azure.changes.difference import difference
from labkit.azure.changes.registry import from_json
from labkit.azure.changes.route_servers import PutPeer
from labkit.errors import InvalidInput
from labkit.lab.edited import freed_addresses, obstacles
from labkit.lab.kept import with_addresses_of
from labkit.lab.load import LONGEST, decoded, file_text, load_text
from labkit.lab.model import Lab
from labkit.lab.running import carry_out
from labkit.operate.changes import Now
from labkit.operate.labs.lifecycle import Reporter
from labkit.operate.records.lab_files import find_lab_file
from labkit.operate.reshape import Reshaping, planned, reshape

STANDARD_INPUT = "-"


@dataclass(frozen=True, slots=True)
class Step:
    """One change of a plan: what it does, and why it is in it."""

    change: Change
    what: str
    reason: str


@dataclass(frozen=True, slots=True)
class GivenFile:
    """What `labkit apply` is given: a text, its name in messages, and its path unless it came from standard input."""

    text: str
    name: str
    path: Path | None = None

    @property
    def is_list(self) -> bool:
        """Whether it is a list of changes; else it is a lab file."""
        return self.text.lstrip().startswith("[")


def read(file: str) -> GivenFile:
    """Read a file that a user names, `-` for standard input.

    Raises:
        InvalidInput: there is none, or it can't be read.
    """
    if file == STANDARD_INPUT:
        return GivenFile(decoded(sys.stdin.buffer.read(LONGEST + 1), "standard input"), "standard input")
    path = find_lab_file(file)
    return GivenFile(file_text(path), str(path), path)


def reshaping(now: Now, given: GivenFile, variant: str | None) -> Reshaping | None:
    """How a running lab becomes that of an edited lab file; None if changes of what is there suffice.

    Raises:
        LabkitError: the file has mistakes, or the lab can't become that one.
    """
    return planned(now.record, given.text, given.name, variant) if _is_another_lab(now, given, variant) else None


def follow(now: Now, given: GivenFile, variant: str | None, reporter: Reporter) -> Reshaping | None:
    """Make a running lab match a file, all or nothing: by changes of what is there if they suffice, else by `reshape`.

    Returns how the lab became another one, if it did; it may still converge.

    Raises:
        LabkitError: it can't be made so; it is as it was.
    """
    if _is_another_lab(now, given, variant):
        return reshape(now.record, given.text, given.name, reporter, variant=variant, lab_file=given.path)
    now.client.change(*(step.change for step in plan(now, given, variant)))
    return None


def _is_another_lab(now: Now, given: GivenFile, variant: str | None) -> bool:
    """Whether a file needs nodes, links or settings that no change of the running lab can make."""
    return not given.is_list and bool(obstacles(now.lab, _edited(now, given, variant)))


def plan(now: Now, given: GivenFile, variant: str | None) -> tuple[Step, ...]:
    """The changes by which a running lab follows a list of them as JSON, or a lab file, judged as the controller does.

    `variant` is that of the lab file; None is the one that runs.

    Raises:
        InvalidInput: it is neither, it needs nodes or links that the lab has not, or Azure would refuse it.
    """
    if given.is_list:
        changes = _changes(given.name, given.text)
        reasons = [f"change {number} of {given.name}" for number in range(1, len(changes) + 1)]
    else:
        edited = _edited(now, given, variant)
        _must_be_buildable(now.lab, edited)
        changes = difference(now.azure, edited.azure)
        reasons = list(_reasons(now, edited, changes))
    done = carry_out(now.lab, now.azure, changes).done
    return tuple(Step(each.change, each.what, reason) for each, reason in zip(done, reasons, strict=True))


def undo(now: Now) -> tuple[Change, ...]:
    """The changes that make a running lab's Azure match its own file."""
    return difference(now.azure, now.lab.azure)


def _edited(now: Now, given: GivenFile, variant: str | None) -> Lab:
    """The lab of an edited file, in which what stays has the addresses that it was built with."""
    variant = now.record.variant if variant is None else variant
    text = with_addresses_of(now.lab, given.text, given.name, variant)
    edited = load_text(text, given.name, variant)
    freed = freed_addresses(now.lab, edited)
    return load_text(text, given.name, variant, freed) if freed else edited


def _changes(name: str, text: str) -> tuple[Change, ...]:
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        text = f"{name}, line {error.lineno}: {error.msg[:1].lower()}{error.msg[1:]}."
        raise InvalidInput(text, "`labkit changes --format json` prints such a list.") from None
    except RecursionError:
        raise InvalidInput(
            f"{name}: too many brackets.", "`labkit changes --format json` prints such a list."
        ) from None
    try:
        return from_json(document)
    except InvalidInput as wrong:
        raise InvalidInput(f"{name}: {wrong.message}", wrong.remedy) from None


def _must_be_buildable(lab: Lab, edited: Lab) -> None:
    found = obstacles(lab, edited)
    if found:
        raise InvalidInput(
            "this needs other nodes and links than the running lab has.\n" + ".\n".join(found) + ".",
            "`labkit whatif` tries changes of what is there. `labkit apply` makes and removes nodes and links.",
        )


def _reasons(now: Now, edited: Lab, changes: tuple[Change, ...]) -> Iterator[str]:
    """Why each change is needed: the file was edited, the lab was changed while it runs, or both."""
    in_lab = {(each.kind, each.subject, each.part) for each in difference(now.lab.azure, now.azure)}
    in_file = {(each.kind, each.subject, each.part) for each in difference(now.lab.azure, edited.azure)}
    for change in changes:
        key = (change.kind, change.subject, change.part)
        if key in in_file:
            reason = "the file is edited" + (", and the lab was changed" if key in in_lab else "")
        elif key in in_lab:
            reason = "the lab was changed while it ran"
        else:
            reason = f"comes with {change.kind} {change.subject}"
        yield reason + _by_hand(now.lab, change)


def _by_hand(lab: Lab, change: Change) -> str:
    """What an operator has to do in a node for a change to have an effect."""
    match change:
        case PutPeer(server, name) if name in lab.nva and server not in lab.nva[name].route_servers:
            return f"; configure BGP in {name} for it: labkit shell {name}"
    return ""
