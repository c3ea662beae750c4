"""Every BGP session of a lab, from the speakers that its nodes are configured as. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address

from labkit.daemons.speaker import AZURE_TIMERS, BgpTimers, Neighbour
from labkit.lab.model import Lab
from labkit.lab.plan.speakers import edge_speaker, gateway_speaker, nva_speaker, site_speaker
from labkit.lab.sessions import BgpSession, SessionEnd, router_daemons

_End = tuple[str, IPv4Address]


def bgp_sessions(lab: Lab) -> tuple[BgpSession, ...]:
    """The sessions of a lab as it is built, each once: route servers' first, then gateways', circuits', NVAs'.

    Whether the objects of Azure allow them is not asked.
    """
    nodes = (
        *(i.node for server in lab.azure.route_servers for i in server.instance_ids),
        *(i.node for gateway in lab.azure.gateways for i in gateway.instance_ids),
        *lab.azure.edge_router,
        *lab.nva,
        *lab.site_router,
    )
    order = {node: number for number, node in enumerate(nodes)}
    daemons = router_daemons(lab)
    timers = {((node, n.own), (n.name, n.address)): n.timers for node, n in _neighbours(lab)}
    found: dict[tuple[_End, _End], BgpSession] = {}
    for ends in timers:
        near, far = sorted(ends, key=lambda end: order[end[0]])
        # An instance of a route server, which is no speaker here, has Azure's.
        of_both = [timers.get(pair, AZURE_TIMERS) for pair in ((near, far), (far, near))]
        hold = min(each.hold for each in of_both)
        first, second = (
            SessionEnd(*end, daemons.get(end[0], ""), _keepalive(own, hold))
            for end, own in zip((near, far), of_both, strict=True)
        )
        found[near, far] = BgpSession((first, second), hold)
    return tuple(found[pair] for pair in sorted(found, key=lambda pair: [order[node] for node, _ in pair]))


def _keepalive(own: BgpTimers, hold: int) -> int:
    """Seconds between keepalives: a third of the hold time is usual, and the longest (RFC 4271 §4.4)."""
    return min(own.keepalive, hold // 3)


def _neighbours(lab: Lab) -> Iterator[tuple[str, Neighbour]]:
    """The neighbours that nodes are configured with, each with the node."""
    for nva in lab.bgp_nvas:
        yield from ((nva.name, each) for each in nva_speaker(lab, nva, lab.azure.appliance[nva.name]).neighbours)
    for router in lab.site_router.values():
        yield from ((router.name, each) for each in site_speaker(lab, router).neighbours)
    for gateway in lab.gateways:
        for i in lab.azure.gateway[gateway.name].instance_ids:
            speaker = gateway_speaker(lab, gateway, i.index)
            internal = (*((speaker.sibling,) if speaker.sibling is not None else ()), *speaker.gateways)
            yield from ((i.node, each) for each in (*speaker.route_servers, *internal, *speaker.neighbours))
    for edge_router in lab.azure.edge_router:
        edge = edge_speaker(lab, edge_router)
        instances = (each for gateway in edge.gateways for each in gateway.instances)
        yield from ((edge_router, each) for each in (*instances, *edge.customers))
