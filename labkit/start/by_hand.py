"""`by-hand DAEMON`: the statements in which a daemon's running configuration is not what labkit has given it, as JSON.

What labkit has given it is kept when the daemon has taken it: FRR's running configuration then, BIRD's file.
"""

from __future__ import annotations

import json
import socket
import sys

from labkit.daemons.bird.cli import KNOWN as BIRDS_KNOWN
from labkit.daemons.bird.cli import SOCKET, Cli, disabled
from labkit.daemons.errors import NoAnswer
from labkit.daemons.frr.vty import CONFIGURED, RUNNING, known_of, vty
from labkit.daemons.statements import Statement, difference, from_text, statements

BIRDS = "/etc/bird/bird.conf"


def main() -> None:
    """Print what was added and what was removed; nothing of a daemon that does not run."""
    added: list[Statement] = []
    removed: list[Statement] = []
    for known, running in _frr() if sys.argv[1] == "frr" else _bird():
        more, less = difference(known, statements(running))
        added += more
        removed += less
    if sys.argv[1] == "bird":
        added += _disabled()
    sys.stdout.write(json.dumps({"added": added, "removed": removed}))


def _frr() -> list[tuple[list[Statement], str]]:
    found = []
    for daemon in CONFIGURED:
        try:
            with open(known_of(daemon)) as file, vty(daemon) as connection:
                found.append((from_text(file.read()), connection.run(RUNNING)))
        except (FileNotFoundError, NoAnswer):
            continue
    return found


def _bird() -> list[tuple[list[Statement], str]]:
    try:
        with open(BIRDS_KNOWN) as known, open(BIRDS) as running:
            return [(statements(known.read()), running.read())]
    except FileNotFoundError:
        return []


def _disabled() -> list[Statement]:
    """The sessions that someone has disabled in BIRD's command line: no file has that."""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(SOCKET)
            shown = Cli(connection).run(("show protocols",))
    except (NoAnswer, OSError):
        return []
    return [(f"protocol bgp '{name}' {{", "disabled;") for name in disabled(shown)]
