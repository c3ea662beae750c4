"""The service `bird`: it starts BIRD with a copy of its rendered configuration, and marks it as ready.

The copy is made once, so that what is changed in it holds when BIRD or its node starts again. BIRD greets whoever
connects to its socket once it runs by its configuration; with a mistake in it, BIRD logs that and ends.
"""

from __future__ import annotations

import os
import shutil
import socket

from labkit import linux
from labkit.daemons.bird.cli import GREETING, SOCKET
from labkit.inotify import MODIFY, Inotify

TYPE_CHECKING = False  # the module typing takes longer to import than all of this
if TYPE_CHECKING:
    from typing import NoReturn

RENDERED = "/etc/bird/labkit.conf"
CONF = "/etc/bird/bird.conf"
PID = "/run/bird/bird.pid"
READY = "/run/labkit-ready/bird"


def main() -> NoReturn:
    """Become BIRD; a child waits for its greeting."""
    if not os.path.exists(CONF):
        shutil.copyfile(RENDERED, f"{CONF}.new")
        os.rename(f"{CONF}.new", CONF)
    with open(PID, "w"):
        pass
    bird, inotify = os.getpid(), Inotify()
    inotify.watch(PID, MODIFY)
    if os.fork() == 0:
        linux.die_with_parent()
        if os.getppid() == bird:
            _mark_ready(inotify)
        os._exit(0)
    os.execv("/usr/sbin/bird", ["bird", "-f", "-c", CONF, "-P", PID])  # noqa: S606 - no shell is wanted


def _mark_ready(inotify: Inotify) -> None:
    """BIRD writes its number once it has read its configuration, and listens by then."""
    while os.path.getsize(PID) == 0:
        for _ in inotify.read():
            pass
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(SOCKET)
        if GREETING.match(connection.recv(1 << 10)):
            with open(READY, "w"):
                pass
