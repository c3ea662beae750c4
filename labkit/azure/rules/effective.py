"""Every NIC's effective routes: the oracle of the whole laboratory.

Two points were settled by published captures of real Azure:

- A BGP route under a user-defined one of the same prefix is listed as Invalid, and the Default 0/0 that the BGP 0/0
  displaced stays away (lrivallain's AVS hub-and-spoke, part 3, NIC `avs-bgp-nic`).
- A reserved block stays listed when the virtual network owns a *part* of it: 10.0.0.0/8 None next to 10.40.0.0/16
  VnetLocal, in the very capture that the list of blocks is from. By the documentation it goes [block-owned-in-part].
"""

from __future__ import annotations

import zlib
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from types import MappingProxyType

from labkit.azure.model import (
    Assumptions,
    Azure,
    EffectiveRoute,
    GatewayRoutes,
    HubRoutingPreference,
    InstanceRoutes,
    LearnedRoute,
    LearnedRoutes,
    NextHopType,
    PeerKind,
    ReservedBlocks,
    RouteServer,
    RouteSource,
    RouteState,
    RouteTable,
    UserRoute,
)
from labkit.azure.model.ranges import Ranges
from labkit.azure.rules.acceptance import originated_in
from labkit.azure.rules.adjacency import (
    connected_peerings,
    local_and_adjacent_ranges,
    programming_hub,
    programming_server,
    remote_ranges,
    server_in,
)
from labkit.azure.rules.gateways import gateway_of_user_routes, gateways_in, nic_next_hop
from labkit.azure.rules.selection import best

DEFAULT_ROUTE = IPv4Network("0.0.0.0/0")

NO_GATEWAY_ROUTES: GatewayRoutes = MappingProxyType({})
"""What gateways have where there are none."""

RESERVED_BLOCKS = tuple(
    IPv4Network(n)
    for n in (
        "10.0.0.0/8",
        "127.0.0.0/8",
        "100.64.0.0/10",
        "172.16.0.0/12",
        "25.176.0.0/13",
        "25.152.0.0/14",
        "25.184.0.0/14",
        "25.4.0.0/14",
        "25.148.0.0/15",
        "198.18.0.0/15",
        "25.150.0.0/16",
        "25.156.0.0/16",
        "25.159.0.0/16",
        "40.109.0.0/16",
        "192.168.0.0/16",
        "104.147.0.0/16",
        "157.59.0.0/16",
        "40.108.0.0/17",
        "104.146.0.0/17",
        "23.103.0.0/18",
        "20.35.252.0/22",
    )
)
"""The 21 blocks that Azure lists with next hop None [reserved-blocks], in its order."""

RESERVED_BLOCKS_2021 = tuple(
    IPv4Network(n)
    for n in (
        "10.0.0.0/8",
        "100.64.0.0/10",
        "25.48.0.0/12",
        "25.4.0.0/14",
        "198.18.0.0/15",
        "157.59.0.0/16",
        "192.168.0.0/16",
        "25.33.0.0/16",
        "40.109.0.0/16",
        "104.147.0.0/16",
        "40.108.0.0/17",
        "104.146.0.0/17",
        "23.103.0.0/18",
        "25.41.0.0/20",
        "20.35.252.0/22",
    )
)
"""The 15 blocks of 2021 [reserved-blocks-2021], in the order of the capture."""

_BLOCKS = {ReservedBlocks.TODAY: RESERVED_BLOCKS, ReservedBlocks.IN_2021: RESERVED_BLOCKS_2021}


@dataclass(frozen=True, slots=True)
class ForwardingKey:
    """What NICs must share to have the same effective routes; no rule reads anything else of a NIC.

    `instance` is the route server instance whose BGP routes they get, None where they get none of a route server.
    """

    virtual_network: str
    route_table: str | None
    instance: int | None


