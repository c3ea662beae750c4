"""`labkit apply`: the changes that a file holds, or that make a running lab match an edited lab file."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from labkit.azure.changes.base import Change
from labkit.azure.changes.difference import difference
from labkit.azure.changes.registry import from_json
from labkit.azure.changes.route_servers import PutPeer
from labkit.errors import InvalidInput
from labkit.lab.edited import freed_addresses, obstacles
from labkit.lab.load import LONGEST, decoded, file_text, load_text
from labkit.lab.model import Lab
from labkit.lab.running import carry_out
from labkit.operate.changes import Now
from labkit.operate.records.lab_files import find_lab_file

STANDARD_INPUT = "-"


@dataclass(frozen=True, slots=True)
class Step:
    """One change of a plan: what it does, and why it is in it."""

    change: Change
    what: str
    reason: str


def plan(now: Now, file: str, variant: str | None) -> tuple[Step, ...]:
    """What `labkit apply FILE` would do to a running lab, judged as the controller judges it.

    `file` is a list of changes as JSON (`-`: from standard input), or a lab file, in its variant `variant`: without
    one, in the variant that runs.

    Raises:
        InvalidInput: the file is neither, it needs nodes or links that the lab has not, or Azure would refuse it.
    """
    name, text = _read(file)
    if text.lstrip().startswith("["):
        changes = _changes(name, text)
        reasons = [f"change {number} of {name}" for number in range(1, len(changes) + 1)]
    else:
        variant = now.record.variant if variant is None else variant
        edited = load_text(text, name, variant)
        if freed := freed_addresses(now.lab, edited):
            edited = load_text(text, name, variant, freed)
        _must_be_buildable(now.lab, edited)
        changes = difference(now.azure, edited.azure)
        reasons = list(_reasons(now, edited, changes))
    done = carry_out(now.lab, now.azure, changes).done
    return tuple(Step(each.change, each.what, reason) for each, reason in zip(done, reasons, strict=True))


def undo(now: Now) -> tuple[Change, ...]:
    """The changes that make a running lab's Azure match its own file."""
    return difference(now.azure, now.lab.azure)


def _read(file: str) -> tuple[str, str]:
    if file == STANDARD_INPUT:
        return (name := "standard input"), decoded(sys.stdin.buffer.read(LONGEST + 1), name)
    path = find_lab_file(file)
    return str(path), file_text(path)


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
            "the running lab can't be made to match the file; nothing was changed.\n" + ".\n".join(found) + ".",
            f"Start it from the file: labkit down {lab.name}, then labkit up",
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
