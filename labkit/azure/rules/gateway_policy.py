"""What a gateway keeps, prefers and passes on (reference §5, and §3.1 and §3.2 for its side of the table).

A gateway's instances hold the same: what one learns it tells the other (FAB-C, MDD), which is left out here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network

from labkit.azure.model import (
    ROUTE_SERVER_ASN,
    Azure,
    Gateway,
    LearnedRoute,
    PathAttributes,
    PeerKind,
    RouteServer,
)
from labkit.azure.rules.acceptance import Originated, Rejection, RejectionReason, originated_in
from labkit.azure.rules.communities import RELAYED, may_be_advertised
from labkit.azure.rules.gateways import connected_sites, instance_peer

DEFAULT_ROUTE = IPv4Network("0.0.0.0/0")


class PathSource(StrEnum):
    """Where a gateway has a path from."""

    VIRTUAL_NETWORK = "virtual-network"
    STATIC = "local-network-gateway"
    ON_PREMISES = "on-premises"
    ROUTE_SERVER = "route-server"


@dataclass(frozen=True, slots=True)
class GatewayPath:
    """A path that an instance of a gateway holds.

    `sender` names the circuit, local network gateway or route server it is from, or the gateway itself for the ranges
    of virtual networks; `address` is the speaker's, which breaks ties.
    """

    source: PathSource
    sender: str
    address: IPv4Address
    attributes: PathAttributes


def own_paths(azure: Azure, gateway: Gateway, instance: int) -> dict[IPv4Network, GatewayPath]:
    """What an instance holds without BGP: Azure's `Origin` for it is Network, its AS path empty.

    The ranges of the virtual network and of URG spokes (reference §3.1 rows 1 and 2), and of a VPN gateway the
    static prefixes of its connections' local network gateways (§5, FAB-C). ORIGIN is IGP (§3.2).
    """
    address = gateway.instances[instance]
    attributes = PathAttributes(address)
    paths = {
        prefix: GatewayPath(PathSource.STATIC, site.name, address, attributes)
        for site in reversed(connected_sites(azure, gateway))
        for prefix in site.address_space
    }
    mine = originated_in(azure, gateway.virtual_network)
    own = GatewayPath(PathSource.VIRTUAL_NETWORK, gateway.name, address, attributes)
    return paths | dict.fromkeys((*mine.own, *mine.spokes), own)


def from_circuit(gateway: Gateway, source: PathSource) -> bool:
    """Whether what a gateway has from this source came over an ExpressRoute circuit."""
    return gateway.kind is PeerKind.EXPRESSROUTE_GATEWAY and source is PathSource.ON_PREMISES


def gateway_rejection(
    gateway: Gateway, server: RouteServer | None, source: PathSource, attributes: PathAttributes
) -> Rejection | None:
    """Why a gateway drops a path that it received, or None if it keeps it. `server` is its `session_server`.

    - its own ASN in the path (RFC 4271 §9.1.2);
    - 65517:65517 from a circuit, at an ExpressRoute gateway with a route server beside it: what one route server
      relayed does not reach the next one through the circuit (reference §5, WIKI, FAQ25; catalogue row 27). Without
      the session the filter is off.

    Nothing else is dropped: a VPN gateway takes 0/0 too (§5, AZC, MYE).
    """
    if any(gateway.asn in (hop if isinstance(hop, frozenset) else (hop,)) for hop in attributes.as_path):
        return Rejection(RejectionReason.LOOP, f"its path already holds {gateway.asn}, the gateway's own ASN")
    if server is not None and from_circuit(gateway, source) and RELAYED in attributes.communities:
        return Rejection(RejectionReason.RELAYED, f"a route server relayed it, and {server.name} is beside the gateway")
    return None


def best_at_gateway(gateway: Gateway, paths: Sequence[GatewayPath]) -> GatewayPath | None:
    """The one path that a gateway uses and passes on (reference §5: one best path even where two NVAs tie).

    Its own come first. An ExpressRoute gateway then prefers its circuits, whose weight is 32769 where others have
    32768 (§3.3, FAB-C). Then the shorter AS path, the better ORIGIN (RFC 4271 §9.1.2.2), then on-premises before the
    route server (eBGP before iBGP, MDD), then the lowest address of the speaker and of the next hop ("the lower address
    won", CASC).

    The result does not depend on the order of `paths`.
    """

    def rank(path: GatewayPath) -> tuple[int, int, int, int, int, int, str]:
        learned = 2 if from_circuit(gateway, path.source) else 3
        by_source = {PathSource.VIRTUAL_NETWORK: 0, PathSource.STATIC: 1}.get(path.source, learned)
        attributes = path.attributes
        from_server = path.source is PathSource.ROUTE_SERVER
        return (
            by_source,
            len(attributes.as_path),
            attributes.origin.rank,
            from_server,
            int(path.address),
            int(attributes.next_hop),
            path.sender,
        )

    return min(paths, key=rank, default=None)


def reported(gateway: Gateway, instance: int, prefix: IPv4Network, path: GatewayPath) -> LearnedRoute | None:
    """An on-premises path as a route server hears it and as NICs are programmed with it; None for any other path.

    Over iBGP the AS path stays as it is (reference §3.2; static prefixes have an empty one, FAB-C). The next hop of an
    ExpressRoute route is what the gateway got, an address on Microsoft's side (FAB-C 10.100.0.199, FAB-E
    10.3.129.67); of a VPN route it is the instance (FAB-C 10.100.0.196). Azure prints the public address of a VPN
    gateway with one instance (§4.2 "Display", MHK); here it is the private one, as for two.

    A gateway with another ASN than 65515 is an eBGP speaker (§5: path `65515 300 200` at an NVA).
    """
    if path.source in (PathSource.VIRTUAL_NETWORK, PathSource.ROUTE_SERVER):
        return None
    attributes = path.attributes
    if gateway.kind is PeerKind.VPN_GATEWAY:
        attributes = replace(attributes, next_hop=gateway.instances[instance])
    if gateway.asn != ROUTE_SERVER_ASN:
        attributes = replace(attributes, as_path=(gateway.asn, *attributes.as_path), med=None)
    return LearnedRoute(prefix, attributes, instance_peer(gateway, instance))


def advertised_to_route_server(
    gateway: Gateway, instance: int, prefix: IPv4Network, path: GatewayPath
) -> PathAttributes | None:
    """What an instance tells its route server about its best path for a prefix; None if nothing.

    On-premises routes only (reference §3.1): what came from the route server does not go back, and the ranges of
    virtual networks the route server knows itself.
    """
    if not may_be_advertised(path.attributes, ebgp=gateway.asn != ROUTE_SERVER_ASN):
        return None
    route = reported(gateway, instance, prefix, path)
    return None if route is None else route.attributes


def advertised_on_premises(  # noqa: PLR0917 - the six facts that the rule asks for
    gateway: Gateway, instance: int, originated: Originated, neighbour: str, prefix: IPv4Network, path: GatewayPath
) -> PathAttributes | None:
    """What an instance tells a circuit or a site about its best path for a prefix; None if nothing.

    `originated` is `originated_in` the gateway's virtual network; `neighbour` is the circuit's or the local network
    gateway's name. All of it goes over eBGP: the gateway's ASN is prepended, the next hop is the instance, no MED.
    ORIGIN and communities stay (reference §3.2, CASC; §5 "not stripped towards on-prem").

    - Nothing goes back to where it came from.
    - An ExpressRoute gateway tells a circuit nothing of another one (§3.1 "ER-to-ER transit", ERV).
    - A VPN gateway tells nobody 0/0, and nothing equal to or inside the ranges it originates but these themselves; a
      covering prefix passes (§5, VPNF, TRB; catalogue row 15). An ExpressRoute gateway relays both (§3.1 "Default
      0/0", DML; FAB-E 10.101.3.0/24).
    """
    if path.sender == neighbour or not may_be_advertised(path.attributes, ebgp=True):
        return None
    if from_circuit(gateway, path.source):
        return None
    if gateway.kind is PeerKind.VPN_GATEWAY and (
        prefix == DEFAULT_ROUTE or (path.source is not PathSource.VIRTUAL_NETWORK and originated.ranges.covers(prefix))
    ):
        return None
    attributes = path.attributes
    return replace(
        attributes, next_hop=gateway.instances[instance], as_path=(gateway.asn, *attributes.as_path), med=None
    )
