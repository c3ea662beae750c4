"""What a fabric receives: the ports of its virtual network's switch, their tables, load balancers; and what it reports.

Addresses, prefixes and MACs are text, as nftables takes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar, TypeAlias

from labkit.feed.channel import Applied, Channel
from labkit.feed.codec import Codec
from labkit.feed.tables import ForwardingTable, TableDelta


@dataclass(frozen=True, slots=True)
class NicPort:
    """The port of a NIC in this virtual network. Packets that come in are routed by the table named `table`.

    `secondary` are the addresses of the NIC's further IP configurations. It is the way to those `beyond` it, too.
    """

    TYPE: ClassVar = "nic"
    mac: str
    address: str
    ip_forwarding: bool
    table: str
    beyond: tuple[str, ...] = ()
    secondary: tuple[str, ...] = ()

    @property
    def addresses(self) -> tuple[str, ...]:
        """The NIC's own addresses, the primary one first."""
        return (self.address, *self.secondary)


@dataclass(frozen=True, slots=True)
class InternetPort:
    """The port of the Internet node's leg."""

    TYPE: ClassVar = "internet"
    mac: str


@dataclass(frozen=True, slots=True)
class PeeringPort:
    """The port to a peered virtual network's fabric, with the address and MAC of every NIC reachable over it.

    With `sources` (prefixes), nothing from elsewhere comes in.
    """

    TYPE: ClassVar = "peering"
    neighbours: tuple[tuple[str, str], ...]
    sources: tuple[str, ...] | None = None


Port = NicPort | InternetPort | PeeringPort


@dataclass(frozen=True, slots=True)
class ProbeSettings:
    """A TCP connection to `port` every `interval` seconds; `count` failures in a row are too many."""

    port: int
    interval: float
    count: int


@dataclass(frozen=True, slots=True)
class Frontend:
    """A load balancer's frontend address, its backends' addresses by name, and which are up (None: not known yet).

    The fabric that has the `probe` finds out which are up; the others receive it.
    """

    address: str
    backends: Mapping[str, str]
    probe: ProbeSettings | None = None
    healthy: frozenset[str] | None = None

    def is_up(self, backend: str) -> bool:
        """Whether a backend takes packets."""
        return self.healthy is not None and backend in self.healthy

    def found(self, backend: str, *, up: bool) -> Frontend:
        """The frontend after news of a backend."""
        others = (self.healthy or frozenset()) - {backend}
        return replace(self, healthy=others | {backend} if up else others)


@dataclass(frozen=True, slots=True)
class FabricSnapshot:
    """Everything that a fabric has to be. `seed` (32 bits) starts the ECMP hash; load balancers go by their names."""

    TYPE: ClassVar = "snapshot"
    mac: str
    seed: int
    ports: Mapping[str, Port]
    tables: Mapping[str, ForwardingTable]
    load_balancers: Mapping[str, Frontend] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FabricDelta:
    """What changed: None takes a port or a table away. `healthy` names the backends that are up, by load balancer."""

    TYPE: ClassVar = "delta"
    ports: Mapping[str, Port | None] = field(default_factory=dict)
    tables: Mapping[str, TableDelta | None] = field(default_factory=dict)
    new_tables: Mapping[str, ForwardingTable] = field(default_factory=dict)
    healthy: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Finding:
    """A backend of a load balancer turned out to be up or down; `reason`: by what."""

    load_balancer: str
    backend: str
    up: bool
    reason: str


@dataclass(frozen=True, slots=True)
class ProbeReport:
    """What a fabric's probes found since its last report; on a new feed, all that it knows."""

    TYPE: ClassVar = "probes"
    found: tuple[Finding, ...]


ToFabric: TypeAlias = FabricSnapshot | FabricDelta
FromFabric: TypeAlias = Applied | ProbeReport
FABRIC: Channel[ToFabric, FromFabric] = Channel(
    "fabric", Codec(FabricSnapshot, FabricDelta), Codec(Applied, ProbeReport)
)
