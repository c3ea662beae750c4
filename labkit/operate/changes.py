"""What a verb needs to know of a running lab to make changes of it."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

from labkit.azure.changes.base import Change
from labkit.azure.model import Azure
from labkit.lab.model import Lab
from labkit.lab.running import applied, cautions
from labkit.operate.look.client import LabClient
from labkit.operate.look.running import lab_of
from labkit.operate.records.record import Record


class Now:
    """A running lab and its Azure as it is now, each read when it is first needed."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self.client = LabClient(record)

    @cached_property
    def lab(self) -> Lab:
        """The lab as it was built.

        Raises:
            LabkitError: its file can't be read.
        """
        return lab_of(self.record)

    @cached_property
    def azure(self) -> Azure:
        """Azure's objects with all changes.

        Raises:
            CheckFailed: the controller does not answer.
        """
        return applied(self.lab, self.lab.azure, self.client.changes())

    def cautions(self, changes: Iterable[Change]) -> tuple[tuple[str, str], ...]:
        """What changes of the lab as it is bring that Azure takes although it does not work: texts and remedies."""
        return tuple(cautions(self.lab, self.azure, applied(self.lab, self.azure, changes)))

    def after(self, changes: Iterable[Change]) -> None:
        """Take changes for made, though they are only tried: those that follow see them."""
        self.azure = applied(self.lab, self.azure, changes)
