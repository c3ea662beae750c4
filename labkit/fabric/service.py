"""The fabric's main loop: take what the controller sends and what the kernel reports, and make the switch so."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator
from typing import TypeAlias

from labkit.errors import LabkitError
from labkit.fabric import nft, state
from labkit.fabric.bridge import Bridge
from labkit.fabric.iproute import KernelRefused
from labkit.fabric.links import LinkMonitor, interfaces
from labkit.fabric.loader import Loader
from labkit.fabric.prober import Prober
from labkit.fabric.state import Fabric
from labkit.feed.client import Feed, Lost, Received, follow
from labkit.feed.service import Inbox, Settings, watch
from labkit.feed.switch import FABRIC, FabricSnapshot, Finding, FromFabric, ProbeReport, ToFabric

RETRY = 1.0
"""Seconds until what the kernel refused is tried again, unless something happens before."""

_log = logging.getLogger("labkit.fabric")


_Feed: TypeAlias = Feed[ToFabric, FromFabric]
_Received: TypeAlias = Received[ToFabric, FromFabric]
_Event: TypeAlias = _Received | Lost[ToFabric, FromFabric] | frozenset[int] | Finding


class FabricService:
    """A fabric process. What it has made true stays when it ends; the next one adopts it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._inbox: Inbox[_Event] = Inbox()
        self._fabric: Fabric | None = None
        self._bridge: Bridge | None = None
        self._loader = Loader(nft.room())
        self._unacknowledged: _Received | None = None
        self._failed = False
        self._ready = False
        self._feed: _Feed | None = None
        self._prober = Prober(self._inbox.put)
        self._findings: dict[tuple[str, str], Finding] = {}

    def run(self) -> None:
        """Serve for ever. What the kernel refused is tried again after `RETRY`, unless something happens before."""
        monitor = LinkMonitor()
        follow(self._settings, FABRIC, self._inbox.put)
        watch("links", lambda: self._watch(monitor))
        while True:
            self._handle(self._inbox.collect(RETRY if self._failed else None))

    def _watch(self, monitor: LinkMonitor) -> None:
        for gone in monitor.changes():
            self._inbox.put(gone)

    def _handle(self, events: list[_Event]) -> None:
        taken: list[_Received] = []
        found: list[Finding] = []
        for event in events:
            if isinstance(event, frozenset):
                self._forget(event)
            elif isinstance(event, Finding):
                found += self._learned(event)
            elif isinstance(event, Received) and self._understand(event):
                taken.append(event)
        if self._fabric is None:
            return
        failure = self._realise(self._fabric)
        self._failed = failure is not None
        # What is reported to the controller is in force already.
        self._report(found)
        if taken:
            self._unacknowledged = None
        elif failure is None and self._unacknowledged is not None:
            # What failed before is true now.
            taken = [self._unacknowledged]
            self._unacknowledged = None
        for received in taken:
            received.feed.applied(received.seq, failure)
        if failure is not None and taken:
            self._unacknowledged = taken[-1]

    def _forget(self, gone: frozenset[int]) -> None:
        if self._bridge is not None:
            self._bridge.forget(gone)
        self._loader.forget(gone)

    def _learned(self, finding: Finding) -> Iterator[Finding]:
        """Take what a probe found into `_fabric`; nothing of a load balancer that has gone meanwhile."""
        place = finding.load_balancer, finding.backend
        if self._fabric is not None and finding.load_balancer in self._fabric.load_balancers:
            self._fabric = self._fabric.found(*place, up=finding.up)
            self._findings[place] = finding
            yield finding

    def _report(self, findings: Iterable[Finding]) -> None:
        found = tuple(findings)
        if self._feed is not None and found:
            self._feed.send(ProbeReport(found))

    def _understand(self, received: _Received) -> bool:
        """Take a message into `_fabric`. One that is not valid is refused, and what was true stays."""
        feed = received.feed
        if feed.refused:
            return False
        try:
            self._fabric = state.follow(self._fabric, received.message)
        except ValueError as error:
            feed.refuse(received.seq, str(error))
            return False
        if isinstance(received.message, FabricSnapshot):
            # A new feed: the controller may not have the findings yet.
            self._feed = feed
            known = self._fabric.load_balancers
            self._findings = {place: found for place, found in self._findings.items() if place[0] in known}
            self._report(self._findings.values())
        return True

    def _realise(self, fabric: Fabric) -> str | None:
        """Make the kernel what the fabric is; return what went wrong, if anything did."""
        try:
            self._make(fabric)
        except KernelRefused as error:
            _log.error("%s", error)
            return str(error)
        except LabkitError as error:
            _log.error("%s %s", error.message, error.remedy)
            return f"{error.message} {error.remedy}"
        if not self._ready:
            self._ready = True
            self._settings.mark_ready()
            _log.info("ready")
        return None

    def _make(self, fabric: Fabric) -> None:
        started = time.perf_counter()
        if self._bridge is None or self._bridge.mac != fabric.mac:
            self._bridge = Bridge(fabric.mac)
        present = interfaces()
        self._bridge.release(fabric, present)
        # A port is filtered before it becomes a port.
        self._loader.load(fabric, present)
        self._bridge.attach(fabric, present)
        self._bridge.let_probe(fabric)
        self._prober.follow(fabric.load_balancers)
        _log.debug("true after %.1f ms", (time.perf_counter() - started) * 1000)
