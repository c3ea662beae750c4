"""Load balancers as a fabric is told of them: a frontend's address as next hop stands for backends that are up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from labkit.fabric.prefixes import parse_address

PROBE_SOURCE = "168.63.129.16"
"""Where probes come from, in every virtual network of Azure."""


@dataclass(frozen=True, slots=True)
class Probe:
    """A TCP connection to `port` every `interval` seconds; `count` failures in a row are too many."""

    port: int
    interval: float
    count: int


@dataclass(frozen=True, slots=True)
class LoadBalancer:
    """A frontend's address, its backends' addresses by name, and which of them are up (None: nobody knows yet).

    The fabric that has the `probe` finds out which; the others are told.
    """

    address: str
    backends: Mapping[str, str]
    probe: Probe | None = None
    healthy: frozenset[str] | None = None

    def is_up(self, backend: str) -> bool:
        """Whether a backend takes packets."""
        return self.healthy is not None and backend in self.healthy

    def found(self, backend: str, *, up: bool) -> LoadBalancer:
        """The load balancer after news of a backend."""
        others = (self.healthy or frozenset()) - {backend}
        return replace(self, healthy=others | {backend} if up else others)


def read(said: Mapping[str, Any]) -> LoadBalancer:
    """The load balancer that a snapshot describes.

    Raises:
        KeyError, TypeError, ValueError: the description makes no sense.
    """
    for address in (said["address"], *said["backends"].values()):
        parse_address(address)
    probe, healthy = said["probe"], said["healthy"]
    return LoadBalancer(
        said["address"],
        dict(said["backends"]),
        None if probe is None else Probe(int(probe["port"]), float(probe["interval"]), int(probe["count"])),
        None if healthy is None else frozenset(healthy),
    )


def remembering(balancer: LoadBalancer, former: LoadBalancer | None) -> LoadBalancer:
    """A load balancer of a new snapshot with the health that is known here already.

    What a fabric has found out itself is newer than what the controller has from it; and a controller that came back
    has heard nothing yet.
    """
    if former is None or former.healthy is None or not (balancer.probe or balancer.healthy is None):
        return balancer
    return replace(balancer, healthy=former.healthy & balancer.backends.keys())
