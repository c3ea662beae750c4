"""The lab that a verb acts on, and whether it lives."""

from __future__ import annotations

from typing import TYPE_CHECKING

from labkit.errors import CheckFailed
from labkit.operate.look.client import CONTROLLER, LabClient
from labkit.operate.records import record as records
from labkit.operate.records.lab_files import name_in_file
from labkit.operate.records.others import others
from labkit.operate.records.record import Record
from labkit.paths import CONTROLLERS_LAB_FILE
from labkit.runtimes.protocol import LabStatus
from labkit.runtimes.select import runtime

if TYPE_CHECKING:
    from labkit.lab.load import Loaded
    from labkit.lab.model import Lab


def the_lab(name: str | None) -> Record:
    """The lab called `name`, or in the file `name`, or the only one there is; one's own before others. It may be dead.

    Raises:
        InvalidInput: there is no such lab, or none, or several to choose from.
    """
    own = records.everything()
    if (name is None and own) or any(record.lab == name for record in own):
        return records.choose(name, own)
    there = [*own, *others(own)]
    if name is not None and all(record.lab != name for record in there):
        name = name_in_file(name) or name
    return records.choose(name, there)


def lab_of(record: Record) -> Lab:
    """The lab as its file has it. A lab of another user is asked for its file.

    Raises:
        LabkitError: it can't be read.
    """
    return loaded(record).lab


def loaded(record: Record) -> Loaded:
    """The lab's file, in the variant that runs, as `lab_of`.

    Raises:
        LabkitError: it can't be read.
    """
    # The lab file's schema takes long to load, and `labkit status` does without.
    from labkit.lab.load import read_text  # noqa: PLC0415

    name = f"lab {record.lab}"
    if record.lab_file:
        return read_text(record.source.read_text(encoding="utf-8"), name, record.variant)
    return read_text(controllers_text(record), name)


def controllers_text(record: Record) -> str:
    """The file of a lab alone, its variant merged into it, as the lab's controller has it.

    Raises:
        LabkitError: it can't be read.
    """
    done = LabClient(record).run(CONTROLLER, "cat", CONTROLLERS_LAB_FILE)
    if done.rc != 0:
        raise CheckFailed(
            f"the lab file of lab {record.lab} can't be read: {done.stderr.strip()}",
            f"Remove the lab: labkit down {record.lab}",
        )
    return done.stdout


def running(name: str | None) -> tuple[Record, LabStatus]:
    """The lab called `name`, or the only one there is, and its status in its runtime.

    Raises:
        InvalidInput: there is no such lab, or none, or several to choose from.
        CheckFailed: it is dead.
    """
    record = the_lab(name)
    if not record.runtime:
        raise damaged(record)
    found = inspect(record)
    if found is None or found.state == "dead" or not found.nodes:
        if found is not None and found.state == "deploying":
            raise CheckFailed(f"lab {record.lab} is still booting.", "Wait until `labkit up` has ended.")
        raise CheckFailed(
            f"lab {record.lab} is dead: its processes were killed, or the machine was restarted.",
            f"Remove it: labkit down {record.lab}"
            + (f"    Or start it again: labkit up {record.lab_file}{_option(record)}" if record.lab_file else ""),
        )
    return record, found


def _option(record: Record) -> str:
    return f" --variant {record.variant}" if record.variant else ""


def inspect(record: Record) -> LabStatus | None:
    """The lab's status in its runtime; None if that does not know the lab, or the record is lost."""
    return runtime(record.runtime).inspect(record.lab) if record.runtime else None


def damaged(record: Record) -> CheckFailed:
    """The error for a lab whose record can't be read."""
    return CheckFailed(
        f"the record of lab {record.lab} is damaged: {record.problem}.",
        f"Remove the lab: labkit down {record.lab}",
    )
