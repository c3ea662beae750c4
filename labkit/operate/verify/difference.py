"""One row in which the running lab is not what the model says."""

from __future__ import annotations

from dataclasses import dataclass

NOTHING = "-"


@dataclass(frozen=True, slots=True, order=True)
class Difference:
    """At `where`, what the model says of `prefix` and what is there; `-` for nothing.

    `prefix` is empty where it is not about one. `hint` is a command that shows it.
    """

    where: str
    prefix: str
    model: str
    there: str
    hint: str
