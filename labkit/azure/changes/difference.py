"""The changes that make one model of another, as few and as small as there are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Protocol, TypeVar

from labkit.azure.changes.appliances import SetAdvertisedPrefixes, SetExportPolicy
from labkit.azure.changes.base import Change
from labkit.azure.changes.circuits import CreateAuthorization, DeleteAuthorization
from labkit.azure.changes.firewalls import SetFirewallRules
from labkit.azure.changes.gateways import CreateConnection, CreateGateway, DeleteConnection, DeleteGateway
from labkit.azure.changes.nics import SetIpForwarding
from labkit.azure.changes.route_servers import (
    CreateRouteServer,
    DeletePeer,
    DeleteRouteServer,
    PutPeer,
    SetRouteServerSettings,
)
from labkit.azure.changes.route_tables import (
    AssociateRouteTable,
    DeleteRoute,
    DeleteRouteTable,
    DissociateRouteTable,
    PutRoute,
    PutRouteTable,
)
from labkit.azure.changes.virtual_networks import (
    PEERING_FLAGS,
    DeletePeering,
    PutPeering,
    SetAddressSpace,
    SyncPeering,
    peering_side,
    with_remote_ranges,
)
from labkit.azure.model import Azure, Peering, RouteServer, RouteTable


def difference(before: Azure, after: Azure) -> tuple[Change, ...]:
    """The changes that make `after` of `before`, in an order in which `carry_out` takes them.

    What changes can't make (networks, subnets, machines) is not compared. Nothing is deleted to be created again, but
    for gateways with other instances and connections with other authorizations: a route server keeps its sessions, and
    a peering its traffic, while its settings change. Deletions come first, since Azure never refuses them; route tables
    are deleted when no subnet has them.
    """
    return (
        *_deletions(before, after),
        *(
            SetAddressSpace(each.name, each.address_space)
            for each in _other(before.virtual_network, after.virtual_networks, lambda network: network.address_space)
        ),
        *_peerings(before, after),
        *_syncs(before, after),
        *_route_servers(before, after),
        *_route_tables(before, after),
        *(
            SetIpForwarding(each.name, each.ip_forwarding)
            for each in _other(before.nic, after.nics, lambda nic: nic.ip_forwarding)
        ),
        *(
            SetAdvertisedPrefixes(each.name, each.advertises)
            for each in _other(before.appliance, after.appliances, lambda appliance: appliance.advertises)
        ),
        *(
            SetExportPolicy(each.name, each.exports)
            for each in _other(before.appliance, after.appliances, lambda appliance: appliance.exports)
        ),
        *(
            SetFirewallRules(each.name, each.rules)
            for each in _other(before.firewall, after.firewalls, lambda firewall: firewall.rules)
        ),
        *_gateways(before, after),
    )


class _Named(Protocol):
    @property
    def name(self) -> str: ...


_T = TypeVar("_T", bound=_Named)


def _other(before: Mapping[str, _T], after: Iterable[_T], part: Callable[[_T], object]) -> Iterator[_T]:
    """The objects that both have, and of which the part is another one afterwards."""
    return (each for each in after if each.name in before and part(before[each.name]) != part(each))


def _deletions(before: Azure, after: Azure) -> Iterator[Change]:
    for server in before.route_servers:
        if server.name not in after.route_server:
            yield DeleteRouteServer(server.name)
            continue
        names = {peer.name for peer in after.route_server[server.name].peers}
        for peer in server.peers:
            if peer.name not in names:
                yield DeletePeer(server.name, peer.name)
    gone, kept = _other_gateways(before, after), _kept_connections(before, after)
    yield from (DeleteConnection(each.name) for each in before.connections if each.name not in kept)
    yield from (DeleteAuthorization(*each) for each in _authorizations(before, without=after))
    for peering in before.peerings:
        if peering_side(after, peering.local, peering.remote) is None:
            yield DeletePeering(peering.local, peering.remote)
    # Azure may refuse to delete a gateway: it comes after all that uses one, and is judged with what follows.
    yield from (DeleteGateway(name) for name in sorted(gone))


def _gateways(before: Azure, after: Azure) -> Iterator[Change]:
    gone = _other_gateways(before, after)
    for gateway in after.gateways:
        if gateway.name in gone or gateway.name not in before.gateway:
            yield CreateGateway(gateway.name, gateway.virtual_network, gateway.kind, gateway.instances, gateway.asn)
    yield from (CreateAuthorization(*each) for each in _authorizations(after, without=before))
    kept = _kept_connections(before, after)
    for each in after.connections:
        if each.name not in kept:
            yield CreateConnection(each.name, each.gateway, each.remote, each.authorization or None)


def _kept_connections(before: Azure, after: Azure) -> set[str]:
    """The connections that both have, of gateways that stay, and which redeem the same authorization."""
    gone, had = _other_gateways(before, after), {each.name: each for each in before.connections}
    return {
        each.name
        for each in after.connections
        if each.name in had
        and not {each.gateway, each.remote} & gone
        and had[each.name].authorization == each.authorization
    }


def _authorizations(azure: Azure, without: Azure) -> Iterator[tuple[str, str]]:
    """The authorizations of circuits that both models have, which only the first one has."""
    for circuit in azure.circuits:
        there = without.circuit.get(circuit.name, circuit).authorizations
        yield from ((circuit.name, name) for name in circuit.authorizations if name not in there)


def _other_gateways(before: Azure, after: Azure) -> set[str]:
    """The gateways that are gone, or are others now: those are deleted, and created again."""
    return {gateway.name for gateway in before.gateways if after.gateway.get(gateway.name) != gateway}


def _peerings(before: Azure, after: Azure) -> Iterator[Change]:
    """The sides that are new or have other switches, and those that must be Initiated again."""
    for peering in after.peerings:
        had = peering_side(before, peering.local, peering.remote)
        other_before = peering_side(before, peering.remote, peering.local)
        other_after = peering_side(after, peering.remote, peering.local)
        disconnected = had is not None and (had.disconnected or (other_before is not None and other_after is None))
        flags = _flags(had or Peering(peering.local, peering.remote), peering)
        if had is None or flags or (disconnected and not peering.disconnected):
            yield PutPeering(peering.local, peering.remote, **flags)


def _syncs(before: Azure, after: Azure) -> Iterator[Change]:
    """The sides that have other ranges of their remote networks than a change of those alone leaves them."""
    for peering in after.peerings:
        had, ranges = peering_side(before, peering.local, peering.remote), peering.remote_address_space
        today = after.virtual_network[peering.remote].address_space
        left = None
        if had is not None:
            former = had.remote_address_space or before.virtual_network[peering.remote].address_space
            left = with_remote_ranges(had, former, today).remote_address_space
        if left != ranges:
            yield SyncPeering(peering.local, peering.remote, ranges)


def _flags(before: Peering, after: Peering) -> dict[str, bool]:
    fields = PEERING_FLAGS.values()
    return {field: getattr(after, field) for field in fields if getattr(before, field) != getattr(after, field)}


def _route_servers(before: Azure, after: Azure) -> Iterator[Change]:
    for server in after.route_servers:
        had = before.route_server.get(server.name)
        if had is None:
            yield CreateRouteServer(server.name, server.virtual_network, server.instances)
            had = RouteServer(server.name, server.virtual_network, server.instances)
        switch = server.branch_to_branch if server.branch_to_branch != had.branch_to_branch else None
        preferences = had.hub_routing_preference, server.hub_routing_preference
        preference = preferences[1] if preferences[0] != preferences[1] else None
        if switch is not None or preference is not None:
            yield SetRouteServerSettings(server.name, switch, preference)
        for peer in server.peers:
            if peer not in had.peers:
                yield PutPeer(server.name, peer.name, peer.asn, peer.address)


def _route_tables(before: Azure, after: Azure) -> Iterator[Change]:
    for table in after.route_tables:
        had, disable = before.route_table.get(table.name), table.disable_bgp_route_propagation
        if had is None:
            yield PutRouteTable(table.name, disable or None)
            had = RouteTable(table.name)
        elif had.disable_bgp_route_propagation != disable:
            yield PutRouteTable(table.name, disable)
        prefixes = {route.prefix for route in table.routes}
        there = {route.prefix for route in had.routes}
        for route in had.routes:
            if route.prefix not in prefixes:
                yield DeleteRoute(table.name, route.prefix)
        for route in table.routes:
            if route not in had.routes:
                again = route.prefix in there or None
                yield PutRoute(table.name, route.prefix, route.next_hop_type, route.next_hop, again)
    yield from _associations(before, after)
    for table in before.route_tables:
        if table.name not in after.route_table:
            yield DeleteRouteTable(table.name)


def _associations(before: Azure, after: Azure) -> Iterator[Change]:
    for network in after.virtual_networks:
        known = before.virtual_network.get(network.name)
        had = {subnet.name: subnet.route_table for subnet in known.subnets} if known is not None else {}
        for subnet in network.subnets:
            if subnet.name in had and had[subnet.name] != subnet.route_table:
                if subnet.route_table is None:
                    yield DissociateRouteTable(network.name, subnet.name)
                else:
                    yield AssociateRouteTable(network.name, subnet.name, subnet.route_table)
