"""Every interface and veth of a lab, resolved once: what nodes bring up, what the plan draws, what fabrics switch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from labkit.azure.model import Nic
from labkit.azure.rules.addressing import ROUTE_SERVER_SUBNET
from labkit.lab.model import Lab
from labkit.lab.plan.macs import FABRIC_MAC, derive_mac
from labkit.lab.plan.model import Endpoint, Link
from labkit.lab.plan.nodes import NIC
from labkit.names import interface


class WireEnd(NamedTuple):
    """One end of a veth."""

    node: str
    interface: str


@dataclass(frozen=True, slots=True)
class Wire:
    """A veth between two nodes, and the commands with which each brings its end up; right as well when run again."""

    a: WireEnd
    b: WireEnd
    a_up: tuple[str, ...] = ()
    b_up: tuple[str, ...] = ()


class Interfaces:
    """The names that the interfaces of nodes have yet to take, eth0, eth1 and so on.

    Machines have NICs first, in their order; a site's eth0 is its LAN; the Internet has nothing but its links.
    """

    def __init__(self, lab: Lab) -> None:
        self._next = Counter(nic.machine for nic in lab.azure.nics)
        self._first = {lab.internet.name: 0} if lab.internet is not None else {}

    def take(self, node: str) -> str:
        """The next interface of a node."""
        number = self._next.get(node, self._first.get(node, 1))
        self._next[node] = number + 1
        return f"eth{number}"


@dataclass(frozen=True)
class Wiring:
    """The wires of a lab in their order, which decides the order of links and, with it, every MAC that is derived."""

    lab: Lab
    wires: tuple[Wire, ...]

    def up(self, node: str) -> tuple[str, ...]:
        """The commands with which a node brings its interfaces up."""
        return tuple(self._up.get(node, ()))

    @cached_property
    def _up(self) -> Mapping[str, list[str]]:
        """The commands of every node."""
        found: dict[str, list[str]] = {}
        for wire in self.wires:
            found.setdefault(wire.a.node, []).extend(wire.a_up)
            if wire.b.node != wire.a.node:
                found.setdefault(wire.b.node, []).extend(wire.b_up)
        return found

    def interface(self, node: str, far: str) -> str:
        """The interface of a node towards a node next to it.

        Raises:
            StopIteration: no wire joins the two.
        """
        ends = ((wire.a, wire.b) for wire in self.wires)
        both = (pair for a, b in ends for pair in ((a, b), (b, a)))
        return next(own.interface for own, other in both if (own.node, other.node) == (node, far))

    @cached_property
    def links(self) -> tuple[Link, ...]:
        """Every veth. MACs are unique; those of NICs are the NICs' own, the others hashed from the names."""
        own = {WireEnd(nic.machine, nic.interface): nic.mac for nic in (*self.lab.azure.nics, *instance_nics(self.lab))}
        taken = {FABRIC_MAC, *own.values()}

        def endpoint(end: WireEnd) -> Endpoint:
            mac = own.get(end)
            if mac is None:
                mac = derive_mac(*end, taken)
                taken.add(mac)
            return Endpoint(*end, mac)

        return tuple(Link(endpoint(wire.a), endpoint(wire.b)) for wire in self.wires)


def instance_nics(lab: Lab) -> tuple[Nic, ...]:
    """The NICs of the route server instances, which no user of Azure ever sees; named like the instances' nodes.

    A subnet of theirs takes neither a route table nor BGP routes [no-route-table], so
    that their effective routes are the system's.
    """
    taken = {FABRIC_MAC, *(nic.mac for nic in lab.azure.nics)}
    nics = []
    for server in lab.azure.route_servers:
        for instance, address in zip(server.instance_ids, server.instances, strict=True):
            node = instance.node
            mac = derive_mac(node, NIC, taken)
            taken.add(mac)
            nics.append(Nic(node, node, NIC, server.virtual_network, ROUTE_SERVER_SUBNET, address, mac))
    return tuple(nics)


def port(nic: Nic) -> str:
    """The name of a NIC's port, an interface of its fabric."""
    return interface(nic.machine, int(nic.interface.removeprefix("eth")))


def nics(lab: Lab, virtual_network: str) -> tuple[Nic, ...]:
    """Every NIC in a virtual network: those of NVAs, virtual machines and gateways, then of route server instances."""
    return tuple(n for n in (*lab.azure.nics, *instance_nics(lab)) if n.virtual_network == virtual_network)