def listened_instance(nic_name: str) -> int:
    """The instance, 0 or 1, that a NIC takes its BGP routes from while that instance is up.

    The two instances share the job of programming hosts [one-instance-peering], nobody knows how: here
    by a hash of the name, so that it is stable and an NVA with one session serves about half of the machines.
    """
    # Not the lowest bit, which is the same for vm1 and vm2: this one alternates over vm1, vm2, vm3, ...
    return zlib.crc32(nic_name.encode()) >> 28 & 1


def forwarding_key(azure: Azure, nic: str, learned: LearnedRoutes) -> ForwardingKey:
    """The key of a NIC's table: NICs of one key provably have equal effective routes.

    A NIC takes the other instance's routes while its own is down, and none while both are.

    Raises:
        KeyError: there is no NIC of this name.
    """
    interface = azure.nic[nic]
    subnets = azure.virtual_network[interface.virtual_network].subnets
    table = next((s.route_table for s in subnets if s.name == interface.subnet), None)
    instance: int | None = None
    server = programming_server(azure, interface.virtual_network)
    if server is not None and not (table is not None and azure.route_table[table].disable_bgp_route_propagation):
        first = listened_instance(nic)
        routes = learned.get(server.name, (None, None))
        instance = next((i for i in (first, 1 - first) if routes[i] is not None), None)
    return ForwardingKey(interface.virtual_network, table, instance)


def effective_routes(
    azure: Azure, nic: str, learned: LearnedRoutes, gateways: GatewayRoutes = NO_GATEWAY_ROUTES
) -> tuple[EffectiveRoute, ...]:
    """A NIC's effective routes, Active and Invalid, in the order in which Azure prints them.

    A prefix has at most one Active row. The result depends on no order but that of the lab file. `gateways` is what
    gateways have from on-premises, whether a route server receives it too or not.

    Raises:
        KeyError: there is no NIC of this name.
    """
    return effective_table(azure, forwarding_key(azure, nic, learned), learned, gateways)


def effective_table(
    azure: Azure, key: ForwardingKey, learned: LearnedRoutes, gateways: GatewayRoutes = NO_GATEWAY_ROUTES
) -> tuple[EffectiveRoute, ...]:
    """The effective routes that all NICs of one `forwarding_key` share.

    System routes first [system-routes, default-replaced, blocks-with-default]; without propagation no BGP routes
    [propagation-off]. Ties of equal prefixes go to user-defined, then BGP, then system routes [longest-prefix].
    """
    near = Ranges(local_and_adjacent_ranges(azure, key.virtual_network))
    table = azure.route_table[key.route_table] if key.route_table is not None else None
    user = _user_rows(table, near, _gateway_hops(azure, key.virtual_network, gateways))
    bgp: list[EffectiveRoute] = []
    hub = programming_hub(azure, key.virtual_network)
    if hub is not None and not (table is not None and table.disable_bgp_route_propagation):  # step 4
        bgp = list(_bgp_rows(azure, hub, bgp_paths(azure, hub, key, learned, gateways), near, user))
        bgp.sort(key=_reading_order)
    bgp_prefixes = {row.prefix for row in bgp}

    local, global_peering = _virtual_network_rows(azure, key.virtual_network, user)
    rows = [*local, *bgp]
    if DEFAULT_ROUTE not in bgp_prefixes:  # step 7: a BGP 0/0 removes the Default row, a user-defined one marks it
        rows.append(_system_row(DEFAULT_ROUTE, NextHopType.INTERNET, user))
        if DEFAULT_ROUTE not in user or user[DEFAULT_ROUTE].next_hop_type is NextHopType.NONE:
            rows += _reserved_rows(_BLOCKS[azure.reserved_blocks], near, bgp_prefixes, user)
    return (*rows, *user.values(), *global_peering)


def active(rows: Iterable[EffectiveRoute]) -> tuple[EffectiveRoute, ...]:
    """The rows that packets follow; each prefix occurs once."""
    return tuple(r for r in rows if r.state is RouteState.ACTIVE)


def lookup(rows: Iterable[EffectiveRoute], address: IPv4Address) -> EffectiveRoute | None:
    """The Active row that a packet to `address` follows, by longest prefix [longest-prefix]; None: dropped."""
    matching = (r for r in rows if r.state is RouteState.ACTIVE and address in r.prefix)
    return max(matching, key=lambda r: r.prefix.prefixlen, default=None)


