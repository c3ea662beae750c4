"""What a walker reads: the tables of a lab, and what a node's own table has for a destination."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Protocol

from labkit.azure.forwarding import Disposition, Packet, Surroundings
from labkit.azure.model import Azure, EffectiveRoute


@dataclass(frozen=True, slots=True)
class Egress:
    """A way out of a node: by its NIC named `nic`; without one over a link, to the gateway `to` or the destination.

    Out of a NIC the fabric decides where a packet gets, whatever gateway it is sent to.
    """

    nic: str | None = None
    to: IPv4Address | None = None


ON_LINK = (Egress(),)
"""The egresses of a route over a link whose far end is the destination."""


@dataclass(frozen=True, slots=True)
class Route:
    """What a node's own table has for a destination: packets leave by one of the `egresses`, every flow by the same.

    The node's own ones get the address `source`, or that of the interface by which they leave. Or packets go nowhere:
    `drops` is the reason, and a `silent` route drops without an answer.
    """

    prefix: IPv4Network | None = None
    egresses: tuple[Egress, ...] = ()
    source: IPv4Address | None = None
    drops: Disposition | None = None
    silent: bool = False

    @classmethod
    def by_nic(cls, prefix: IPv4Network, nic: str) -> Route:
        """A route out of a NIC."""
        return cls(prefix, (Egress(nic),))

    @classmethod
    def over_link(cls, prefix: IPv4Network, *gateways: IPv4Address) -> Route:
        """A route over links, to gateways."""
        return cls(prefix, tuple(Egress(to=gateway) for gateway in gateways))

    @classmethod
    def connected(cls, prefix: IPv4Network, own: IPv4Address | None = None) -> Route:
        """The route to the network of a link, where the node's address is `own`."""
        return cls(prefix, ON_LINK, own)


class RoutingTables(Protocol):
    """The tables of a lab, at one point in time."""

    @property
    def azure(self) -> Azure:
        """Azure's objects."""
        ...

    @property
    def off(self) -> Collection[str]:
        """The nodes that are powered off."""
        ...

    def row(self, nic: str, destination: IPv4Address) -> EffectiveRoute | None:
        """A NIC's effective route for a destination; None if it has none."""
        ...

    def route(self, node: str, packet: Packet, *, inbound: bool = False) -> Route:
        """What a node's own table has for a packet, which a gateway may have by a circuit or a tunnel (`inbound`)."""
        ...

    def surroundings(self, virtual_network: str) -> Surroundings:
        """What the fabric of a virtual network knows apart from effective routes."""
        ...
