"""Health probes: real TCP connections to backends, one thread each, and what follows from their outcome."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from labkit.feed.switch import Finding, Frontend, ProbeSettings

PROBE_SOURCE = "168.63.129.16"
"""Where probes come from, in every virtual network of Azure."""


@dataclass(slots=True)
class BackendJudge:
    """Concludes from one probe after the other. `up` is None as long as there is no conclusion.

    One success brings a backend up, as in Azure; `count` failures in a row take it down.
    """

    count: int
    up: bool | None = None
    _failures: int = 0

    def take(self, *, answered: bool) -> bool:
        """Take the outcome of a probe; returns whether it made for a conclusion that is new."""
        self._failures = 0 if answered else self._failures + 1
        if self.up is answered or (not answered and self._failures < self.count):
            return False
        self.up = answered
        return True


def connect(address: str, port: int, timeout: float) -> str | None:
    """Probe once: None if the connection comes about within `timeout` seconds, else why not."""
    try:
        socket.create_connection((address, port), timeout, source_address=(PROBE_SOURCE, 0)).close()
    except TimeoutError:
        return f"no answer within {timeout:g} s"
    except OSError as error:
        return os.strerror(error.errno).lower() if error.errno else str(error)
    return None


_Target = tuple[str, str, str, ProbeSettings]


class Prober:
    """Probes every backend that it is given. `report` gets every new conclusion, each backend's first included."""

    def __init__(self, report: Callable[[Finding], None]) -> None:
        self._report_to = report
        self._running: dict[_Target, threading.Event] = {}

    def follow(self, balancers: Mapping[str, Frontend]) -> None:
        """Probe the backends of those load balancers that have a probe, and no others."""
        wanted = {
            (name, backend, address, balancer.probe)
            for name, balancer in balancers.items()
            for backend, address in balancer.backends.items()
            if balancer.probe is not None
        }
        for target in self._running.keys() - wanted:
            self._running.pop(target).set()
        for target in wanted - self._running.keys():
            self._running[target] = ended = threading.Event()
            threading.Thread(target=self._probe, args=(target, ended), daemon=True).start()

    def _probe(self, target: _Target, ended: threading.Event) -> None:
        name, backend, address, probe = target
        judge = BackendJudge(probe.count)
        due = time.monotonic()
        while True:
            failure = connect(address, probe.port, probe.interval)
            if ended.is_set():
                return
            if judge.take(answered=failure is None):
                self._report_to(Finding(name, backend, failure is None, _reason(probe, failure)))
            due = max(due + probe.interval, time.monotonic())
            if ended.wait(due - time.monotonic()):
                return


def _reason(probe: ProbeSettings, failure: str | None) -> str:
    if failure is None:
        return f"its probe on TCP {probe.port} succeeded"
    times = {1: "once", 2: "twice"}.get(probe.count, f"{probe.count} times")
    return f"its probe on TCP {probe.port} failed {times}: {failure}"
