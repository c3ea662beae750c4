"""A gateway's import policy, best path and export policy."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network

from labkit.azure.model import (
    ROUTE_SERVER_ASN,
    Azure,
    Gateway,
    InstanceId,
    LearnedRoute,
    PathAttributes,
    PeerKind,
    RouteServer,
)
from labkit.azure.model.ranges import Ranges
from labkit.azure.rules.acceptance import Originated, Rejection, RejectionReason, originated_in
from labkit.azure.rules.adjacency import local_and_adjacent_ranges
from labkit.azure.rules.asn import MICROSOFT_ASN
from labkit.azure.rules.communities import RELAYED, may_be_advertised
from labkit.azure.rules.gateways import (
    instance_peer,
    neighbour_addresses,
    nic_next_hop,
    stands_alone,
    static_remotes,
)

DEFAULT_ROUTE = IPv4Network("0.0.0.0/0")


class PathSource(StrEnum):
    """Where a gateway has a path from."""

    VIRTUAL_NETWORK = "virtual-network"
    STATIC = "local-network-gateway"
    NEIGHBOUR = "neighbour"
    """It is the address of a BGP neighbour in a tunnel."""
    ON_PREMISES = "on-premises"
    ROUTE_SERVER = "route-server"
    INSTANCE = "instance"
    """The other instance of the same gateway."""
    GATEWAY = "gateway"
    """A gateway of another type in the virtual network."""


_OWN = {PathSource.VIRTUAL_NETWORK: 0, PathSource.STATIC: 1, PathSource.NEIGHBOUR: 1}
"""What an instance has without BGP, and its rank."""

_INTERNAL = (PathSource.ROUTE_SERVER, PathSource.INSTANCE, PathSource.GATEWAY)
"""Where paths are from that internal BGP has brought."""


@dataclass(frozen=True, slots=True)
class GatewayPath:
    """A path in an instance of a gateway.

    `sender` names the circuit, customer's device, other gateway or route server it is from, or the gateway itself for
    the ranges of virtual networks; `address` is the speaker's, which breaks ties. `weight` is the routing weight of the
    connection to a circuit.
    """

    source: PathSource
    sender: str
    address: IPv4Address
    attributes: PathAttributes
    weight: int = 0


def own_paths(azure: Azure, gateway: Gateway, instance: int) -> dict[IPv4Network, GatewayPath]:
    """What an instance has without BGP: Azure's `Origin` for it is Network, its AS path empty.

    The ranges of the virtual network and of URG spokes [gateways-originate], and of a VPN gateway the static
    prefixes of its connections' local network gateways [static-prefixes], and the ranges of virtual networks to whose
    gateways it is connected without BGP [vnet-to-vnet-without-bgp], where the instance has a tunnel; of several with
    the same prefix those of the first connection. And the addresses of the neighbours with BGP in its tunnels,
    each as a prefix [bgp-neighbour-routes]. ORIGIN is IGP [origin-kept].
    """
    address = gateway.instances[instance]
    attributes = PathAttributes(address)
    paths = {
        prefix: GatewayPath(PathSource.STATIC, far, address, attributes)
        for far, prefixes in reversed([*static_remotes(azure, gateway, instance)])
        for prefix in prefixes
    }
    paths |= {
        prefix: GatewayPath(PathSource.NEIGHBOUR, name, address, attributes)
        for prefix, name in neighbour_addresses(azure, InstanceId(gateway.name, instance)).items()
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
    """Why a gateway drops a path that it received, or None if it accepts it. `server` is its `session_server`.

    - its own ASN in the path (RFC 4271 §9.1.2);
    - 65517:65517 from a circuit, at an ExpressRoute gateway in a virtual network with a route server: what one route
      server relayed does not reach the next one through the circuit [circuit-relay-filter]. Without the session the
      filter is off.

    Nothing else is dropped: a VPN gateway takes 0/0 too [vpn-takes-default].
    """
    if any(gateway.asn in (hop if isinstance(hop, frozenset) else (hop,)) for hop in attributes.as_path):
        return Rejection(RejectionReason.LOOP, f"its path already contains {gateway.asn}, the gateway's own ASN")
    if server is not None and from_circuit(gateway, source) and RELAYED in attributes.communities:
        return Rejection(
            RejectionReason.RELAYED, f"it comes from a route server, and {server.name} is in the gateway's network"
        )
    return None


def resolved(
    azure: Azure, gateway: Gateway, table: Mapping[IPv4Network, tuple[GatewayPath, ...]], edges: Collection[IPv4Address]
) -> dict[IPv4Network, tuple[GatewayPath, ...]]:
    """The paths whose next hop an instance reaches, which alone it may use [gateway-next-hop].

    `edges` are the far ends of the lines of its virtual network's gateways. A route by BGP may lead to the next hop of
    another one.
    """
    found: dict[IPv4Network, tuple[GatewayPath, ...]] = {}
    while True:
        reached = reached_from(azure, gateway, edges, found)
        kept = {prefix: tuple(path for path in paths if resolves(path, reached)) for prefix, paths in table.items()}
        more = {prefix: paths for prefix, paths in kept.items() if paths}
        if more.keys() == found.keys():
            return more
        found = more


def reached_from(
    azure: Azure, gateway: Gateway, edges: Iterable[IPv4Address], prefixes: Iterable[IPv4Network]
) -> Ranges:
    """Where next hops may be: in its virtual network and those peered with it, at `edges`, in `prefixes` of its own."""
    return Ranges(
        (*local_and_adjacent_ranges(azure, gateway.virtual_network), *(IPv4Network(edge) for edge in edges), *prefixes)
    )


def resolves(path: GatewayPath, reached: Ranges) -> bool:
    """Whether an instance has a way to a path's next hop (RFC 4271 §9.1.2.1) [gateway-next-hop].

    A neighbour on-premises is one hop away and must be the next hop itself (RFC 4271 §6.3), what internal BGP brings
    has one in `reached`.
    """
    if path.source in _INTERNAL:
        return reached.contains(path.attributes.next_hop)
    return path.source is not PathSource.ON_PREMISES or path.attributes.next_hop == path.address


def best_at_gateway(gateway: Gateway, paths: Sequence[GatewayPath]) -> GatewayPath | None:
    """The one path that a gateway uses and passes on [gateway-one-best-path].

    Its own come first. An ExpressRoute gateway then prefers its circuits, whose weight is 32769 where others have
    32768 [gateway-preference, gateway-listings], and of these the connection with the highest routing weight
    [connection-weight]. Then the shorter AS path, the better ORIGIN (RFC 4271 §9.1.2.2), of a circuit's edges the
    instance's own [edge-by-instance], then on-premises before the route server and other instances (eBGP before iBGP),
    then the lowest address of the speaker and of the next hop.

    The result does not depend on the order of `paths`.
    """

    def rank(path: GatewayPath) -> tuple[int, int, int, int, int, int, int, int, str]:
        learned = 2 if from_circuit(gateway, path.source) else 3
        by_source = _OWN.get(path.source, learned)
        attributes = path.attributes
        return (
            by_source,
            -path.weight,
            len(attributes.as_path),
            attributes.origin.rank,
            _med(gateway, path),
            path.source in _INTERNAL,
            int(path.address),
            int(attributes.next_hop),
            path.sender,
        )

    return min(paths, key=rank, default=None)


def used_at_gateway(gateway: Gateway, paths: Sequence[GatewayPath]) -> tuple[GatewayPath, ...]:
    """The paths that packets are shared among: the best one, and others from on-premises as good as it [gateway-ecmp].

    The first is the best. The result does not depend on the order of `paths`.
    """
    best = best_at_gateway(gateway, paths)
    if best is None or best.source is not PathSource.ON_PREMISES:
        return () if best is None else (best,)

    def merit(path: GatewayPath) -> tuple[PathSource, int, int, int, int]:
        attributes = path.attributes
        return path.source, path.weight, len(attributes.as_path), attributes.origin.rank, _med(gateway, path)

    equals = (path for path in paths if merit(path) == merit(best))
    return tuple(sorted(equals, key=lambda p: (p != best, int(p.address))))


def _med(gateway: Gateway, path: GatewayPath) -> int:
    """The MED of a path from a circuit, which the instance itself has set (`labkit.azure.rules.gateways.edge_med`)."""
    return path.attributes.med or 0 if from_circuit(gateway, path.source) else 0


def learned_from_gateway(
    gateway: Gateway, instance: int, prefix: IPv4Network, path: GatewayPath
) -> LearnedRoute | None:
    """An on-premises path as a route server receives it; None for any other path.

    Over iBGP the AS path stays as it is [prepends-65515]; static prefixes have an empty one [static-prefixes]. The next
    hop of an ExpressRoute route is what the gateway received, an address on Microsoft's side [expressroute-next-hop];
    of a VPN route it is the instance, whichever of the two has the tunnel [instances-exchange]. A gateway with another
    ASN than 65515 is an eBGP speaker [vpn-own-asn]: path `65515 300 200` at an NVA.
    """
    if path.source in (PathSource.VIRTUAL_NETWORK, PathSource.ROUTE_SERVER, PathSource.GATEWAY):
        return None
    attributes = path.attributes
    if gateway.kind is PeerKind.VPN_GATEWAY:
        attributes = replace(attributes, next_hop=gateway.instances[instance])
    if gateway.asn != ROUTE_SERVER_ASN:
        attributes = replace(attributes, as_path=(gateway.asn, *attributes.as_path), med=None)
    return LearnedRoute(prefix, attributes, instance_peer(gateway, instance))


def programmed_by_gateway(
    azure: Azure, gateway: Gateway, instance: int, prefix: IPv4Network, paths: Sequence[GatewayPath]
) -> Iterator[LearnedRoute]:
    """The on-premises paths of an instance as NICs are programmed with them.

    Of circuits' those of the highest routing weight [connection-weight]. NICs get these routes whether branch-to-branch
    is on or off [gateways-program-nics, vpn-takes-default]. Their next hop is the platform's address of the edge, which
    the gateway itself does not know [edge-addresses]; the instance's address in GatewaySubnet
    [active-active-next-hops], or where it is the only one, the public one [single-instance-next-hop]. The addresses of
    a gateway's BGP neighbours are among them only where it stands alone [bgp-neighbour-routes].
    """
    heaviest = max((path.weight for path in paths if from_circuit(gateway, path.source)), default=0)
    for path in paths:
        route = learned_from_gateway(gateway, instance, prefix, path)
        if route is None or (from_circuit(gateway, path.source) and path.weight < heaviest):
            continue
        single = prefix.prefixlen == prefix.max_prefixlen and path.source in (PathSource.NEIGHBOUR, PathSource.INSTANCE)
        of_neighbour = single and any(prefix in neighbour_addresses(azure, i) for i in gateway.instance_ids)
        if of_neighbour and not stands_alone(azure, gateway):
            continue
        next_hop = route.attributes.next_hop
        if gateway.kind is PeerKind.VPN_GATEWAY:
            next_hop = nic_next_hop(gateway, instance)
        else:
            edges = (edge for c in azure.connections if c.gateway == gateway.name for edge in c.edges)
            next_hop = next((edge.next_hop for edge in edges if edge.address == next_hop), next_hop)
        yield replace(route, attributes=replace(route.attributes, next_hop=next_hop))


def advertised_to_route_server(
    gateway: Gateway, instance: int, prefix: IPv4Network, path: GatewayPath
) -> PathAttributes | None:
    """What an instance advertises to its route server for a prefix's best path; None if nothing.

    On-premises routes only [branch-routes-to-nvas]: what came from the route server or another instance does not go
    there, nor do neighbours' addresses [bgp-neighbour-routes], and the ranges of virtual networks the route server
    knows itself.
    """
    if path.source not in (PathSource.STATIC, PathSource.ON_PREMISES):
        return None
    if not may_be_advertised(path.attributes, ebgp=gateway.asn != ROUTE_SERVER_ASN):
        return None
    route = learned_from_gateway(gateway, instance, prefix, path)
    return None if route is None else route.attributes


def advertised_on_premises(  # noqa: PLR0917 - the six facts that the rule asks for
    gateway: Gateway, instance: int, originated: Originated, neighbour: str, prefix: IPv4Network, path: GatewayPath
) -> PathAttributes | None:
    """What an instance advertises to a circuit, a site, an NVA or another gateway for a prefix's best path.

    None if nothing. `originated` is `originated_in` the gateway's virtual network; `neighbour` is the neighbour's name.
    All of it goes over eBGP: the gateway's ASN is prepended, the next hop is the instance, no MED. ORIGIN
    and communities stay [origin-kept, relay-community-to-sites].

    - Nothing goes back to where it came from, no neighbour's own address either [bgp-neighbour-routes].
    - An ExpressRoute gateway advertises nothing that it has from a VPN gateway beside it [gateways-exchange].
    - An ExpressRoute gateway advertises nothing of one circuit to another [no-expressroute-transit], whether it is the
      instance's or the route server brings it of the other one.
    - A VPN gateway advertises 0/0 to nobody [vpn-withholds-default], and nothing equal to or inside the ranges it
      originates but these themselves [vpn-to-on-premises]; a covering prefix passes [covering-prefix]. An ExpressRoute
      gateway relays both [default-to-gateways].
    """
    if path.sender == neighbour or not may_be_advertised(path.attributes, ebgp=True):
        return None
    if from_circuit(gateway, path.source) or path.source is PathSource.GATEWAY:
        return None
    if gateway.kind is PeerKind.EXPRESSROUTE_GATEWAY and path.attributes.as_path[:1] == (MICROSOFT_ASN,):
        return None
    if gateway.kind is PeerKind.VPN_GATEWAY and (
        prefix == DEFAULT_ROUTE or (path.source is not PathSource.VIRTUAL_NETWORK and originated.ranges.covers(prefix))
    ):
        return None
    attributes = path.attributes
    return replace(
        attributes, next_hop=gateway.instances[instance], as_path=(gateway.asn, *attributes.as_path), med=None
    )


def advertised_to_instance(gateway: Gateway, instance: int, to: str, path: GatewayPath) -> PathAttributes | None:
    """What an instance advertises to another one by internal BGP for a prefix's best path; None if nothing.

    That is the other one of the same gateway, or one of a gateway of another type, `to` by name. The next hop is the
    instance, the AS path stays, there is no MED. What came by internal BGP does not go on so (RFC 4271 §9.2).

    - A VPN gateway's instance advertises what it has from its tunnels, by BGP or not [instances-exchange].
    - An ExpressRoute gateway's advertises the ranges of virtual networks, and nothing of circuits [gateways-exchange].
    """
    if path.source in _INTERNAL or not may_be_advertised(path.attributes, ebgp=False):
        return None
    if (gateway.kind is PeerKind.VPN_GATEWAY) is (path.source is PathSource.VIRTUAL_NETWORK):
        return None
    if path.source is PathSource.NEIGHBOUR and to != gateway.name:  # [bgp-neighbour-routes]
        return None
    return replace(path.attributes, next_hop=gateway.instances[instance], med=None)
