"""Reading labkit's own small files, whatever has come in their place."""

from __future__ import annotations

import os
import stat
from pathlib import Path

LONGEST = 64 << 10
"""Bytes. A lab's record has a few hundred."""


def read_small_file(file: Path) -> str:
    """The text of a regular file. Nothing else is waited for or followed: no FIFO, no symbolic link.

    Raises:
        OSError: it is not there, is not to be read, or is a link.
        ValueError: it is not a regular file, too long, or not UTF-8.
    """
    # By its own opener, since `os.fdopen` of a folder fails and leaves the descriptor open.
    with open(file, "rb", opener=_open) as opened:
        if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
            raise ValueError("it is not a regular file")
        data = opened.read(LONGEST + 1)
    if len(data) > LONGEST:
        raise ValueError(f"it is longer than {LONGEST} bytes")
    return data.decode()


def _open(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)
