"""A bug of labkit's own: a traceback is for those who mend it, so it goes to a file."""

from __future__ import annotations

import sys
import tempfile
import traceback
from types import TracebackType

from labkit import __version__
from labkit.cli.output import say


def report_bugs() -> None:
    """Write tracebacks to a file from now on, and say in a sentence where it is."""
    sys.excepthook = _report


def _report(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    words = [f"labkit {__version__}: {sys.argv}\n", *traceback.format_exception(kind, error, trace)]
    try:
        with tempfile.NamedTemporaryFile("w", prefix="labkit-bug-", suffix=".txt", delete=False) as file:
            file.writelines(words)
    except OSError:
        say("".join(words))
        return
    say(f"this is a bug of labkit's: {kind.__name__}: {error}")
    say(f"    Please report it with {file.name}, which says where. `labkit list` shows what runs.")
