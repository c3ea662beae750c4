"""The firewall's main loop: take the rules that the controller sends, and make the kernel's table so."""

from __future__ import annotations

import logging
import socket
import subprocess
from collections.abc import Iterable
from functools import partial
from typing import TypeAlias

from labkit.feed.channel import Applied
from labkit.feed.client import Lost, Received, follow
from labkit.feed.firewall import FIREWALL, FirewallPolicy
from labkit.feed.service import Inbox, Settings, watch
from labkit.firewall.program import table

_PATIENCE = 60.0
"""Seconds that nft may take."""

_log = logging.getLogger("labkit.firewall")

_Received: TypeAlias = Received[FirewallPolicy, Applied]
_Event: TypeAlias = _Received | Lost[FirewallPolicy, Applied]


class FirewallService:
    """A firewall process. What it has made true stays when it ends."""

    def __init__(self, settings: Settings, probe_port: int) -> None:
        """`probe_port` is the TCP port at which the load balancer asks whether the instance is up."""
        self._settings = settings
        self._probe_port = probe_port
        self._inbox: Inbox[_Event] = Inbox()

    def run(self) -> None:
        """Serve for ever."""
        follow(self._settings, FIREWALL, self._inbox.put)
        answering = False
        while True:
            for event in self._inbox.collect():
                if isinstance(event, Lost):
                    continue
                try:
                    lines = [*table(event.message.rules)]
                except ValueError as error:
                    event.feed.refuse(event.seq, str(error))
                    continue
                failure = _load(lines)
                event.feed.applied(event.seq, failure)
                if failure is not None:
                    _log.error("%s", failure)
                elif not answering:
                    # No flow gets here before there are rules.
                    answering = True
                    listener = socket.create_server(("", self._probe_port))
                    watch("probes", partial(_answer, listener))
                    self._settings.mark_ready()
                    _log.info("ready")


def _answer(listener: socket.socket) -> None:
    while True:
        listener.accept()[0].close()


def _load(lines: Iterable[str]) -> str | None:
    """Load a table as one transaction; what went wrong, None if nothing did."""
    text = "".join(f"{line}\n" for line in lines)
    try:
        done = subprocess.run(
            ("nft", "-f", "-"), input=text, text=True, capture_output=True, check=False, timeout=_PATIENCE
        )
    except subprocess.TimeoutExpired:
        return f"nft: not done after {_PATIENCE:.0f} s"
    return f"nft: {done.stderr.strip() or f'ended with status {done.returncode}'}" if done.returncode else None
