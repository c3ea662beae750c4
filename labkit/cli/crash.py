"""Bugs in labkit: the traceback is for those who fix it, so it goes to a file."""

from __future__ import annotations

import sys
import tempfile
import traceback
from types import TracebackType

from labkit import __version__
from labkit.cli.output import note


def report_bugs() -> None:
    """Write tracebacks to a file from now on, and print a sentence with its path."""
    sys.excepthook = _report


def _report(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    words = [f"labkit {__version__}: {sys.argv}\n", *traceback.format_exception(kind, error, trace)]
    try:
        with tempfile.NamedTemporaryFile("w", prefix="labkit-bug-", suffix=".txt", delete=False) as file:
            file.writelines(words)
    except OSError:
        note("".join(words))
        return
    note(f"this is a bug in labkit: {kind.__name__}: {error}")
    note(f"    Please report it with the details in {file.name}. `labkit list` shows the running labs.")
