"""Whether a node lives, as the kernel knows it.

A node's init holds an exclusive lock on `alive` in its platform folder, and every process of the node inherits it.
The lock is free exactly when none of them is left, however they died; a blocked `flock` returns at that moment. A feed
that breaks shows less: its process may be on its way back while the BGP sessions stay up.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import threading
from collections.abc import Callable
from pathlib import Path


def is_alive(alive: Path) -> bool:
    """Whether any process of the node with this lock file lives now."""
    try:
        descriptor = os.open(alive, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def on_death(alive: Path, call: Callable[[], None]) -> None:
    """Call `call` in the running event loop once the node with this lock file is dead.

    Must be called from a running loop. The wait is a daemon thread in a blocking system call; it costs nothing.
    """
    loop = asyncio.get_running_loop()

    def wait() -> None:
        descriptor = os.open(alive, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH)
        finally:
            os.close(descriptor)
        if not loop.is_closed():
            loop.call_soon_threadsafe(call)

    threading.Thread(target=wait, name=f"alive {alive.parent.name}", daemon=True).start()