def _virtual_network_rows(
    azure: Azure, virtual_network: str, user: Container[IPv4Network]
) -> tuple[list[EffectiveRoute], list[EffectiveRoute]]:
    """System rows of the own ranges and of directly peered ones (step 1); global peerings apart, Azure lists them late.

    Peering is non-transitive [non-transitive], so there is nothing beyond.
    """
    types = dict.fromkeys(azure.virtual_network[virtual_network].address_space, NextHopType.VNET_LOCAL)
    for peering in connected_peerings(azure, virtual_network):
        kind = NextHopType.VNET_GLOBAL_PEERING if peering.is_global else NextHopType.VNET_PEERING
        for prefix in remote_ranges(azure, peering):
            types.setdefault(prefix, kind)
    rows = [_system_row(prefix, kind, user) for prefix, kind in types.items()]
    late = [r for r in rows if r.next_hop_type is NextHopType.VNET_GLOBAL_PEERING]
    return [r for r in rows if r.next_hop_type is not NextHopType.VNET_GLOBAL_PEERING], late


def _reserved_rows(
    blocks: Iterable[IPv4Network], near: Ranges, bgp: Container[IPv4Network], user: Container[IPv4Network]
) -> Iterator[EffectiveRoute]:
    """The None rows of reserved blocks (step 6), listed while the Default 0/0 is Active, or under a user 0/0 to None.

    A block that is wholly a virtual network's, local or peered, has that network's row instead; one that arrives by
    BGP has the BGP row, as for 0/0.
    """
    for block in blocks:
        if not near.covers(block) and block not in bgp:
            yield _system_row(block, NextHopType.NONE, user)


def _system_row(prefix: IPv4Network, kind: NextHopType, user: Container[IPv4Network]) -> EffectiveRoute:
    return EffectiveRoute(RouteSource.DEFAULT, _state_beside(prefix, user), prefix, kind)


def _state_beside(prefix: IPv4Network, user: Container[IPv4Network]) -> RouteState:
    """A row that loses to a user-defined one of the same prefix is listed as Invalid (step 3)."""
    return RouteState.INVALID if prefix in user else RouteState.ACTIVE


def _user_rows(
    table: RouteTable | None, near: Ranges, gateway: tuple[IPv4Address, ...]
) -> dict[IPv4Network, EffectiveRoute]:
    """The user-defined rows by prefix. Azure refuses two routes for one prefix [route-conflict]: the first counts."""
    rows: dict[IPv4Network, EffectiveRoute] = {}
    for route in table.routes if table is not None else ():
        rows.setdefault(route.prefix, _user_row(route, near, gateway))
    return rows


def _user_row(route: UserRoute, near: Ranges, gateway: tuple[IPv4Address, ...]) -> EffectiveRoute:
    kind = route.next_hop_type
    hops: tuple[IPv4Address, ...] = () if route.next_hop is None else (route.next_hop,)
    if kind is NextHopType.VIRTUAL_APPLIANCE and not any(near.contains(hop) for hop in hops):
        kind, hops = NextHopType.NONE, ()  # step 5: the appliance is neither local nor directly peered
    elif kind is NextHopType.VIRTUAL_NETWORK_GATEWAY:
        kind, hops = (kind, gateway) if gateway else (NextHopType.NONE, ())
    return EffectiveRoute(RouteSource.USER, RouteState.ACTIVE, route.prefix, kind, hops)


def _gateway_hops(azure: Azure, virtual_network: str, gateways: GatewayRoutes) -> tuple[IPv4Address, ...]:
    """The next hops of user-defined routes to the gateway: its instances that have routes, all if none has."""
    gateway = gateway_of_user_routes(azure, virtual_network)
    if gateway is None:
        return ()
    having = {path.peer.address for paths in gateways.get(gateway.name, {}).values() for path in paths}
    hops = {address: nic_next_hop(gateway, instance) for instance, address in enumerate(gateway.instances)}
    return tuple(sorted(hops[address] for address in having.intersection(hops) or hops))


