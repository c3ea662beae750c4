"""BGP timers of those that have any. They are no kind by themselves."""

from __future__ import annotations

from labkit.lab.file.draft import Draft
from labkit.lab.file.schema_types import Timers
from labkit.lab.file.yaml_source import Path

MIN_HOLD = 3
"""RFC 4271 §4.2: a hold time is zero or at least three seconds. Zero would keep a dead neighbour's routes for ever."""


def check_timers(draft: Draft, place: Path, timers: Timers) -> None:
    """Notes timers of the object at `place` that BGP does not allow, or that would end sessions by themselves."""
    path, about = (*place, "timers"), draft.subject(place)[0]
    keepalive, hold = timers.keepalive, timers.hold
    if hold < MIN_HOLD:
        text = f"{about}: a hold time of {hold} s is too short."
        draft.error((*path, "hold"), text, f"BGP allows {MIN_HOLD} s and more; three times the keepalive is usual.")
    elif keepalive > hold and not draft.broken(path):
        text = f"{about}: keepalives every {keepalive} s come too late for a hold time of {hold} s."
        remedy = f"Use a third of the hold time: timers: {{keepalive: {hold // 3}, hold: {hold}}}."
        draft.error((*path, "keepalive"), text, remedy)
