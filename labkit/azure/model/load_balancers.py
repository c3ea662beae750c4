"""Internal load balancers."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address


@dataclass(frozen=True, slots=True)
class Probe:
    """A load balancer's health probe: a TCP connection to `port` every `interval` seconds.

    After `count` failures in a row the backend is down; one success brings it up.
    """

    port: int
    interval: int = 5
    count: int = 2


@dataclass(frozen=True, slots=True)
class LoadBalancer:
    """An internal Standard Load Balancer with one frontend, at `address`, and one rule for all ports ("HA ports").

    `backends` name NICs of its virtual network. As a next hop it means those of them that are up [balancer-cure,
    third-party-next-hop]; effective routes show its frontend's address.
    """

    name: str
    virtual_network: str
    subnet: str
    address: IPv4Address
    backends: tuple[str, ...]
    probe: Probe
