"""The `labkit` command: ready to be interrupted before it loads anything, and with words for whatever ends it."""

from __future__ import annotations

import io
import sys

from labkit.operate.interrupt import Interrupted, interruptible, settled

INTERRUPTED = 130


def main() -> None:
    """Run the command line and leave with its exit status."""
    try:
        interruptible()
        status = _run()
    except Interrupted:
        sys.stderr.write("interrupted.\n")
        status = INTERRUPTED
    settled()
    sys.exit(status)


def _run() -> int:
    from labkit.cli.app import run  # noqa: PLC0415 - loading it takes long enough for a Ctrl-C
    from labkit.cli.crash import report_bugs  # noqa: PLC0415

    report_bugs()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(
                errors="backslashreplace"
            )  # a check mark on an ISO 8859 terminal, a name that is no text
    return run(sys.argv[1:])


if __name__ == "__main__":
    main()
