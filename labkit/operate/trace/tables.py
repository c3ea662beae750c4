"""The tables of a running lab, for the walker: kernels' routes, NICs' decisions, and BGP's paths for the reasons."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from ipaddress import IPv4Address, IPv4Network

from labkit.azure.forwarding import Disposition, Packet, Surroundings
from labkit.azure.model import Azure, EffectiveRoute
from labkit.azure.rules.decision import Decision
from labkit.azure.rules.rows import as_path_text
from labkit.daemons.tables import LOCAL, BgpPath
from labkit.errors import CheckFailed
from labkit.lab.plan.gateway_inbound import MARK
from labkit.lab.plan.nodes import PROVIDER
from labkit.lab.sessions import daemon_of, router_daemons
from labkit.operate.look.kernel import KernelHop, KernelPath, read
from labkit.operate.look.live_state import LiveState
from labkit.operate.trace.choice import Candidate
from labkit.predict.walk.routing import Egress, Route

NO_ROUTE = ""
UNREAD = "unread"
BLACKHOLE = "blackhole"
AGENT = "65"
_NOWHERE = (BLACKHOLE, "unreachable", "prohibit")


@dataclass(frozen=True, slots=True)
class KernelRoute:
    """A kernel's route for a destination. `type` is the kernel's word for it, `NO_ROUTE` if it has none.

    It is `UNREAD` where the image of a node is the user's own, and its `ip` has no JSON.

    `source` is the address that it gives to packets of its own, if that is not the interface's; `shorter` are other
    prefixes of its table that hold the destination.
    """

    type: str
    prefix: str = ""
    hops: tuple[KernelHop, ...] = ()
    protocol: str = ""
    source: IPv4Address | None = None
    shorter: tuple[str, ...] = ()

    @property
    def leads(self) -> bool:
        """Whether packets leave by it."""
        return self.type not in {NO_ROUTE, UNREAD, *_NOWHERE}


class ObservedTables:
    """The tables of a running lab. Everything is read once: loops and answers ask again."""

    def __init__(self, live: LiveState) -> None:
        self.live = live
        self.kernel = cache(self._kernel)
        self.source = cache(self._source)
        self.readable = cache(self._readable)
        self.bgp = cache(self._bgp)
        self.decision = cache(self._decision)

    @property
    def azure(self) -> Azure:
        """Azure's objects as they are now."""
        return self.live.azure

    @property
    def off(self) -> frozenset[str]:
        """The nodes that are powered off."""
        return self.live.off

    def row(self, nic: str, destination: IPv4Address) -> EffectiveRoute | None:
        """A NIC's effective route for a destination; None if it has none."""
        rows = self.decision(nic, destination).rows
        return rows[0] if rows else None

    def route(self, node: str, packet: Packet, *, inbound: bool = False) -> Route:
        """What a node's kernel has for a packet."""
        found = self.kernel(node, packet.destination, self.own(node, packet.source), inbound)
        if found.type == NO_ROUTE:
            return Route(drops=Disposition.NO_ROUTE)
        if found.type == UNREAD:
            return Route(drops=Disposition.UNREAD)
        prefix = IPv4Network(found.prefix)
        if not found.leads:
            return Route(prefix, drops=Disposition.BLACK_HOLE, silent=found.type == BLACKHOLE)
        nics = {nic.interface: nic.name for nic in self.azure.nics_of(node)}
        ways = (
            Egress(nics[hop.device])
            if hop.device in nics
            else Egress(to=hop.gateway if hop.gateway != PROVIDER else None)
            for hop in found.hops
        )
        return Route(prefix, tuple(dict.fromkeys(ways)), found.source)

    def surroundings(self, virtual_network: str) -> Surroundings:
        """What the fabric of a virtual network knows apart from effective routes."""
        return self.live.surroundings(virtual_network)

    def own(self, node: str, source: IPv4Address) -> IPv4Address | None:
        """The source of a packet, if it is the address of one of several NICs of a node, each with its own table."""
        nics = self.azure.nics_of(node)
        return source if len(nics) > 1 and any(nic.address == source for nic in nics) else None

    def _kernel(
        self, node: str, destination: IPv4Address, source: IPv4Address | None, inbound: bool = False
    ) -> KernelRoute:
        """What a node's kernel does with packets to a destination, if they have a source with a table of its own.

        Or if a gateway has them by a circuit or a tunnel (`inbound`).
        """
        if not self.readable(node):
            return KernelRoute(UNREAD)
        holding = () if inbound else self._holding(node, destination, source)
        from_ = () if source is None else ("from", str(source))
        from_ = ("mark", str(MARK)) if inbound else from_
        prefixes = sorted({path.prefix for path in holding}, key=lambda prefix: -prefix.prefixlen)
        shorter = tuple(map(str, prefixes[1:]))
        rows = self._ip(node, "route", "get", "fibmatch", str(destination), *from_)
        if not rows:
            lost = next((path for path in holding if path.type in _NOWHERE and path.prefix == prefixes[0]), None)
            return kernel_route(lost, shorter) if lost is not None else KernelRoute(NO_ROUTE)
        return kernel_route(rows[0], shorter)

    def _readable(self, node: str) -> bool:
        """Whether a node's kernel can be read: an image of the user's own may have no `ip`, or one without JSON."""
        nva = self.live.lab.nva.get(node)
        if nva is None or nva.container is None:
            return True
        done = self.live.client.run(node, "ip", "-4", "-j", "route", "show")
        return done.rc == 0 and done.stdout.lstrip().startswith("[")

    def _holding(self, node: str, destination: IPv4Address, source: IPv4Address | None) -> tuple[KernelPath, ...]:
        """The routes that hold a destination, in the first table with any that packets with this source follow."""
        table = None if source is None else self.live.table_from(node, source)
        match = ("match", str(destination))
        own = self._ip(node, "route", "show", "table", str(table), *match) if table is not None else ()
        return own or self._ip(node, "route", "show", *match)

    def _source(self, node: str, destination: IPv4Address) -> IPv4Address | None:
        """The address from which a node's kernel answers a destination; None if it has no way there."""
        rows = self._ip(node, "route", "get", str(destination)) if self.readable(node) else ()
        return rows[0].source if rows else None

    def _bgp(self, node: str, prefix: str) -> tuple[Candidate, ...]:
        """The paths that a router has for a prefix, those in use first, and why it did not take the others."""
        if node not in router_daemons(self.live.lab):
            return ()
        tables = daemon_of(self.live.lab, node).tables
        try:
            found = self.live.client.ask(node, tables, tables.paths(prefix))
        except CheckFailed:  # the daemon does not run
            return ()
        return tuple(map(self._candidate, found))

    def _decision(self, nic: str, destination: IPv4Address) -> Decision:
        """What a NIC does with packets to a destination, and why."""
        return self.live.client.fetch(Decision, "decisions", nic, str(destination))

    def _candidate(self, path: BgpPath) -> Candidate:
        sender = self.live.owners.get(path.neighbour, str(path.neighbour)) if path.neighbour != LOCAL else "itself"
        return Candidate(sender, str(path.next_hop), as_path_text(path.attributes.as_path), path.rejected)

    def _ip(self, node: str, *words: str) -> tuple[KernelPath, ...]:
        done = self.live.client.run(node, "ip", "-4", "-j", *words)
        return read(done.stdout) if done.rc == 0 else ()


def kernel_route(path: KernelPath, shorter: tuple[str, ...] = ()) -> KernelRoute:
    """A route of a kernel, with the shorter prefixes of its table that hold the same destination."""
    return KernelRoute(path.type, str(path.prefix), path.hops, path.protocol, path.source, shorter)
