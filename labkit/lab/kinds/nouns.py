"""What the names of a lab are the names of, and what proofs may ask of each.

A kind that no other kind refers to has its noun in its own file.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Flag, auto

from labkit.names import LENGTHS, MACHINE_LENGTHS, NETWORK_LENGTHS


class Trait(Flag):
    """What something with a name is in the running lab."""

    NONE = 0
    SPEAKER = auto()
    """It has BGP sessions, as one whole, or is the NIC of what has them."""
    NIC = auto()
    """It has a NIC whose effective routes Azure shows."""
    HOST = auto()
    """It can send a packet of its own, a NIC with its own address."""
    HOP = auto()
    """Packets may cross it; of a NIC, they may enter by it."""
    NEXT_HOP = auto()
    """A route of a route table may name it."""
    NODE = auto()
    """It is a node, with a kernel."""


@dataclass(frozen=True, slots=True)
class Noun:
    """A kind of name in words, with its article, and the lengths that Azure allows [azure-names]."""

    text: str
    traits: Trait = Trait.NONE
    article: str = "a"
    lengths: range = LENGTHS

    def __str__(self) -> str:
        return self.text

    @property
    def a(self) -> str:
        """The noun with its article."""
        return f"{self.article} {self.text}"


_MACHINE = Trait.HOST | Trait.HOP | Trait.NODE

VIRTUAL_NETWORK = Noun("virtual network", lengths=NETWORK_LENGTHS)
ROUTE_SERVER = Noun("route server", Trait.SPEAKER)
INSTANCE = Noun("route server instance", Trait.NODE)
NVA = Noun("NVA", Trait.SPEAKER | Trait.NIC | Trait.NEXT_HOP | _MACHINE, "an", MACHINE_LENGTHS)
LOAD_BALANCER = Noun("load balancer", Trait.NEXT_HOP)
FIREWALL = Noun("firewall", Trait.NEXT_HOP)
FIREWALL_INSTANCE = Noun("firewall instance", Trait.HOP | Trait.NODE)
GATEWAY = Noun("gateway", Trait.SPEAKER)
GATEWAY_INSTANCE = Noun("gateway instance", Trait.HOP | Trait.NODE)
CIRCUIT = Noun("circuit", Trait.SPEAKER | Trait.HOP | Trait.NODE)
CIRCUIT_OF_TWO = Noun("circuit", Trait.SPEAKER | Trait.HOP)
"""With two edge routers, which are its nodes."""
EDGE_ROUTER = Noun("edge router", Trait.SPEAKER | Trait.HOP | Trait.NODE, "an")
SITE = Noun("site", Trait.SPEAKER | _MACHINE)
SITE_OF_ROUTERS = Noun("site with routers")
SITE_ROUTER = Noun("router", Trait.SPEAKER | _MACHINE)
SITE_HOST = Noun("site's host", _MACHINE)
SITE_LAN = Noun("LAN of a site")
INTERNET = Noun("Internet", _MACHINE, "the")
NIC = Noun("NIC", Trait.NIC | Trait.NEXT_HOP | Trait.HOST | Trait.HOP)
NVA_NIC = Noun("NIC of an NVA", Trait.SPEAKER | Trait.NIC | Trait.NEXT_HOP | Trait.HOST | Trait.HOP)
VIRTUAL_MACHINE = Noun("virtual machine", Trait.NIC | Trait.NEXT_HOP | _MACHINE, lengths=MACHINE_LENGTHS)
