"""Which backends of load balancers are up, as the fabrics that probe them report."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from labkit.azure.model import LoadBalancer
from labkit.azure.rules.load_balancers import load_balancers_near
from labkit.feed.status import UP, BackendStatus
from labkit.feed.switch import Finding, Frontend, ProbeSettings
from labkit.lab.model import Lab


@dataclass(frozen=True, slots=True)
class BackendHealth:
    """Whether a backend is up, and by which probes."""

    up: bool
    reason: str


class LoadBalancers:
    """The load balancers of a lab. No I/O.

    A load balancer's own virtual network probes and acts by itself; the fabrics of networks peered with it get the
    outcome from here. What is not known yet is no failure: after a restart every fabric keeps what it has.
    """

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._health: dict[str, dict[str, BackendHealth]] = {b.name: {} for b in lab.azure.load_balancers}

    def report(self, virtual_network: str, found: Iterable[Finding]) -> list[tuple[str, str, str]]:
        """Take what the probes of a virtual network's fabric found.

        Returns:
            What is new, as `(load balancer, what, because of what)`.
        """
        news = []
        for finding in found:
            name, backend = finding.load_balancer, finding.backend
            balancer = self._lab.azure.load_balancer.get(name)
            if balancer is None:  # a fabric that has not its new snapshot yet: the lab had it before
                continue
            if balancer.virtual_network != virtual_network or backend not in balancer.backends:
                continue
            before, now = self._health[name].get(backend), BackendHealth(finding.up, finding.reason)
            self._health[name][backend] = now
            if before is None or before.up is not now.up:
                news.append((name, f"{backend} is {'up' if now.up else 'down'}", now.reason))
        return news

    def snapshot(self, virtual_network: str) -> dict[str, Frontend]:
        """The load balancers that a virtual network's fabric needs, by name."""
        azure = self._lab.azure
        found = {}
        for balancer in load_balancers_near(azure, virtual_network):
            probe, own = balancer.probe, balancer.virtual_network == virtual_network
            healthy = self._healthy(balancer)
            found[balancer.name] = Frontend(
                str(balancer.address),
                {backend: str(azure.nic[backend].address) for backend in balancer.backends},
                ProbeSettings(probe.port, probe.interval, probe.count) if own else None,
                None if healthy is None else frozenset(healthy),
            )
        return found

    def delta(self, virtual_network: str, names: Iterable[str]) -> dict[str, tuple[str, ...]]:
        """Who is up behind those of the named load balancers that a virtual network uses and does not probe itself."""
        near = {b.name: b for b in load_balancers_near(self._lab.azure, virtual_network)}
        return {
            name: self._healthy(near[name]) or ()
            for name in names
            if name in near and near[name].virtual_network != virtual_network
        }

    def backends(self) -> tuple[BackendStatus, ...]:
        """Every backend of every load balancer; its state is "Up", "Down", or "Unknown" before any probe."""
        nic = self._lab.azure.nic
        return tuple(
            BackendStatus(
                balancer.name,
                balancer.address,
                backend,
                nic[backend].address,
                "Unknown" if health is None else UP if health.up else "Down",
                health.reason if health is not None else "",
            )
            for balancer in self._lab.azure.load_balancers
            for backend in balancer.backends
            for health in (self._health[balancer.name].get(backend),)
        )

    def _healthy(self, balancer: LoadBalancer) -> tuple[str, ...] | None:
        """The names of the backends that are up; None if nothing is known."""
        known = self._health[balancer.name]
        return tuple(b for b in balancer.backends if b in known and known[b].up) if known else None
