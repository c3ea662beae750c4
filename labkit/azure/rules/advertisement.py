"""What a route server advertises to which peer, with which attributes: its export policy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from ipaddress import IPv4Network

from labkit.azure.model import (
    ROUTE_SERVER_ASN,
    BgpPeer,
    LearnedRoute,
    OwnRangePolicy,
    PathAttributes,
    PeerKind,
    RouteServer,
)
from labkit.azure.rules.acceptance import Originated
from labkit.azure.rules.communities import RELAYED, SPOKE, may_be_advertised
from labkit.azure.rules.selection import best_path


def advertised_to_peer(  # noqa: PLR0917 - the six facts that the matrix asks for
    server: RouteServer,
    instance: int,
    peer: BgpPeer,
    originated: Originated,
    prefix: IPv4Network,
    paths: Sequence[LearnedRoute],
) -> PathAttributes | None:
    """What instance `instance` (0 or 1) advertises to `peer` for a learned prefix; None if nothing.

    One best path for each prefix and peer [one-best-path], never back to the peer that supplied it
    [no-return], and none that is `withheld`. What the server originates is `originated_routes`.

    A caller with many prefixes takes `best_path` itself and asks `export_policy` once for each distinct path.
    """
    if withheld(server, peer, originated, prefix):
        return None
    best = best_path(paths, server.hub_routing_preference, server.assumptions)
    return None if best is None else export_policy(server, instance, peer, best.peer, best.attributes)


def withheld(server: RouteServer, peer: BgpPeer, originated: Originated, prefix: IPv4Network) -> bool:
    """Whether a learned prefix is not advertised to a peer, being equal to or inside what the server originates.

    It is advertised to no one, except to ExpressRoute gateways in the era that accepts such prefixes at all
    [own-ranges-withheld]: there 10.101.3.0/24, from an NVA inside 10.101.0.0/16, shows at the circuit's edge.
    """
    to_circuit = peer.kind is PeerKind.EXPRESSROUTE_GATEWAY and server.own_ranges is OwnRangePolicy.KEEP
    return not to_circuit and originated.ranges.covers(prefix)


def export_policy(
    server: RouteServer, instance: int, peer: BgpPeer, source: BgpPeer, attributes: PathAttributes
) -> PathAttributes | None:
    """The attributes with which a best path from `source` goes to `peer`; None if it does not go there.

    Between any two peers only with branch-to-branch on [nva-to-nva, nva-to-gateway, branch-routes-to-nvas], the two
    instances of a gateway too [instances-exchange]; 0/0 like any other [default-to-nvas]. Well-known communities stop
    it as in `may_be_advertised`.

    Over eBGP the next hop is the sending instance, 65515 is prepended once and no MED is sent [ebgp-next-hop,
    prepends-65515, med-not-sent]; to a gateway with ASN 65515 (iBGP) all three stay [ibgp-next-hop]. ORIGIN and
    communities are kept [origin-kept, communities-kept], and 65517:65517 is added to what goes to NVAs (from another
    NVA: assumed) and to what gateways get from NVAs [relay-community, relay-community-nvas]. Whether no-export stops
    it is assumed too [no-export].
    """
    if source.name == peer.name or not server.branch_to_branch:
        return None
    ebgp = peer.asn != ROUTE_SERVER_ASN
    if not may_be_advertised(attributes, ebgp=ebgp and server.assumptions.honours_no_export):
        return None
    communities = attributes.communities
    kinds = (source.kind, peer.kind)
    if PeerKind.NVA in kinds and (server.assumptions.nva_relay_community or kinds != (PeerKind.NVA, PeerKind.NVA)):
        communities = tuple(sorted({*communities, RELAYED}))
    if not ebgp:
        return replace(attributes, communities=communities)
    return replace(
        attributes,
        next_hop=server.instances[instance],
        as_path=(ROUTE_SERVER_ASN, *attributes.as_path),
        med=None,
        communities=communities,
    )


def originated_routes(
    server: RouteServer, instance: int, peer: BgpPeer, originated: Originated
) -> dict[IPv4Network, PathAttributes]:
    """The prefixes that instance `instance` originates towards `peer`, with their attributes.

    NVAs always get the ranges of the virtual network (path 65515, no community) and of URG spokes (community
    65518:65518, assumed) [own-ranges-to-nvas, spoke-ranges-to-nvas, spoke-community]; gateways get none, they originate
    them themselves [gateways-originate]. ORIGIN is IGP and the next hop the instance's own address [origin-kept,
    prepends-65515, ebgp-next-hop].
    """
    if peer.kind is not PeerKind.NVA:
        return {}
    own = PathAttributes(next_hop=server.instances[instance], as_path=(ROUTE_SERVER_ASN,))
    spoke = replace(own, communities=(SPOKE,)) if server.assumptions.spoke_community else own
    return dict.fromkeys(originated.spokes, spoke) | dict.fromkeys(originated.own, own)
