"""One row in which the running lab differs from the model."""

from __future__ import annotations

from dataclasses import dataclass

NOTHING = "-"


@dataclass(frozen=True, slots=True, order=True)
class Difference:
    """At `where`, what the model has for `prefix` and what is there; `-` for nothing.

    `prefix` is empty where it is not about one. `hint` is a command that shows it.
    """

    where: str
    prefix: str
    model: str
    there: str
    hint: str
