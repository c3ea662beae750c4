"""The service `frr`: it starts FRR's daemons in their order, each with its configuration, and marks them as ready.

A daemon reads its part of /etc/frr/frr.conf when it starts, at boot as after a kill. The kernel reports that it has
done so (the file is closed); the daemon's next answer comes when it has made its configuration true. A mistake in it is
logged and never makes the daemon ready. staticd reads no file, and is known by the first line of its log.

mgmtd comes first, because zebra without it logs hundreds of errors a second. bgpd and staticd look for zebra once and
then again after 10 s, so they come last.

While they run, it gives the kernel back the routes that zebra does not, and bgpd another policy when an operator
wants one: the controller puts that into the platform folder.
"""

from __future__ import annotations

import os
import select
import sys

from labkit.daemons.errors import NoAnswer
from labkit.daemons.frr.config_files import DAEMONS, config_files, mistakes
from labkit.daemons.frr.policy_change import RESEND, policy_commands
from labkit.daemons.frr.vty import CONFIGURED, FOLDER, RUNNING, known_of, socket_of, vty
from labkit.daemons.statements import Statement, as_text, from_text, statements, updated
from labkit.inotify import CLOSE_NOWRITE, CLOSE_WRITE, MODIFY, MOVED_TO, Inotify
from labkit.start.lost_routes import LinkEvents, restore

CONF = "/etc/frr/frr.conf"
READY = "/run/labkit-ready"
SERVICES = "/run/labkit-services"
PLATFORM = "/run/labkit"
POLICY = f"{PLATFORM}/policy.conf"

_PARTS = {
    "mgmtd": "/etc/frr/mgmtd.conf",  # the last file that it reads, and it looks nowhere else
    "zebra": f"{FOLDER}/zebra.conf",
    "bgpd": f"{FOLDER}/bgpd.conf",
}
_STATICDS_LOG = f"{FOLDER}/staticd.log"
_ERRORS = {daemon: f"{FOLDER}/{daemon}.errors" for daemon in _PARTS}
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
        self._links = LinkEvents()

    def run(self) -> None:
        """Start the daemons, and mark them whenever they have read their configuration."""
        _write_parts()
        whole = self._inotify.watch(CONF, CLOSE_WRITE)
        platform = self._inotify.watch(PLATFORM, MOVED_TO) if os.path.isdir(PLATFORM) else None
        watches = {self._inotify.watch(file, CLOSE_NOWRITE): daemon for daemon, file in _PARTS.items()}
        _touch(_STATICDS_LOG)
        watches[self._inotify.watch(_STATICDS_LOG, MODIFY)] = "staticd"
        self._open("mgmtd")
        for daemon in DAEMONS:
            if os.path.exists(socket_of(daemon)):  # a former process of this service has started it
                self._has_read(daemon)
        while True:
            ready, _, _ = select.select([self._inotify.descriptor, self._links.descriptor], [], [])
            if self._links.descriptor in ready and self._links.up():
                restore()
            for number, _ in self._inotify.read() if self._inotify.descriptor in ready else ():
                if number == whole:
                    _write_parts()
                elif number == platform:
                    _write_parts()
                    self._change_policy()
                elif number in watches:
                    self._has_read(watches[number])

    def _open(self, daemon: str) -> None:
        if daemon not in self._gates and os.path.isdir(f"{SERVICES}/{daemon}"):
            self._gates[daemon] = os.open(f"{SERVICES}/{daemon}/gate", os.O_RDWR | os.O_CLOEXEC)

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
        if daemon in _ERRORS and os.path.exists(_ERRORS[daemon]):
            found = list(mistakes(_read(_ERRORS[daemon])))
            os.unlink(_ERRORS[daemon])
        for mistake in found:
            _say(f"{daemon} has not taken its configuration: {mistake}")
        if not found:
            _remember(daemon)
            _touch(f"{READY}/{daemon}")
        if daemon == "bgpd":
            self._change_policy()

    def _change_policy(self) -> None:
        """Give a bgpd that runs the policy that is wanted, if it has another; one that starts reads it."""
        policy = _read_policy()
        if not policy or not os.path.exists(f"{READY}/bgpd"):
            return
        try:
            with vty("bgpd") as connection:
                before = connection.run(RUNNING)
                commands = policy_commands(before, policy)
                if commands:
                    connection.run(("configure terminal", *commands, RESEND, "end"))
                    after = connection.run(RUNNING)
                    known = (
                        from_text(_read(known_of("bgpd"))) if os.path.exists(known_of("bgpd")) else statements(before)
                    )
                    _keep("bgpd", updated(known, statements(before), statements(after)))
        except NoAnswer as error:
            _say(f"bgpd has not taken its policy: {error}")
            return
        if commands:
            _touch(f"{READY}/bgpd")  # who withdraws prefixes for other reasons has to do so again


def _remember(daemon: str) -> None:
    """Keep the configuration that a daemon has read."""
    if daemon not in CONFIGURED:
        return
    try:
        with vty(daemon) as connection:
            _keep(daemon, statements(connection.run(RUNNING)))
    except NoAnswer as error:
        _say(f"what is changed in {daemon} by hand will not be known: {error}")


def _keep(daemon: str, found: list[Statement]) -> None:
    with open(f"{known_of(daemon)}.new", "w") as file:
        file.write(as_text(found))
    os.rename(f"{known_of(daemon)}.new", known_of(daemon))


def _write_parts() -> None:
    text, policy = _read(CONF), _read_policy()
    parts = config_files(text, _ERRORS)
    if policy:
        parts["bgpd"] += "".join(f"{command}\n" for command in policy_commands(text, policy))
    for daemon, part in parts.items():
        with open(_PARTS[daemon], "w") as file:
            file.write(part)


def _read_policy() -> str:
    """What bgpd advertises by since an operator has changed it; empty if that is as in frr.conf."""
    return _read(POLICY) if os.path.exists(POLICY) else ""


def _read(path: str) -> str:
    with open(path) as file:
        return file.read()


def _touch(path: str) -> None:
    """Make a file, or renew its time."""
    with open(path, "a"):
        os.utime(path)


def _say(text: str) -> None:
    sys.stderr.write(f"frr: {text}\n")
