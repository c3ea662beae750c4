"""What must come of a lab while some of its nodes are off, by the rules, and where a running lab is otherwise."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from ipaddress import IPv4Address

from labkit.azure.model import ON_LINK, ROUTE_SERVER_ASN, Azure, NextHopType
from labkit.azure.rules.effective import lookup
from labkit.feed.codec import to_json
from labkit.feed.state import PlatformState
from labkit.lab.model import Lab
from labkit.lab.plan.addressing import subnet_of
from labkit.lab.plan.bgp_sessions import bgp_sessions
from labkit.operate.look.client import LabClient
from labkit.operate.look.live_state import LiveState
from labkit.operate.look.snapshot import customer_adj_ribs_out, read
from labkit.operate.verify.fabric_check import fabric_difference
from labkit.operate.verify.oracle import kernel_difference, router_difference
from labkit.predict.converge import AdjRibsOut, ConvergedNetwork, CustomerRouters, converge, everything_up
from labkit.predict.sessions import expected_sessions
from tests.e2e.by_the_rules import differing, outside, tables
from tests.e2e.chaos.fib import LINK, NOTHING, Hop

Cut = frozenset[frozenset[str]]
"""Pairs of nodes between which there is no session."""


def expected(
    lab: Lab, azure: Azure, off: Collection[str], advertised: AdjRibsOut, cut: Cut = frozenset()
) -> ConvergedNetwork:
    """The converged network while these nodes are off, from what NVAs and sites have advertised on.

    Raises:
        OscillationError: routing never converges.
    """
    customers, base = CustomerRouters(lab, azure), everything_up(lab, azure)
    up = replace(
        base,
        servers={i: table for i, table in base.servers.items() if i.node not in off},
        gateways={i: table for i, table in base.gateways.items() if i.node not in off},
        edges={line: at for line, at in base.edges.items() if not _is_cut({line.instance.node, line.router}, off, cut)},
    )
    ends = session_ends(lab, azure, off, cut)
    start = {
        session: advertised.get(session, {})
        for session in customers.sessions
        if (session.router, session.neighbour.own, session.neighbour.address) in ends
    }
    return converge(customers, azure, up, start)


def _is_cut(ends: set[str], off: Collection[str], cut: Cut) -> bool:
    return not ends.isdisjoint(off) or ends in cut


def session_ends(
    lab: Lab, azure: Azure, off: Collection[str], cut: Cut = frozenset()
) -> frozenset[tuple[str, IPv4Address, IPv4Address]]:
    """Both ends of every session that is up while these nodes are off: the node, its address, the neighbour's."""
    return frozenset(
        (end.node, end.address, session.far(end).address)
        for session in expected_sessions(lab, azure)
        if not _is_cut({end.node for end in session.ends}, off, cut)
        for end in session.ends
    )


def must_become(lab: Lab, azure: Azure, off: Collection[str], client: LabClient) -> ConvergedNetwork:
    """What must come of the running lab, given what its NVAs and sites advertise."""
    live = LiveState(lab, client)
    return expected(lab, azure, off, customer_adj_ribs_out(CustomerRouters(lab, azure), live, read(live).adj_ribs_in))


def one_after_the_other(
    lab: Lab, azure: Azure, off: Collection[str], nodes: Collection[str], client: LabClient
) -> Iterator[ConvergedNetwork]:
    """What the lab may be while the sessions of these nodes end, or come up, one after the other in any order.

    Raises:
        OscillationError: routing never converges.
    """
    live = LiveState(lab, client)
    advertised = customer_adj_ribs_out(CustomerRouters(lab, azure), live, read(live).adj_ribs_in)
    for node in nodes:
        pairs = sorted({frozenset(e.node for e in s.ends) for s in bgp_sessions(lab)}, key=sorted)
        own = [pair for pair in pairs if node in pair][:_MOST_PAIRS]
        for number in range(1, len(own)):
            for cut in itertools.combinations(own, number):
                yield expected(lab, azure, off, advertised, frozenset(cut))


_MOST_PAIRS = 6
"""Of so many sessions, every order is looked at; of more, those of the first."""


