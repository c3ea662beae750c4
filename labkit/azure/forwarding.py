"""What the fabric of a virtual network does with a packet out of a NIC, as one pure rule [two-stage-forwarding].

`forward` takes it from the NIC to the next one in the order in which the fabric decides: what the NIC may send, the
effective route's next hop, what the next hop's virtual network takes, what its NIC takes. `next_hops` is the second of
these alone. The nftables program of `labkit.fabric.program` does the same in the kernel; a property test holds one
against the other. How packets end on a longer path has the same `Disposition`s (docs/forwarding.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from ipaddress import IPv4Address

from labkit.azure.flows import GRE, IP_IN_IP, TCP, UDP, Flow, backend, chosen
from labkit.azure.model import ON_LINK, Azure, EffectiveRoute, NextHopType, Nic
from labkit.azure.rules.adjacency import peered_ranges, takes_forwarded

_NOT_CARRIED = (IP_IN_IP, GRE)


class Disposition(StrEnum):
    """What becomes of a packet: at one step of its way (the first three), or at its end.

    Attributes:
        meaning: a sentence for readers; docs/forwarding.md has it.
    """

    DELIVERED = "delivered", "It is at the node that has its destination address."
    FORWARDED = "forwarded", "It goes on to the next hop, which decides by a table of its own."
    INTERNET = "to the Internet", "The effective route leads to the Internet, and it leaves the virtual network."
    NO_ROUTE = "no route", "The table that decides, a NIC's effective routes or a router's, has no route for it."
    NONE = "next hop None", "The effective route's next hop type is None: the packet is dropped without an answer."
    FOREIGN_SOURCE = (
        "foreign source",
        "IP forwarding is off on the NIC that sends it, and its source is another address than the NIC's.",
    )
    PROTOCOL = "protocol not carried", "It is IP-in-IP or GRE, which virtual networks do not carry."
    UNKNOWN_DESTINATION = "unknown destination", "No node has the address to which the route leads."
    NO_BACKEND = "no backend", "The next hop is a load balancer's frontend, and none of its backends is up."
    NO_RULE = (
        "no load-balancing rule",
        "It is for a load balancer's frontend itself, whose rule is for TCP and UDP alone, and not for fragments.",
    )
    NOT_ACCEPTED = (
        "not accepted",
        "The virtual network that it comes from only forwards it, and the next one's peering does not allow that.",
    )
    NOT_FORWARDED = (
        "not forwarded",
        "It is for another address than that of the NIC of its next hop, whose IP forwarding is off.",
    )
    DENIED = "denied", "It is at a firewall, and by its rules no flow of its kind may pass."
    BLACK_HOLE = "black hole", "A router's route for it drops or refuses it."
    NOT_A_ROUTER = "not a router", "It is at a machine that does not forward packets, whatever its NIC may do."
    OWN_SOURCE = "own source", "It is back at the node whose source address it has; the kernel there drops it."
    NOT_CONNECTED = "not connected", "It enters a tunnel of a connection that is deleted."
    OFF = "powered off", "The node at which it arrives is powered off."
    LOOP = "loop", "It is back at a node that has forwarded it already, and loops until its TTL expires."
    TTL = "TTL expired", "Its TTL expires before it has arrived, though it has not been at any node twice."
    UNREAD = "not known", "It is at a router whose table can't be read."

    meaning: str

    def __new__(cls, title: str, meaning: str) -> Disposition:
        """A member is its title, with a meaning."""
        member = str.__new__(cls, title)
        member._value_ = title
        member.meaning = meaning
        return member

    @property
    def drops(self) -> bool:
        """Whether a packet ends so without having arrived."""
        return self not in (Disposition.DELIVERED, Disposition.FORWARDED, Disposition.INTERNET)


@dataclass(frozen=True, slots=True)
class Packet:
    """A packet's addresses, and its flow where that is known."""

    source: IPv4Address
    destination: IPv4Address
    flow: Flow | None = None


@dataclass(frozen=True, slots=True)
class Backend:
    """A backend of a load balancer: its NIC's address, and whether its probes succeed."""

    address: IPv4Address
    up: bool = True


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the fabric of a virtual network knows in addition to effective routes.

    Attributes:
        reachable: the NIC that gets what is sent to an address, in the virtual network and those peered with it.
        frontends: the backends behind each load balancer's frontend that may be a next hop here, in their order.
        internet: whether the lab has an Internet.
        seed: where the hash of flows starts; 32 bits.
    """

    reachable: Mapping[IPv4Address, Nic]
    frontends: Mapping[IPv4Address, Sequence[Backend]] = field(default_factory=dict)
    internet: bool = False
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a packet by one of its possible next hops.

    `next_hop` is the address to which the route leads: the destination on-link, a backend behind a frontend; what is
    DELIVERED there has it for its destination, whatever it had before. `nic` is the NIC that gets the packet, or would.
    Both are None where it gets nowhere.
    """

    disposition: Disposition
    next_hop: IPv4Address | None = None
    nic: Nic | None = None


