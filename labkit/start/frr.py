"""The service `frr`: it starts FRR's daemons in their order, each with its configuration, and marks them as ready.

A daemon reads its part of /etc/frr/frr.conf when it starts, at boot as after a kill. The kernel reports that it has
done so (the file is closed); the daemon's next answer comes when it has made its configuration true. A mistake in it is
logged and never makes the daemon ready. staticd reads no file, and is known by the first line of its log.

mgmtd comes first, because zebra without it logs hundreds of errors a second. bgpd and staticd look for zebra once and
then again after 10 s, so they come last.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from labkit.daemons.errors import NoAnswer
from labkit.daemons.frr.config_files import DAEMONS, config_files, mistakes
from labkit.daemons.frr.vty import FOLDER, vty
from labkit.inotify import CLOSE_NOWRITE, CLOSE_WRITE, MODIFY, Inotify

CONF = Path("/etc/frr/frr.conf")
READY = Path("/run/labkit-ready")
SERVICES = Path("/run/labkit-services")

_PARTS = {
    "mgmtd": CONF.with_name("mgmtd.conf"),  # the last file that it reads, and it looks nowhere else
    "zebra": FOLDER / "zebra.conf",
    "bgpd": FOLDER / "bgpd.conf",
}
_STATICDS_LOG = FOLDER / "staticd.log"
_ERRORS = {daemon: FOLDER / f"{daemon}.errors" for daemon in _PARTS}
_STARTED_BY = {"mgmtd": ("zebra",), "zebra": ("staticd", "bgpd")}
_NO_ERRORS_FILE = ("configure terminal", "no log file", "end")


def main() -> None:
    """Serve until killed. The daemons run on meanwhile."""
    Starter().run()


class Starter:
    """Opens the daemons' gates. A gate is open as long as its other end is held."""

    def __init__(self) -> None:
        self._gates: dict[str, int] = {}
        self._inotify = Inotify()

    def run(self) -> None:
        """Start the daemons, and mark them whenever they have read their configuration."""
        _write_parts()
        whole = self._inotify.watch(str(CONF), CLOSE_WRITE)
        watches = {self._inotify.watch(str(file), CLOSE_NOWRITE): daemon for daemon, file in _PARTS.items()}
        _STATICDS_LOG.touch()
        watches[self._inotify.watch(str(_STATICDS_LOG), MODIFY)] = "staticd"
        self._open("mgmtd")
        for daemon in DAEMONS:
            if (FOLDER / f"{daemon}.vty").exists():  # a former process of this service has started it
                self._has_read(daemon)
        while True:
            for number, _ in self._inotify.read():
                if number == whole:
                    _write_parts()
                elif number in watches:
                    self._has_read(watches[number])

    def _open(self, daemon: str) -> None:
        if daemon not in self._gates and (SERVICES / daemon).is_dir():
            self._gates[daemon] = os.open(SERVICES / daemon / "gate", os.O_RDWR | os.O_CLOEXEC)

    def _has_read(self, daemon: str) -> None:
        try:
            with vty(daemon) as connection:
                connection.run(_NO_ERRORS_FILE)
        except NoAnswer as error:
            _say(f"{daemon} has not taken its configuration: {error}")
            return
        for other in _STARTED_BY.get(daemon, ()):
            self._open(other)
        found = []
        if daemon in _ERRORS and _ERRORS[daemon].exists():
            found = list(mistakes(_ERRORS[daemon].read_text()))
            _ERRORS[daemon].unlink()
        for mistake in found:
            _say(f"{daemon} has not taken its configuration: {mistake}")
        if not found:
            (READY / daemon).touch()


def _write_parts() -> None:
    parts = config_files(CONF.read_text(), {daemon: str(file) for daemon, file in _ERRORS.items()})
    for daemon, part in parts.items():
        _PARTS[daemon].write_text(part)


def _say(text: str) -> None:
    sys.stderr.write(f"frr: {text}\n")
