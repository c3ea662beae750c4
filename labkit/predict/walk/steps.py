"""What a walker finds: a packet's whole way, and the steps of it, each a decision that a node or a fabric has made."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address

from labkit.azure.forwarding import Disposition, Packet, Verdict
from labkit.azure.model import EffectiveRoute, Nic
from labkit.predict.walk.routing import Route


@dataclass(frozen=True, slots=True)
class NextHop:
    """A next hop: its address, and the node that gets what is sent there; None if nobody has it."""

    address: IPv4Address
    node: str | None


@dataclass(frozen=True, slots=True)
class RouterStep:
    """A node's own table has decided: `next_hop` is where the packet goes, None if it goes by a NIC or nowhere.

    `between` is what connects the two nodes, if it is more than a link. `inbound`: a gateway has it by a circuit or a
    tunnel. `restores_ttl`: a gateway, or the Internet, is no hop here. `silent`: it is one, but does not answer where a
    TTL ends. `translated`: the packet has got its source here. `admits`: what a firewall lets through between the
    packet's addresses, if it is not everything.
    """

    node: str
    address: IPv4Address
    packet: Packet
    route: Route
    disposition: Disposition
    next_hop: NextHop | None = None
    between: str = ""
    inbound: bool = False
    restores_ttl: bool = False
    silent: bool = False
    translated: bool = False
    admits: str = ""


@dataclass(frozen=True, slots=True)
class FabricStep:
    """The fabric of `virtual_network` has decided, by a NIC's effective route `row`.

    `verdicts` are those of all next hops, `verdict` the one that was followed. With `carries` the packet is that of an
    overlay, in which the other one travels.
    """

    virtual_network: str
    nic: Nic
    packet: Packet
    row: EffectiveRoute | None
    verdicts: tuple[Verdict, ...]
    verdict: Verdict
    carries: bool = False

    @property
    def disposition(self) -> Disposition:
        """What becomes of the packet here."""
        return self.verdict.disposition


@dataclass(frozen=True, slots=True)
class EndStep:
    """The packet is at a node, and its way ends there."""

    node: str
    address: IPv4Address
    disposition: Disposition


Step = RouterStep | FabricStep | EndStep


@dataclass(frozen=True, slots=True)
class Walk:
    """A packet's whole way from node `source`, whose address `origin` it has.

    `hops` are what a traceroute shows: None for a hop that does not answer.
    """

    source: str
    origin: IPv4Address
    steps: tuple[Step, ...]
    hops: tuple[IPv4Address | None, ...]

    @property
    def disposition(self) -> Disposition:
        """How it ends."""
        return self.steps[-1].disposition

    @property
    def nodes(self) -> tuple[str, ...]:
        """The nodes that have forwarded it or got it, in order, the source left out."""
        found = [step.node for step in self.steps if isinstance(step, RouterStep | EndStep)]
        return tuple(found[1:] if found[:1] == [self.source] else found)
