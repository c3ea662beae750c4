"""`python3 -m labkit.routeserver.exabgp`: ExaBGP, and the policy process that it starts as a fork of it.

ExaBGP would start what its configuration names as a new interpreter, which imports again most of what is here. Instead
the child that is forked for it goes on as the keeper, on the pipes that it was given, and executes nothing.

Its BGP port it has from `labkit.start.listening`: peers that connected while it started are served, and not refused.
"""

from __future__ import annotations

import gc
import os
import shutil
import signal
import socket
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import ClassVar, NoReturn

from exabgp.application import server
from exabgp.bgp import timer
from exabgp.bgp.message import Notify
from exabgp.environment import base
from exabgp.reactor import delay, listener, loop, peer
from exabgp.reactor.api import processes
from exabgp.reactor.network.incoming import Incoming

from labkit.routeserver import keeper, wire
from labkit.routeserver.mends import mend

CONFIGURATION = Path("/etc/exabgp/exabgp.conf")
RUNNING_CONFIGURATION = Path("/run/exabgp.conf")
"""A copy, because peers that come and go while the lab runs change it."""

HELPER = "policy"
"""The name of the keeper's process in the configuration."""

BAD_PEER_AS = (2, 2)


def main() -> None:
    """Run ExaBGP until it ends; exits with its status."""
    running = Path(os.environ.setdefault("LABKIT_EXABGP_CONF", str(RUNNING_CONFIGURATION)))
    if not running.exists():
        shutil.copyfile(CONFIGURATION, running)
    base.ENVFILE = os.environ.get("EXABGP_ENVFILE", base.ENVFILE)  # it was read when the module was imported
    processes.preexec_helper = _become_keeper
    loop.Listener, loop.Peer, listener.Incoming = _Listener, _Peer, _Incoming
    mend()
    for module in (timer, delay, loop, peer):
        module.time = _steady_time()
    sys.argv = ["exabgp", str(running)]
    server.main()


def _steady_time() -> ModuleType:
    """The module `time` for ExaBGP's timers: one whose clock no NTP and no waking laptop sets.

    A step forward would end every session at once, a step back would hold up the keepalives for as long.
    """
    steady = ModuleType("time")
    vars(steady).update(vars(time), time=time.monotonic)
    return steady


class _Listener(listener.Listener):  # type: ignore[misc]
    """ExaBGP's listener, with the socket that `LABKIT_LISTENER` names among those that it has opened."""

    def __init__(self, reactor: loop.Reactor) -> None:
        super().__init__(reactor)
        _Incoming.reactor = reactor
        descriptor = os.environ.get("LABKIT_LISTENER")
        if descriptor:
            mine = socket.socket(fileno=int(descriptor))
            mine.setblocking(False)
            address, port = mine.getsockname()
            self._sockets[mine] = (address, port, "0.0.0.0", False)  # noqa: S104 - any peer, no MD5


class _Incoming(Incoming):  # type: ignore[misc]
    """A connection that a peer has opened. The worker is informed when it is refused, which ExaBGP does silently."""

    reactor: ClassVar[loop.Reactor]

    def notification(self, code: int, subcode: int, message: str) -> Iterator[bool]:
        """Refuse the connection: a generator, to be run, that sends the NOTIFICATION. ExaBGP runs not every one."""
        # What ExaBGP names `local` is the other end's address.
        self.reactor.processes.write(HELPER, wire.refusal_line(self.local, code, subcode))
        refusing: Iterator[bool] = super().notification(code, subcode, message)
        return refusing


class _Peer(peer.Peer):  # type: ignore[misc]
    """ExaBGP's session with a peer, whose `down` event has both ASNs where they differ."""

    def _close(self, message: str = "", error: object = "") -> None:
        if self.proto and isinstance(error, Notify) and (error.code, error.subcode) == BAD_PEER_AS:
            message += f" AS {int(self.proto.negotiated.peer_as)} for {int(self.neighbor['peer-as'])}"
        super()._close(message, error)


def _become_keeper() -> NoReturn:
    """Called in the child in which ExaBGP would execute its helper: standard input and output are the pipes."""
    code = 1
    try:
        os.setpgrp()
        gc.freeze()  # what holds ExaBGP's descriptors must not close ours of the same number
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGALRM, signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(number, signal.SIG_DFL)
        code = keeper.main()
    finally:
        if (problem := sys.exception()) is not None:
            traceback.print_exception(problem)
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
