"""The fabric's main loop: take what the controller says and what the kernel reports, and make the switch so."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from labkit.errors import LabkitError
from labkit.fabric import nft
from labkit.fabric.bridge import Bridge
from labkit.fabric.iproute import KernelRefused
from labkit.fabric.links import LinkMonitor, interfaces
from labkit.fabric.loader import Loader
from labkit.fabric.prober import Finding, Prober
from labkit.fabric.state import Fabric, follow
from labkit.feed.client import FEED_SOCKET, Feed, Message, feeds

READY = Path("/run/labkit-ready/fabric")
"""Touched when the first snapshot is true in the kernel."""

RETRY = 1.0
"""Seconds until what the kernel refused is tried again, unless something happens before."""

_log = logging.getLogger("labkit.fabric")


@dataclass(frozen=True, slots=True)
class _Said:
    """A message and the connection it came over."""

    feed: Feed
    message: Message


_Event = _Said | frozenset[int] | Finding


class Service:
    """A fabric process. What it has made true stays when it ends; the next one adopts it."""

    def __init__(self, ready: Path = READY) -> None:
        """`ready` is touched once the first snapshot is true."""
        self._ready = ready
        self._inbox: queue.SimpleQueue[_Event] = queue.SimpleQueue()
        self._fabric: Fabric | None = None
        self._bridge: Bridge | None = None
        self._loader = Loader(nft.room())
        self._unacknowledged: _Said | None = None
        self._failed = False
        self._distrusted: Feed | None = None
        self._feed: Feed | None = None
        self._prober = Prober(self._inbox.put)
        self._findings: dict[tuple[str, str], Finding] = {}

    def run(self, node: str, socket: Path = FEED_SOCKET) -> None:
        """Serve for ever as the fabric named `node`."""
        monitor = LinkMonitor()
        threading.Thread(target=self._listen, args=(node, socket), daemon=True).start()
        threading.Thread(target=self._watch, args=(monitor,), daemon=True).start()
        while True:
            self._handle(list(self._events()))

    def _listen(self, node: str, socket: Path) -> None:
        for feed in feeds("fabric", node, socket):
            for message in feed:
                self._inbox.put(_Said(feed, message))

    def _watch(self, monitor: LinkMonitor) -> None:
        for gone in monitor.changes():
            self._inbox.put(gone)

    def _events(self) -> Iterator[_Event]:
        """Everything that has come in; waits for something, but not for long while something is amiss."""
        try:
            yield self._inbox.get(timeout=RETRY if self._failed else None)
            while True:
                yield self._inbox.get_nowait()
        except queue.Empty:
            return

    def _handle(self, events: list[_Event]) -> None:
        heard: list[_Said] = []
        found: list[Finding] = []
        for event in events:
            if isinstance(event, frozenset):
                self._forget(event)
            elif isinstance(event, Finding):
                found += self._learned(event)
            elif self._understand(event):
                heard.append(event)
        if self._fabric is None:
            return
        failure = self._realise(self._fabric)
        self._failed = failure is not None
        # The controller hears what counts already.
        self._report(found)
        if heard:
            self._unacknowledged = None
        elif failure is None and self._unacknowledged is not None:
            # What failed before is true now.
            heard = [self._unacknowledged]
            self._unacknowledged = None
        for said in heard:
            said.feed.applied(said.message["seq"], failure)
        if failure is not None and heard:
            self._unacknowledged = heard[-1]

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
        said = [asdict(finding) for finding in findings]
        if self._feed is not None and said:
            self._feed.send({"type": "probes", "found": said})

    def _understand(self, said: _Said) -> bool:
        """Take a message into `_fabric`. One that makes no sense is refused, and what was true stays."""
        if said.feed is self._distrusted:
            return False
        try:
            self._fabric = follow(self._fabric, said.message)
        except ValueError as error:
            _log.error("message %s refused: %s", said.message["seq"], error)
            said.feed.applied(said.message["seq"], str(error))
            # What follows builds on what was not understood: begin anew with a snapshot.
            self._distrusted = said.feed
            said.feed.close()
            return False
        if said.message["type"] == "snapshot":
            # A new feed: the controller may have heard nothing yet.
            self._feed = said.feed
            self._report(self._findings.values())
        return True

    def _realise(self, fabric: Fabric) -> str | None:
        """Make the kernel as the fabric says; return what went wrong, if anything did."""
        try:
            self._make(fabric)
        except KernelRefused as error:
            _log.error("%s", error)
            return str(error)
        except LabkitError as error:
            _log.error("%s %s", error.message, error.remedy)
            return f"{error.message} {error.remedy}"
        if not self._ready.exists():
            self._ready.parent.mkdir(parents=True, exist_ok=True)
            self._ready.touch()
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
