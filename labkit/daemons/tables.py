"""A daemon's BGP tables as values, and the questions that get them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Generic, TypeVar

from labkit.azure.model import AsPath, Origin, PathAttributes

T = TypeVar("T")

ESTABLISHED = "Established"
"""The state of a BGP session that is up (RFC 4271 §8.2.2)."""

LOCAL = IPv4Address(0)
"""In place of the neighbour of a path that the router originates."""


@dataclass(frozen=True, slots=True)
class BgpNeighbour:
    """A configured neighbour: its session's state (RFC 4271 §8.2.2) and how many `seconds` it has been in it.

    `received` and `sent` count messages, `routes` the prefixes accepted from it.
    """

    address: IPv4Address
    asn: int
    state: str
    seconds: float
    received: int
    sent: int
    routes: int


@dataclass(frozen=True, slots=True)
class BgpPath:
    """A path of the Adj-RIB-In from a neighbour, after import policy; of the Loc-RIB where it is `best`.

    `rejected` is why the path is not in use, where a table was asked for a single prefix; empty for one in use. No
    route leads to the next hop of one that is not `resolved`.
    """

    prefix: IPv4Network
    neighbour: IPv4Address
    attributes: PathAttributes
    best: bool
    rejected: str = ""
    resolved: bool = True

    @property
    def next_hop(self) -> IPv4Address:
        """Its next hop."""
        return self.attributes.next_hop

    @property
    def as_path(self) -> tuple[int, ...]:
        """Its AS path, with the members of sets one after the other."""
        hops = (sorted(hop) if isinstance(hop, frozenset) else [hop] for hop in self.attributes.as_path)
        return tuple(asn for hop in hops for asn in hop)


@dataclass(frozen=True, slots=True)
class AdvertisedPath:
    """A path of the Adj-RIB-Out to a neighbour, before the daemon puts its ASN in front for an eBGP neighbour.

    `next_hop` is None where it is the daemon's own address.
    """

    prefix: IPv4Network
    as_path: AsPath
    next_hop: IPv4Address | None
    origin: Origin


@dataclass(frozen=True, slots=True)
class BgpTable:
    """What a daemon knows by BGP: its neighbours by address, and every path that it has from them."""

    neighbours: Mapping[IPv4Address, BgpNeighbour]
    paths: tuple[BgpPath, ...]

    @property
    def states(self) -> dict[IPv4Address, str]:
        """The states of its sessions."""
        return {address: neighbour.state for address, neighbour in self.neighbours.items()}

    def is_established(self, neighbour: IPv4Address) -> bool:
        """Whether the session with a neighbour is up."""
        return self.states.get(neighbour) == ESTABLISHED

    def adj_rib_in(self, neighbour: IPv4Address) -> dict[IPv4Network, PathAttributes]:
        """What it has accepted from a neighbour."""
        return {path.prefix: path.attributes for path in self.paths if path.neighbour == neighbour}

    def resolved(self, neighbour: IPv4Address) -> dict[IPv4Network, PathAttributes]:
        """What of it takes part in the decision: where a route leads to the next hop."""
        return {p.prefix: p.attributes for p in self.paths if p.neighbour == neighbour and p.resolved}

    @property
    def loc_rib(self) -> frozenset[IPv4Network]:
        """The prefixes for which a neighbour's path is best."""
        return frozenset(path.prefix for path in self.paths if path.best)


@dataclass(frozen=True, slots=True)
class Query(Generic[T]):
    """A question for a daemon: lines of its command line, and how the output reads.

    `read` raises ValueError if that is not what the daemon prints.
    """

    lines: tuple[str, ...]
    read: Callable[[str], T]
