"""Runs a command, sends it a signal, and sees who survives: `python undertaker.py SIGNAL SECONDS GRACE -- COMMAND...`.

It is the reaper of all the command's descendants, however they detach themselves, so its children at the end are those
that were left behind. Prints JSON: the exit status, what the command said, and the survivors after `GRACE` seconds; at
once if the command has ended well, since what it leaves behind is meant to live.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36


def children() -> list[int]:
    return [int(pid) for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text().split()]


def reap() -> None:
    while children() and os.waitpid(-1, os.WNOHANG)[0]:
        pass


def survivors(within: float) -> list[str]:
    deadline = time.monotonic() + within
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])  # one that ends from here on can be waited for
    while True:
        reap()
        left, seconds = children(), deadline - time.monotonic()
        if not left or seconds <= 0:
            return [Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ") for pid in left]
        signal.sigtimedwait([signal.SIGCHLD], seconds)


def main() -> None:
    number, seconds, grace = signal.Signals[sys.argv[1]], float(sys.argv[2]), float(sys.argv[3])
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    process = subprocess.Popen(sys.argv[sys.argv.index("--") + 1 :], stderr=subprocess.PIPE, text=True)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(number)
    _, said = process.communicate()
    print(
        json.dumps(
            {"status": process.returncode, "said": said, "survivors": survivors(grace if process.returncode else 0.0)}
        )
    )


if __name__ == "__main__":
    main()
