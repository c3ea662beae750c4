"""The lab that a verb acts on, if it lives."""

from __future__ import annotations

from labkit.errors import CheckFailed
from labkit.operate import record as records
from labkit.operate.record import Record
from labkit.runtimes.protocol import LabStatus
from labkit.runtimes.select import runtime


def running(name: str | None) -> tuple[Record, LabStatus]:
    """The lab called `name`, or the only one there is, and what its runtime says of it.

    Raises:
        InvalidInput: there is no such lab, or none, or several to choose from.
        CheckFailed: it is dead.
    """
    record = records.the_lab(name)
    if not record.runtime:
        raise damaged(record)
    found = inspect(record)
    if found is None or found.state == "dead" or not found.nodes:
        if found is not None and found.state == "deploying":
            raise CheckFailed(f"lab {record.lab} is still booting.", "Wait until `labkit up` has ended.")
        raise CheckFailed(
            f"lab {record.lab} is dead: its processes were killed, or the machine was restarted.",
            f"Clear it away: labkit down {record.lab}"
            + (f"    Or bring it up anew: labkit up {record.lab_file}" if record.lab_file else ""),
        )
    return record, found


def inspect(record: Record) -> LabStatus | None:
    """What the lab's runtime says of it; None if it knows nothing of the lab, or the record is lost."""
    return runtime(record.runtime).inspect(record.lab) if record.runtime else None


def damaged(record: Record) -> CheckFailed:
    """The error for a lab whose record can't be read."""
    return CheckFailed(
        f"the record of lab {record.lab} is damaged: {record.directory / records.FILE} can't be read.",
        f"Clear the lab away: labkit down {record.lab}",
    )