def wrong(lab: Lab, azure: Azure, off: Collection[str], client: LabClient) -> list[str]:
    """Where a running lab is not what the rules make of it: every speaker's RIBs, rows, kernels and fabrics."""
    live = LiveState(lab, client)
    end = expected(lab, azure, off, customer_adj_ribs_out(CustomerRouters(lab, azure), live, read(live).adj_ribs_in))
    return [*_rows(end, session_ends(lab, azure, off), live), *outside(_on(end, off), live), *_kernels(off, live)]


def _rows(
    end: ConvergedNetwork, up: Collection[tuple[str, IPv4Address, IPv4Address]], live: LiveState
) -> Iterator[str]:
    wanted, there = tables(end.speakers), to_json(PlatformState, live.state)
    for which in ("learned", "advertised"):
        for server, peers in wanted[which].items():
            addresses = end.speakers.azure.route_server[server].instances
            own = {peer.name: peer.address for peer in end.speakers.servers[server].peers}
            for peer, document in peers.items():
                for address, (role, rows) in zip(addresses, document.items(), strict=True):
                    if (peer, own[peer], address) in up:
                        yield from differing(f"{server} {role} {which} {peer}", rows, there[which][server][peer][role])
    for gateway, rows in wanted["gateways"].items():
        yield from differing(gateway, rows, there["gateways"][gateway]["value"])
    for nic, document in wanted["effective"].items():
        yield from differing(nic, document["value"], there["effective"][nic]["value"])


def _on(end: ConvergedNetwork, off: Collection[str]) -> ConvergedNetwork:
    routers = {name: rib for name, rib in end.routers.adj_rib_in.items() if name not in off}
    return replace(end, routers=replace(end.routers, adj_rib_in=routers))


def _kernels(off: Collection[str], live: LiveState) -> Iterator[str]:
    vms, routers = [vm.name for vm in live.lab.virtual_machines], [*live.lab.nva, *live.lab.site_router]
    fabrics = [vnet.name for vnet in live.azure.virtual_networks]
    check: Callable[[str, LiveState], str | None]
    for nodes, check in (
        (vms, kernel_difference),
        (routers, router_difference),
        (fabrics, fabric_difference),
    ):
        for node in nodes:
            if node not in off and (found := check(node, live)):
                yield f"kernel of {node}: {found}"


def explores_paths(lab: Lab) -> bool:
    """Whether a route can come to a speaker on several ways, the instances of an object taken as one.

    Then BGP tries longer and longer paths before a route is gone, and machines follow it. An appliance that hides a
    route server's ASN gives it back its own routes.
    """
    changes = [rule.changes for appliance in lab.azure.appliances for rule in appliance.exports]
    if any(each.as_override or ROUTE_SERVER_ASN in each.strip for each in changes):
        return True
    instances = {i.node: i.name for server in lab.azure.route_servers for i in server.instance_ids}
    instances |= {i.node: i.name for gateway in lab.azure.gateways for i in gateway.instance_ids}
    edges = {frozenset(instances.get(end.node, end.node) for end in session.ends) for session in bgp_sessions(lab)}
    groups: list[frozenset[str]] = []
    for edge in edges:
        joined = [group for group in groups if group & edge]
        if any(edge <= group for group in joined):
            return True
        groups = [group for group in groups if group not in joined] + [edge.union(*joined)]
    return False


def allowed(lab: Lab, network: ConvergedNetwork, machine: str, address: IPv4Address) -> frozenset[Hop]:
    """The next hops that packets of a machine to an address may have, as its kernel has them."""
    nic = lab.azure.primary_nic(machine)
    if address in subnet_of(lab.azure, nic):
        return frozenset({LINK})
    row = lookup(network.speakers.effective_routes[nic.name], address)
    if row is None:
        return frozenset({NOTHING})
    if row.next_hop_type in ON_LINK:
        return frozenset({LINK})
    if row.next_hop_type in {NextHopType.INTERNET, NextHopType.NONE}:
        return frozenset({str(subnet_of(lab.azure, nic)[1])})
    return frozenset(map(str, row.next_hops))
