"""Changes by the command lines that make them, as `labkit whatif` reads them, of a lab that does not run."""

from __future__ import annotations

import shlex

from labkit.azure.model import Azure
from labkit.cli.changing import Trial
from labkit.cli.whatif import attempt
from labkit.lab.model import Lab
from labkit.operate.changes import Now
from labkit.operate.records.record import Record


def trial(words: str, lab: Lab, azure: Azure | None = None) -> Trial:
    """What command lines, a comma between them, would make of a lab whose Azure is `azure`, or its file's."""
    now = Now(Record(lab.name, "sandbox", "", "", 0.0))
    now.__dict__.update(lab=lab, azure=lab.azure if azure is None else azure)
    found = Trial(None, now)
    attempt(found, shlex.split(words))
    return found
