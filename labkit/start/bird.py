"""The service `bird`: it starts BIRD with a copy of its rendered configuration, and marks it as ready.

The copy is made once, so that what is changed in it holds when BIRD or its node starts again. BIRD greets whoever
connects to its socket once it runs by its configuration; with a mistake in it, BIRD logs that and ends.

While it runs, it gets another policy when an operator wants one: the controller puts that into the platform folder.
"""

from __future__ import annotations

import os
import shutil
import socket
import sys

from labkit import linux
from labkit.daemons.bird.cli import GREETING, KNOWN, SOCKET, Cli
from labkit.daemons.bird.policy_change import with_policy
from labkit.daemons.errors import NoAnswer
from labkit.inotify import MODIFY, MOVED_TO, Inotify

TYPE_CHECKING = False  # the module typing takes longer to import than all of this
if TYPE_CHECKING:
    from typing import NoReturn

RENDERED = "/etc/bird/labkit.conf"
CONF = "/etc/bird/bird.conf"
PID = "/run/bird/bird.pid"
READY = "/run/labkit-ready/bird"
PLATFORM = "/run/labkit"
POLICY = f"{PLATFORM}/policy.conf"


def main() -> NoReturn:
    """Become BIRD; a child waits for its greeting, and then for other policies."""
    for file in (KNOWN, CONF):
        if not os.path.exists(file):
            shutil.copyfile(RENDERED, f"{file}.new")
            os.rename(f"{file}.new", file)
    _take_policy()
    with open(PID, "w"):
        pass
    bird, inotify = os.getpid(), Inotify()
    inotify.watch(PID, MODIFY)
    platform = inotify.watch(PLATFORM, MOVED_TO)
    if os.fork() == 0:
        linux.die_with_parent()
        if os.getppid() == bird:
            _mark_ready(inotify)
            _follow(inotify, platform)
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


def _follow(inotify: Inotify, platform: int) -> None:
    """Give BIRD every policy that comes, for as long as it runs."""
    changed = True  # what came while it was starting
    while True:
        if changed and _take_policy():
            try:
                with socket.socket(socket.AF_UNIX) as connection:
                    connection.connect(SOCKET)
                    Cli(connection).run(("configure",))
            except (NoAnswer, OSError) as error:
                sys.stderr.write(f"bird: BIRD has not taken its policy: {error}\n")
            else:
                os.utime(READY)  # who withdraws prefixes for other reasons has to do so again
        changed = any(number == platform for number, _ in inotify.read())


def _take_policy() -> bool:
    """Put the policy that an operator wants into bird.conf; whether it had another one."""
    if not os.path.exists(POLICY):
        return False
    with open(POLICY) as file:
        policy = file.read()
    _put_policy(KNOWN, policy)
    return _put_policy(CONF, policy)


def _put_policy(path: str, policy: str) -> bool:
    with open(path) as file:
        before = file.read()
    after = with_policy(before, policy)
    if after == before:
        return False
    with open(f"{path}.new", "w") as file:
        file.write(after)
    os.rename(f"{path}.new", path)
    return True
