"""Routes in the shapes that Azure's command line prints."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv4Network
from typing import TypedDict, TypeVar

from labkit.azure.model import (
    ROUTE_SERVER_ASN,
    AsPath,
    BgpPeer,
    EffectiveRoute,
    Gateway,
    InstanceRoutes,
    NextHopType,
    PathAttributes,
    PeerKind,
    RouteServer,
    RouteSource,
)
from labkit.azure.rules.gateway_policy import GatewayPath, PathSource, from_circuit

RowT = TypeVar("RowT")

LEARNED_WEIGHT = 32768
ADVERTISED_WEIGHT = 0
SYSTEM_ROUTE = "System Route"
"""The id of the route table of a route that is not a user's."""

_WITHOUT_BGP = (PathSource.VIRTUAL_NETWORK, PathSource.STATIC, PathSource.NEIGHBOUR)


class EffectiveRow(TypedDict):
    """One element of `az network nic show-effective-route-table`'s `value`; ECMP is one row with several next hops."""

    source: str
    state: str
    addressPrefix: list[str]
    nextHopType: str
    nextHopIpAddress: list[str]


class EffectiveTable(TypedDict):
    """The JSON document of `az network nic show-effective-route-table`."""

    value: list[EffectiveRow]


class NextHopRow(TypedDict):
    """The JSON document of `az network watcher show-next-hop`."""

    nextHopIpAddress: str
    nextHopType: str
    routeTableId: str


class AdvertisedRow(TypedDict):
    """One element of `az network routeserver peering list-advertised-routes`; it has no `sourcePeer`."""

    asPath: str
    localAddress: str
    network: str
    nextHop: str
    origin: str
    weight: int


class LearnedRow(AdvertisedRow):
    """One element of `az network routeserver peering list-learned-routes`."""

    sourcePeer: str


class LearnedTable(TypedDict):
    """The JSON document of `az network vnet-gateway list-learned-routes`."""

    value: list[LearnedRow]


def effective_json(rows: Iterable[EffectiveRoute]) -> EffectiveTable:
    """A NIC's effective routes as Azure's JSON document.

    Facts: [effective-columns, same-source, multipath-entry, global-peering-type].
    """
    return {
        "value": [
            {
                "source": str(row.source),
                "state": str(row.state),
                "addressPrefix": [str(row.prefix)],
                "nextHopType": str(row.next_hop_type),
                "nextHopIpAddress": [str(hop) for hop in row.next_hops],
            }
            for row in rows
        ]
    }


def next_hop_json(row: EffectiveRoute | None, route_table: str | None) -> NextHopRow:
    """An effective route that packets follow as Network Watcher's next hop: of several equal ones the first.

    `route_table` is that of the NIC's subnet: only its routes have an id. Without a route the type is None, as for one
    that drops [next-hop-document].
    """
    if row is None:
        return {"nextHopIpAddress": "", "nextHopType": str(NextHopType.NONE), "routeTableId": SYSTEM_ROUTE}
    return {
        "nextHopIpAddress": str(row.next_hops[0]) if row.next_hops else "",
        "nextHopType": str(row.next_hop_type),
        "routeTableId": (row.source is RouteSource.USER and route_table) or SYSTEM_ROUTE,
    }


def learned_rows(server: RouteServer, instance: int, peer: BgpPeer, routes: InstanceRoutes) -> list[LearnedRow]:
    """What an instance has learned from one peer, by ascending prefix [route-listings]."""
    return [
        {
            "asPath": as_path_text(path.attributes.as_path),
            "localAddress": str(server.instances[instance]),
            "network": str(prefix),
            "nextHop": str(path.attributes.next_hop),
            "origin": "IBgp" if peer.asn == ROUTE_SERVER_ASN else "EBgp",
            "sourcePeer": str(peer.address),
            "weight": LEARNED_WEIGHT,
        }
        for prefix in sorted(routes)
        for path in routes[prefix]
        if path.peer.name == peer.name
    ]


def advertised_rows(
    server: RouteServer, instance: int, routes: Mapping[IPv4Network, PathAttributes]
) -> list[AdvertisedRow]:
    """What an instance advertises to one peer, by ascending prefix [route-listings]."""
    return [
        {
            "asPath": as_path_text(attributes.as_path),
            "localAddress": str(server.instances[instance]),
            "network": str(prefix),
            "nextHop": str(attributes.next_hop),
            "origin": attributes.origin.value.capitalize(),
            "weight": ADVERTISED_WEIGHT,
        }
        for prefix, attributes in sorted(routes.items())
    ]


def gateway_rows(
    gateway: Gateway, instance: int, paths: Mapping[IPv4Network, Sequence[GatewayPath]]
) -> list[LearnedRow]:
    """The routes in an instance of a gateway, by ascending prefix: `az network vnet-gateway list-learned-routes`.

    Its own have Origin Network and no next hop. Weight 32769 has what is from circuits, and at a VPN gateway what the
    ExpressRoute gateway beside it advertises [gateway-listings, gateways-exchange].
    """
    return [
        {
            "asPath": as_path_text(path.attributes.as_path),
            "localAddress": str(gateway.instances[instance]),
            "network": str(prefix),
            "nextHop": "" if path.source in _WITHOUT_BGP else str(path.attributes.next_hop),
            "origin": _gateway_origin(gateway, path),
            "sourcePeer": str(path.address),
            "weight": LEARNED_WEIGHT + _by_expressroute(gateway, path.source),
        }
        for prefix in sorted(paths)
        for path in paths[prefix]
    ]


def by_instance(first: Sequence[RowT], second: Sequence[RowT]) -> dict[str, list[RowT]]:
    """The two instances' rows as the one document that both listing commands print [route-listings]."""
    return {"RouteServiceRole_IN_0": list(first), "RouteServiceRole_IN_1": list(second)}


def as_path_text(as_path: AsPath) -> str:
    """An AS path joined with hyphens [route-listings], such as `65515-65001`; an AS_SET as `{65001,65002}`."""
    return "-".join(
        "{" + ",".join(map(str, sorted(hop))) + "}" if isinstance(hop, frozenset) else str(hop) for hop in as_path
    )


def _gateway_origin(gateway: Gateway, path: GatewayPath) -> str:
    if path.source in _WITHOUT_BGP:
        return "Network"
    if path.source in (PathSource.INSTANCE, PathSource.GATEWAY):
        return "IBgp"
    return "IBgp" if path.source is PathSource.ROUTE_SERVER and gateway.asn == ROUTE_SERVER_ASN else "EBgp"


def _by_expressroute(gateway: Gateway, source: PathSource) -> bool:
    beside = gateway.kind is PeerKind.VPN_GATEWAY and source is PathSource.GATEWAY
    return beside or from_circuit(gateway, source)
