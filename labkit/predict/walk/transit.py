"""A packet on its way: where it is, what it has passed, and how it leaves a node."""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import IPv4Address

from labkit.azure.forwarding import Disposition, Packet
from labkit.predict.walk.routing import Egress
from labkit.predict.walk.steps import EndStep, FabricStep, RouterStep, Step, Walk


@dataclass(frozen=True, slots=True)
class InTransit:
    """What there is of a way so far: the packet is at `node`, to which it came over a link or out of a network.

    `forwarded` are the nodes that have forwarded it, each with whether a gateway had it from outside: that one may have
    it once more, out of the network.
    """

    source: str
    origin: IPv4Address
    node: str
    address: IPv4Address
    packet: Packet
    by_network: bool | None = None
    steps: tuple[Step, ...] = ()
    hops: tuple[IPv4Address | None, ...] = ()
    forwarded: tuple[tuple[str, bool], ...] = ()

    @property
    def by_sibling(self) -> bool:
        """Whether a gateway's instance has it from the other one, in their tunnel."""
        last = self.steps[-1] if self.steps else None
        return self.by_network is True and isinstance(last, FabricStep) and last.carries

    def ends(self, step: Step, *, unseen: bool = False) -> Walk:
        """The whole way, with its last step; at an `unseen` one no TTL is seen to end."""
        return Walk(self.source, self.origin, (*self.steps, step), self.hops[:-1] if unseen else self.hops)

    def ends_here(self, disposition: Disposition, *, unseen: bool = False) -> Walk:
        """The whole way, if it ends at the node where the packet is."""
        return self.ends(EndStep(self.node, self.address, disposition), unseen=unseen)


@dataclass(frozen=True, slots=True)
class Departure:
    """A packet that leaves a node by one way out: its way there, the decision, and the egress."""

    way: InTransit
    step: RouterStep
    egress: Egress

    def goes_on(self, step: RouterStep) -> InTransit:
        """Its way so far, with this step."""
        hops = self.way.hops[:-1] if step.restores_ttl else self.way.hops
        hops = (*hops[:-1], None) if step.silent else hops
        return replace(
            self.way,
            steps=(*self.way.steps, step),
            hops=hops,
            forwarded=(*self.way.forwarded, (step.node, step.inbound)),
        )
