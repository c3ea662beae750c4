"""The `labkit` command: interruptible before it loads anything, and with a message for whatever ends it."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import suppress

from labkit.operate.labs.interrupt import Interrupted, interruptible, settled

INTERRUPTED = 130


def main() -> None:
    """Run the command line and leave with its exit status."""
    _open_standard_streams()
    try:
        interruptible()
        status = _run_or_report()
    except Interrupted:
        with suppress(OSError):
            sys.stderr.write("interrupted.\n")
        status = INTERRUPTED
    settled()
    # At once: while the interpreter shuts down, a late SIGTERM would still kill it, and a lab that is up would look
    # as if it had failed; and threads that an interruption left running would have to be waited for.
    os._exit(status)


def _run_or_report() -> int:
    # Not by sys.excepthook: typer sets that to its own.
    try:
        return _run()
    except Exception as bug:
        if any(isinstance(cause, Interrupted) for cause in _causes(bug)):
            raise Interrupted from bug
        from labkit.cli.crash import STATUS, report  # noqa: PLC0415

        report(bug)
        return STATUS


def _causes(error: BaseException) -> Iterator[BaseException]:
    """What an error was raised from: Python turns whatever interrupts the making of a class into a RuntimeError."""
    while (cause := error.__cause__ or error.__context__) is not None:
        yield cause
        error = cause


def _run() -> int:
    from labkit.cli.app import run  # noqa: PLC0415 - loading it takes long enough for a Ctrl-C
    from labkit.cli.crash import report_bugs_of_threads  # noqa: PLC0415
    from labkit.cli.output import note  # noqa: PLC0415
    from labkit.patience import show_waits  # noqa: PLC0415

    report_bugs_of_threads()
    show_waits(lambda text: note(f" {text}"))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(
                errors="backslashreplace"
            )  # a check mark on an ISO 8859 terminal, a file name that is not valid UTF-8
    return run(sys.argv[1:])


def _open_standard_streams() -> None:
    """Where the caller has closed standard input, output or error, nothing is in its place.

    Else the first files that labkit opens would be, and what nodes' commands read and write would be theirs.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            nowhere = os.open(os.devnull, os.O_RDWR)  # the lowest number that is free, which is this one's
            os.set_inheritable(nowhere, True)
            setattr(sys, name, os.fdopen(nowhere, "r" if number == 0 else "w"))


if __name__ == "__main__":
    main()
