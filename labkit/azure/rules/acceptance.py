"""Which received routes a route server accepts: its import policy."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network

from labkit.azure.model import (
    ROUTE_SERVER_ASN,
    Azure,
    BgpPeer,
    LearnedRoute,
    OwnRangePolicy,
    PathAttributes,
    PeerKind,
    RouteServer,
)
from labkit.azure.model.ranges import Ranges
from labkit.azure.rules.adjacency import gateway_spokes, peered_ranges
from labkit.azure.rules.communities import RELAYED


@dataclass(frozen=True)
class Originated:
    """What a route server originates itself: its virtual network's ranges and those of its URG spokes."""

    own: tuple[IPv4Network, ...]
    spokes: tuple[IPv4Network, ...] = ()

    @cached_property
    def ranges(self) -> Ranges:
        """All of it as one set."""
        return Ranges((*self.own, *self.spokes))


def originated(azure: Azure, server_name: str) -> Originated:
    """What the route server originates, one prefix for each address range [originates-ranges-only].

    Peered spokes without URG are not among them [plain-spokes-not-advertised].

    Raises:
        KeyError: there is no route server of this name.
    """
    return originated_in(azure, azure.route_server[server_name].virtual_network)


def originated_in(azure: Azure, hub: str) -> Originated:
    """What the route server and the gateways of a virtual network originate, each for itself.

    Facts: [own-ranges-to-nvas, gateways-originate].
    """
    own = azure.virtual_network[hub].address_space
    spokes = (r for spoke in gateway_spokes(azure, hub) for r in peered_ranges(azure, hub, spoke))
    return Originated(own, tuple(dict.fromkeys(r for r in spokes if r not in own)))


class RejectionReason(StrEnum):
    """Why a received route is dropped."""

    LOOP = "as-path-loop"
    AS_ZERO = "as-zero"
    FIRST_AS = "first-as"
    NEXT_HOP = "next-hop"
    MARTIAN = "martian"
    OWN_RANGE = "own-range"
    RELAYED = "relayed-by-a-route-server"


@dataclass(frozen=True, slots=True)
class Rejection:
    """A dropped route's reason, and the same as a sentence."""

    reason: RejectionReason
    text: str


# Destinations and next hops that RFC 1122 and RFC 6890 rule out for unicast forwarding.
_NOT_FORWARDABLE = tuple(IPv4Network(n) for n in ("0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/4", "240.0.0.0/4"))
_MARTIANS = Ranges(_NOT_FORWARDABLE)


def rejection(route: LearnedRoute, server: RouteServer, originated: Originated) -> Rejection | None:
    """Why `server` drops a route that it received, or None if it accepts it.

    The loop check runs before anything else [path-with-65515]. `attributes_rejection` is the half that depends
    on the path alone: a caller with many prefixes of the same attributes asks it once.
    """
    return attributes_rejection(route.attributes, route.peer, server) or prefix_rejection(
        route.prefix, server, originated
    )


def attributes_rejection(attributes: PathAttributes, peer: BgpPeer, server: RouteServer) -> Rejection | None:
    """Why a path is dropped whatever its prefix, or None.

    - 65515 anywhere in the path, sets included [path-with-65515];
    - AS 0 [as-zero];
    - over eBGP, a path that does not start with the peer's own ASN, an empty one included (RFC 4271 §6.3, because
      ExaBGP does not check it: docs/exabgp.md) [malformed-routes];
    - from a VPN gateway with an ASN of its own, a community 65517:x [vpn-own-asn-filter];
    - a next hop that is not a unicast address, or one of the route server's own (RFC 4271 §6.3)
      [route-server-next-hop]. Any other is honoured, third-party ones included [third-party-next-hop].
    """
    path = attributes.as_path
    asns = {asn for hop in path for asn in (hop if isinstance(hop, frozenset) else (hop,))}
    if ROUTE_SERVER_ASN in asns:
        return Rejection(
            RejectionReason.LOOP, f"its path already contains {ROUTE_SERVER_ASN}, the route server's own ASN"
        )
    if 0 in asns:
        return Rejection(RejectionReason.AS_ZERO, "its path contains AS 0")
    if peer.asn != ROUTE_SERVER_ASN and (not path or path[0] != peer.asn):
        return Rejection(RejectionReason.FIRST_AS, f"its path does not start with the peer's own ASN {peer.asn}")
    if (
        peer.kind is PeerKind.VPN_GATEWAY
        and peer.asn != ROUTE_SERVER_ASN
        and any(high == RELAYED[0] for high, _ in attributes.communities)
    ):
        return Rejection(
            RejectionReason.RELAYED, f"it has a community of {RELAYED[0]}, and the gateway's ASN is {peer.asn}"
        )
    if not _is_next_hop(attributes.next_hop, server):
        return Rejection(RejectionReason.NEXT_HOP, f"its next hop {attributes.next_hop} can't be one")
    return None


def prefix_rejection(prefix: IPv4Network, server: RouteServer, originated: Originated) -> Rejection | None:
    """Why a prefix is dropped whatever its path, or None.

    A prefix equal to or inside a range that the server originates is dropped on receipt in the era "2026", kept in the
    era "2021" [own-ranges, supernets-kept]; NICs end up the same [own-ranges-not-programmed]. Prefixes that can't be
    forwarded to (loopback, multicast, ...) are dropped in both; 0/0 is not one of them.
    """
    if server.own_ranges is OwnRangePolicy.DROP and originated.ranges.covers(prefix):
        return Rejection(RejectionReason.OWN_RANGE, "it lies in a range that the route server originates itself")
    if _MARTIANS.covers(prefix):
        return Rejection(RejectionReason.MARTIAN, "no packet can be forwarded to it")
    return None


def _is_next_hop(address: IPv4Address, server: RouteServer) -> bool:
    return address not in server.instances and not _MARTIANS.contains(address)
