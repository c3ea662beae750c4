"""Bugs in labkit: the traceback is for those who fix it, so it goes to a file."""

from __future__ import annotations

import sys
import tempfile
import threading
import traceback

from labkit import __version__
from labkit.cli.output import note

STATUS = 1
"""The exit status of a command that a bug has ended."""


def report_bugs_of_threads() -> None:
    """Report what ends a thread from now on, in place of its traceback."""

    def report_ended(ended: threading.ExceptHookArgs) -> None:
        if ended.exc_value is not None:
            report(ended.exc_value)

    threading.excepthook = report_ended


def report(error: BaseException) -> None:
    """Write an unexpected error to a file, and print a paragraph with its path."""
    words = [f"labkit {__version__}: {sys.argv}\n", *traceback.format_exception(error)]
    try:
        with tempfile.NamedTemporaryFile("w", prefix="labkit-bug-", suffix=".txt", delete=False) as file:
            file.writelines(words)
    except OSError:
        note("".join(words))
        return
    note(f"this is a bug in labkit: {type(error).__name__}: {error}")
    note(f"    Please report it with the details in {file.name}. `labkit list` shows the running labs.")
