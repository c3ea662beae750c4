"""Why a NIC sends a packet where it does: the effective route that wins, and what it wins over."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from labkit.azure.model import (
    Assumptions,
    Azure,
    EffectiveRoute,
    GatewayRoutes,
    HubRoutingPreference,
    InstanceId,
    LearnedRoute,
    LearnedRoutes,
    RouteSource,
    RouteState,
)
from labkit.azure.rules.adjacency import programming_hub, server_in
from labkit.azure.rules.effective import (
    NO_GATEWAY_ROUTES,
    bgp_paths,
    forwarding_key,
    hub_preference,
)
from labkit.azure.rules.selection import Loss, judged


@dataclass(frozen=True, slots=True)
class Decision:
    """What a NIC has for a destination.

    `rows` are all effective routes that hold it, the one that wins first, then the others of its prefix, then shorter
    ones. `paths` are the BGP paths for the prefix that wins, with why each is not in use (None: it is), by
    `preference`; none for a system route. `left_out` are prefixes by BGP that hold the destination and are no effective
    routes, because a virtual network's range covers them. `listens_to` is the route server's instance whose routes the
    NIC has.
    """

    rows: tuple[EffectiveRoute, ...]
    paths: tuple[tuple[LearnedRoute, Loss | None], ...]
    preference: HubRoutingPreference | None
    left_out: tuple[IPv4Network, ...]
    listens_to: InstanceId | None


def decide(
    azure: Azure,
    nic: str,
    destination: IPv4Address,
    *,
    table: Iterable[EffectiveRoute],
    learned: LearnedRoutes,
    gateways: GatewayRoutes = NO_GATEWAY_ROUTES,
) -> Decision:
    """What a NIC does with a packet to an address, and why [longest-prefix, prefer-expressroute].

    `table` are the NIC's effective routes, with what they follow from. The first row is `effective.lookup`'s.

    Raises:
        KeyError: there is no NIC of this name.
    """
    key = forwarding_key(azure, nic, learned)
    rows = [row for row in table if destination in row.prefix]
    rows.sort(key=lambda row: (-row.prefix.prefixlen, row.state is not RouteState.ACTIVE))
    hub = programming_hub(azure, key.virtual_network)
    if hub is None:
        return Decision(tuple(rows), (), None, (), None)
    server = server_in(azure, hub)
    preference = hub_preference(server)
    off = key.route_table is not None and azure.route_table[key.route_table].disable_bgp_route_propagation
    paths = {} if off else bgp_paths(azure, hub, key, learned, gateways)
    holding = {prefix: found for prefix, found in paths.items() if destination in prefix and found}
    listed = {row.prefix for row in rows if row.source is RouteSource.VIRTUAL_NETWORK_GATEWAY}
    by_bgp = bool(rows) and rows[0].source is RouteSource.VIRTUAL_NETWORK_GATEWAY
    return Decision(
        tuple(rows),
        judged(
            holding.get(rows[0].prefix, ()) if by_bgp else (),
            preference,
            server.assumptions if server is not None else Assumptions(),
            beside_route_server=server is not None,
        ),
        preference,
        tuple(sorted((p for p in holding if p not in listed), key=lambda p: -p.prefixlen)),
        InstanceId(server.name, key.instance) if server is not None and key.instance is not None else None,
    )