def forward(
    azure: Azure, surroundings: Surroundings, nic: Nic, row: EffectiveRoute | None, packet: Packet
) -> tuple[Verdict, ...]:
    """What the fabric does with a packet out of a NIC, whose effective route for it is `row` (None: it has none).

    With a known flow there is one verdict; without one, there is one for each next hop that a flow may take.
    """
    refused = sent(nic, packet)
    if refused is not None:
        return (Verdict(refused),)
    verdicts = (_taken(azure, nic, packet, verdict) for verdict in next_hops(surroundings, row, packet))
    return tuple(dict.fromkeys(verdicts))


def sent(nic: Nic, packet: Packet) -> Disposition | None:
    """Why a NIC may not send a packet; None if it may [blocked-protocols, ip-forwarding]."""
    if packet.flow is not None and packet.flow.protocol in _NOT_CARRIED:
        return Disposition.PROTOCOL
    if not nic.ip_forwarding and packet.source not in nic.addresses:
        return Disposition.FOREIGN_SOURCE
    return None


def next_hops(surroundings: Surroundings, row: EffectiveRoute | None, packet: Packet) -> tuple[Verdict, ...]:
    """Where an effective route leads a packet: DELIVERED where its destination is the next hop, or FORWARDED.

    With a known flow there is one verdict; without one, there is one for each next hop that a flow may take.
    """
    if row is None:
        return (Verdict(Disposition.NO_ROUTE),)
    if row.next_hop_type is NextHopType.NONE:
        return (Verdict(Disposition.NONE),)
    if row.next_hop_type is NextHopType.INTERNET:
        return (Verdict(Disposition.INTERNET if surroundings.internet else Disposition.UNKNOWN_DESTINATION),)
    hops = (packet.destination,) if row.next_hop_type in ON_LINK else row.next_hops
    return tuple(dict.fromkeys(_via(surroundings, hops, packet)))


def _via(surroundings: Surroundings, hops: Sequence[IPv4Address], packet: Packet) -> Iterator[Verdict]:
    if packet.flow is not None and len(hops) > 1:
        hops = (hops[chosen(packet.flow, packet.source, packet.destination, len(hops), surroundings.seed)],)
    for hop in hops:
        # The address of a NIC comes first, as in the fabric's program; no valid model has it as a frontend's too.
        if hop in surroundings.frontends and hop not in surroundings.reachable:
            yield from _balanced(surroundings, hop, packet)
        else:
            yield _reached(surroundings, hop, packet)


def _balanced(surroundings: Surroundings, frontend: IPv4Address, packet: Packet) -> Iterator[Verdict]:
    """The backends that may get a packet [ha-ports-symmetry].

    What is for the frontend itself has their address when it gets there [balancer-frontend].
    """
    addressed = packet.destination == frontend
    if addressed and packet.flow is not None and (packet.flow.protocol not in (TCP, UDP) or packet.flow.ports is None):
        yield Verdict(Disposition.NO_RULE, frontend)
        return
    everyone = surroundings.frontends[frontend]
    up = [b.up and b.address in surroundings.reachable for b in everyone]
    places = [place for place, is_up in enumerate(up) if is_up]
    if not places:
        yield Verdict(Disposition.NO_BACKEND, frontend)
        return
    if packet.flow is not None:
        places = [backend(packet.flow, packet.source, packet.destination, up, frontend)]
    for place in places:
        address = everyone[place].address
        yield _reached(surroundings, address, replace(packet, destination=address) if addressed else packet)


def _reached(surroundings: Surroundings, hop: IPv4Address, packet: Packet) -> Verdict:
    nic = surroundings.reachable.get(hop)
    if nic is None:
        return Verdict(Disposition.UNKNOWN_DESTINATION, hop)
    arrived = packet.destination in nic.addresses
    return Verdict(Disposition.DELIVERED if arrived else Disposition.FORWARDED, hop, nic)


def _taken(azure: Azure, nic: Nic, packet: Packet, verdict: Verdict) -> Verdict:
    """The verdict with what the next hop's network and NIC accept [forwarded-traffic, ip-forwarding]."""
    there = verdict.nic
    if there is None:
        return verdict
    here = nic.virtual_network
    if there.virtual_network != here:
        own = any(packet.source in prefix for prefix in peered_ranges(azure, there.virtual_network, here))
        if not own and not takes_forwarded(azure, there.virtual_network, here):
            return Verdict(Disposition.NOT_ACCEPTED, verdict.next_hop, there)
    if not there.ip_forwarding and verdict.disposition is not Disposition.DELIVERED:
        return Verdict(Disposition.NOT_FORWARDED, verdict.next_hop, there)
    return verdict
