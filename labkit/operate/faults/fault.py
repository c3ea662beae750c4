"""What every fault is: something that begins, ends and can be described."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from labkit.operate.look.client import LabClient
from labkit.runtimes.protocol import LabStatus


class Fault(ABC):
    """A fault of one kind at one target; derived classes are frozen dataclasses."""

    __slots__ = ()

    kind: ClassVar[str]
    """The kind's name, which no other kind has."""

    @abstractmethod
    def begin(self, client: LabClient, status: LabStatus) -> None:
        """Break the lab, which has this status. Harmless if it is broken in this way already.

        Raises:
            InvalidInput: the target does not exist.
            CheckFailed: it can't be broken.
        """

    @abstractmethod
    def end(self, client: LabClient, status: LabStatus) -> None:
        """Undo it: the lab is then as it was before. Harmless if there is nothing to undo; raises as `begin` does."""

    @abstractmethod
    def describe(self) -> str:
        """What is so while it lasts, as a clause without a full stop."""