def bgp_paths(
    azure: Azure, hub: str, key: ForwardingKey, learned: LearnedRoutes, gateways: GatewayRoutes
) -> InstanceRoutes:
    """What the hub's route server and gateways have for a NIC, together.

    Gateways put on-premises routes there themselves, whether branch-to-branch is on or not
    [gateways-program-nics], and whatever becomes of the route server. What the route server has from
    a gateway that reports for itself is left out: it is the same, or older.
    """
    server = server_in(azure, hub)
    received = learned[server.name][key.instance] if server is not None and key.instance is not None else None
    reporting = [g for g in gateways_in(azure, hub) if g.name in gateways]
    if not reporting:
        return received or {}
    addresses = {address for gateway in reporting for address in gateway.instances}
    paths = {
        prefix: tuple(p for p in routes if p.peer.kind is PeerKind.NVA or p.peer.address not in addresses)
        for prefix, routes in (received or {}).items()
    }
    for gateway in reporting:
        for prefix, routes in gateways[gateway.name].items():
            paths[prefix] = (*paths.get(prefix, ()), *routes)
    return paths


def _bgp_rows(
    azure: Azure,
    hub: str,
    routes: InstanceRoutes,
    near: Ranges,
    user: Container[IPv4Network],
) -> Iterator[EffectiveRoute]:
    """The rows that come from the route server and gateways, suppressed ones left out (step 2, both scopes).

    The NVA's own NIC gets them too, so its own routes point at itself [nva-own-nic, self-next-hop]; what lies inside
    ranges known without BGP is left out [own-ranges-not-programmed, near-ranges-not-programmed, peered-ranges-relayed].
    """
    suppressed_everywhere = originated_in(azure, hub).ranges
    server = server_in(azure, hub)
    preference = hub_preference(server)
    assumptions = server.assumptions if server is not None else Assumptions()
    for prefix, paths in routes.items():
        if suppressed_everywhere.covers(prefix) or near.covers(prefix):
            continue
        winners = best(paths, preference, assumptions, beside_route_server=server is not None)
        if not winners:
            continue
        hops = _reachable_next_hops(winners, near)
        yield EffectiveRoute(
            RouteSource.VIRTUAL_NETWORK_GATEWAY,
            _state_beside(prefix, user),
            prefix,
            NextHopType.VIRTUAL_NETWORK_GATEWAY if hops else NextHopType.NONE,
            hops,
        )


def hub_preference(server: RouteServer | None) -> HubRoutingPreference:
    """The preference by which NICs choose between a route server's and gateways' paths [prefer-vpn].

    ExpressRoute where nobody can set one: in a virtual network with gateways alone [expressroute-before-vpn], and with
    branch-to-branch off where `preference_needs_branch_to_branch` is assumed [preference-needs-b2b].
    """
    if server is None or (server.assumptions.preference_needs_branch_to_branch and not server.branch_to_branch):
        return HubRoutingPreference.EXPRESSROUTE
    return server.hub_routing_preference


def _reachable_next_hops(winners: tuple[LearnedRoute, ...], near: Ranges) -> tuple[IPv4Address, ...]:
    """The next hops in ascending order, without those in virtual networks that are not adjacent (step 5).

    Gateways stand apart: the next hop of an ExpressRoute route is an address on Microsoft's side, in no virtual
    network [expressroute-next-hop]; any other next hop out of reach makes the route None [none-next-hop].
    """
    hops = [
        path.attributes.next_hop
        for path in winners
        if path.peer.kind is not PeerKind.NVA or near.contains(path.attributes.next_hop)
    ]
    return tuple(hops) if len(hops) <= 1 else tuple(sorted(hops))


def _reading_order(row: EffectiveRoute) -> tuple[bool, int, int]:
    """Ascending, with the default route last, where a reader looks for it."""
    prefix = row.prefix
    return prefix.prefixlen == 0, int(prefix.network_address), prefix.prefixlen
