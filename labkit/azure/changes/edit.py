"""A model with one object changed: what operators do while a lab runs, and what is tried before it is done."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Network

from labkit.azure.model import Azure, BgpPeer, HubRoutingPreference, Peering, RouteServer, RouteTable, VirtualNetwork
from labkit.azure.model.problem import Code, Problem
from labkit.azure.model.ranges import Ranges
from labkit.azure.rules.adjacency import connected_peerings
from labkit.azure.rules.validation import problems

_TRANSIENT = frozenset({Code.PEERING_ONE_SIDED})
"""What is a mistake in a lab file and a step on the way in a running lab: Azure calls such a peering Initiated."""


_OF_PEERS = frozenset({Code.PEER_UNREACHABLE, Code.PEER_NO_REMOTE_GATEWAYS})
"""What is asked of a peer when it is created: nobody hinders a later change that leaves it in the air."""


def refusals(before: Azure, after: Azure) -> tuple[Problem, ...]:
    """Why Azure would refuse to make `after` of `before`: what is wrong with it and was not."""
    known = set(problems(before))
    found = (*problems(after), *_homeless_subnets(after))
    passing = _TRANSIENT | (_OF_PEERS if before.route_servers == after.route_servers else frozenset())
    return tuple(problem for problem in found if problem not in known and problem.code not in passing)


def servers_that_refresh(before: Azure, after: Azure) -> tuple[str, ...]:
    """The route servers that ask all NVAs for their routes again: those with a new peering [refresh-at-peering]."""

    def peered(azure: Azure, server: RouteServer) -> set[str]:
        return {peering.remote for peering in connected_peerings(azure, server.virtual_network)}

    return tuple(s.name for s in after.route_servers if peered(after, s) - peered(before, s))


def with_route_table(azure: Azure, table: RouteTable) -> Azure:
    """The model with this route table, in place of the one of its name if there is one."""
    if table.name not in azure.route_table:
        return replace(azure, route_tables=(*azure.route_tables, table))
    return replace(azure, route_tables=tuple(table if t.name == table.name else t for t in azure.route_tables))


def without_route_table(azure: Azure, name: str) -> Azure:
    """The model without a route table; no subnet may have it (`subnets_with`)."""
    return replace(azure, route_tables=tuple(t for t in azure.route_tables if t.name != name))


def subnets_with(azure: Azure, table: str) -> tuple[str, ...]:
    """The subnets that have a route table, each as `network/subnet`, in file order.

    While there are any, Azure refuses to delete it (`InUseRouteTableCannotBeDeleted`;
    github.com/Azure/azure-xplat-cli/issues/2867).
    """
    return tuple(f"{v.name}/{s.name}" for v in azure.virtual_networks for s in v.subnets if s.route_table == table)


def with_association(azure: Azure, network: str, subnet: str, table: str | None) -> Azure:
    """The model with another route table for a subnet, or none.

    A subnet has one: the one it had goes without a question (github.com/Azure/azure-cli/issues/7210).
    """
    before = azure.virtual_network[network]
    subnets = tuple(replace(s, route_table=table) if s.name == subnet else s for s in before.subnets)
    return _with_network(azure, replace(before, subnets=subnets))


def with_route_server(azure: Azure, server: RouteServer) -> Azure:
    """The model with this route server, in place of the one of its name if there is one."""
    if server.name not in azure.route_server:
        return replace(azure, route_servers=(*azure.route_servers, server))
    servers = tuple(server if s.name == server.name else s for s in azure.route_servers)
    return replace(azure, route_servers=servers)


def with_created_route_server(azure: Azure, server: RouteServer) -> Azure:
    """The model with a route server as Azure creates it: without peers, with its defaults.

    Facts: [branch-to-branch-default, hub-routing-preference].
    """
    created = replace(
        server, peers=(), branch_to_branch=False, hub_routing_preference=HubRoutingPreference.EXPRESSROUTE
    )
    return with_route_server(azure, created)


def without_route_server(azure: Azure, name: str) -> Azure:
    """The model without a route server, and without its peers."""
    return replace(azure, route_servers=tuple(s for s in azure.route_servers if s.name != name))


def with_peer(server: RouteServer, peer: BgpPeer) -> RouteServer:
    """The route server with this peer, in place of the one of its name if there is one."""
    if all(p.name != peer.name for p in server.peers):
        return replace(server, peers=(*server.peers, peer))
    return replace(server, peers=tuple(peer if p.name == peer.name else p for p in server.peers))


def without_peer(server: RouteServer, name: str) -> RouteServer:
    """The route server without a peer."""
    return replace(server, peers=tuple(p for p in server.peers if p.name != name))


def with_address_space(azure: Azure, network: str, ranges: tuple[IPv4Network, ...]) -> Azure:
    """The model with another address space of a virtual network."""
    return _with_network(azure, replace(azure.virtual_network[network], address_space=ranges))


def with_peering(azure: Azure, peering: Peering) -> Azure:
    """The model with this side of a peering, in place of the same side if there is one.

    That gets it "back to Initiated state", as Azure says, if it was Disconnected
    (github.com/hashicorp/terraform-provider-azurerm/issues/14051).
    """
    ends = (peering.local, peering.remote)
    peering = replace(peering, disconnected=False)
    if all((p.local, p.remote) != ends for p in azure.peerings):
        return replace(azure, peerings=(*azure.peerings, peering))
    peerings = tuple(peering if (p.local, p.remote) == ends else p for p in azure.peerings)
    return replace(azure, peerings=peerings)


def without_peering(azure: Azure, local: str, remote: str) -> Azure:
    """The model without a side of a peering; the other side stays, Disconnected."""
    return replace(
        azure,
        peerings=tuple(
            replace(p, disconnected=True) if (p.local, p.remote) == (remote, local) else p
            for p in azure.peerings
            if (p.local, p.remote) != (local, remote)
        ),
    )


def _with_network(azure: Azure, network: VirtualNetwork) -> Azure:
    return replace(
        azure, virtual_networks=tuple(network if v.name == network.name else v for v in azure.virtual_networks)
    )


def _homeless_subnets(azure: Azure) -> Iterator[Problem]:
    """Subnets outside their virtual network's address space: Azure keeps a range that has subnets."""
    for network in azure.virtual_networks:
        space = Ranges(network.address_space)
        for subnet in network.subnets:
            if not space.covers(subnet.prefix):
                text = f"subnet {subnet.name} ({subnet.prefix}) of {network.name} would lie outside its address space"
                yield Problem(Code.SUBNET_OUTSIDE, text, (network.name, subnet.name))
