"""Where a running lab differs from the rules and its routers' configuration: every speaker and every row."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from labkit.azure.model import Azure, EffectiveRoute, NextHopType, RouteSource, RouteState
from labkit.azure.rules.effective import effective_routes, lookup
from labkit.azure.rules.rows import (
    EffectiveRow,
    advertised_rows,
    by_instance,
    effective_json,
    gateway_rows,
    learned_rows,
)
from labkit.feed.codec import to_json
from labkit.feed.state import PlatformState
from labkit.lab.model import Lab
from labkit.lab.plan.gateway_inbound import TABLE
from labkit.lab.plan.nic_tables import RT_TABLE_MAIN
from labkit.operate.look.client import LabClient
from labkit.operate.look.live_state import LiveState
from labkit.operate.look.snapshot import customer_adj_ribs_out, read
from labkit.operate.trace.tables import NO_ROUTE, KernelRoute, ObservedTables, kernel_route
from labkit.predict.azure_speakers import AzureSpeakers, OscillationError
from labkit.predict.converge import AdjRibsOut, ConvergedNetwork, CustomerRouters, converge, everything_up
from labkit.predict.whatif.model import Side
from labkit.predict.whatif.reach import Reach, predicted, sources, targets
from labkit.predict.whatif.ways import Way

Tables = dict[str, Any]


def settles(built: Lab, azure: Azure) -> bool:
    """Whether routing converges: an NVA that hides route servers' ASN can make a route chase itself for ever."""
    try:
        expected(built, azure, {})
    except OscillationError:
        return False
    return True


def expected(built: Lab, azure: Azure, advertised: AdjRibsOut) -> ConvergedNetwork:
    """The converged network, Azure's speakers and those outside, of a lab whose Azure has become this.

    There may be several such states: an ExpressRoute gateway prefers its circuits, so it counts who was first.
    It is the one that follows from what NVAs and sites have `advertised`. Every session must be up.

    Raises:
        OscillationError: routing never converges.
    """
    customers = CustomerRouters(built, azure)
    return converge(
        customers,
        azure,
        everything_up(built, azure),
        {session: advertised.get(session, {}) for session in customers.sessions},
    )


def unlike(built: Lab, azure: Azure, client: LabClient) -> list[str]:
    """Where the lab has not converged by the rules: in every speaker's RIBs, given what its neighbours advertise."""
    live = LiveState(built, client)
    advertised = customer_adj_ribs_out(CustomerRouters(built, azure), live, read(live).adj_ribs_in)
    end = expected(built, azure, advertised)
    return [*differences(tables(end.speakers), to_json(PlatformState, live.state)), *outside(end, live)]


def tables(speakers: AzureSpeakers) -> Tables:
    """Everything that the controller shows, as the rules have it; of an instance that is off, nothing."""
    azure = speakers.azure
    learned: Tables = {}
    advertised: Tables = {}
    for server in speakers.servers.values():
        for peer in server.peers:
            rows = [learned_rows(server, i.index, peer, speakers.at_server.get(i, {})) for i in server.instance_ids]
            learned.setdefault(server.name, {})[peer.name] = by_instance(*rows)
            sent = [
                advertised_rows(server, i.index, speakers.advertised_by_server(server.name, i.index, peer))
                if i in speakers.at_server
                else []
                for i in server.instance_ids
            ]
            advertised.setdefault(server.name, {})[peer.name] = by_instance(*sent)
    gateways = {
        g.name: [row for i in g.instance_ids for row in gateway_rows(g, i.index, speakers.at_gateway[i])]
        for g in azure.gateways
    }
    effective = {
        nic.name: effective_json(effective_routes(azure, nic.name, speakers.learned, speakers.gateway_routes))
        for nic in azure.nics
    }
    return {"learned": learned, "advertised": advertised, "gateways": gateways, "effective": effective}


def differences(wanted: Tables, state: Tables) -> list[str]:
    """The rows that only one side has, table by table."""
    found: list[str] = []
    for which in ("learned", "advertised"):
        for server, peers in wanted[which].items():
            for peer, document in peers.items():
                for instance, rows in document.items():
                    there = state[which][server][peer][instance]
                    found += differing(f"{server} {instance} {which} {peer}", rows, there)
    for gateway, rows in wanted["gateways"].items():
        found += differing(gateway, rows, state["gateways"][gateway]["value"])
    for nic, document in wanted["effective"].items():
        found += differing(nic, document["value"], state["effective"][nic]["value"])
    return found


def differing(where: str, wanted: Iterable[Any], there: Iterable[Any]) -> list[str]:
    """The rows of two tables that are in one of them alone; neither their order nor that of their columns matters."""
    one, other = (
        {str(dict(sorted(r.items())) if isinstance(r, dict) else r) for r in rows} for rows in (wanted, there)
    )
    return [f"{where} lacks {row}" for row in one - other] + [f"{where} has {row}" for row in other - one]


def outside(end: ConvergedNetwork, live: LiveState) -> list[str]:
    """What appliances and on-premises routers have from each other and Azure, where it is not what it should be."""
    found: list[str] = []
    for name, adj_rib_in in end.routers.adj_rib_in.items():
        table = live.bgp(name)
        right = {
            (str(p), s.neighbour.address, a.as_path) for s, routes in adj_rib_in.items() for p, a in routes.items()
        }
        there = {(str(path.prefix), path.neighbour, path.as_path) for path in table.paths}
        found += differing(name, right, there)
        uses = {
            (str(p), best.sessions[0].neighbour.address)
            for p, best in end.routers.loc_rib[name].items()
            if best.sessions
        }
        found += differing(f"{name} uses", uses, {(str(p.prefix), p.neighbour) for p in table.paths if p.best})
    return found


def _effective_route(row: EffectiveRow) -> EffectiveRoute:
    """A row as Azure prints it, of one prefix."""
    return EffectiveRoute(
        RouteSource(row["source"]),
        RouteState(row["state"]),
        IPv4Network(row["addressPrefix"][0]),
        NextHopType(row["nextHopType"]),
        tuple(map(IPv4Address, row["nextHopIpAddress"])),
    )


class WholeTables(ObservedTables):
    """A running lab's tables, read as a whole and once: a trace asks the kernel and the controller for each packet."""

    def __init__(self, live: LiveState) -> None:
        super().__init__(live)
        self._routes = cache(self._read)

    def row(self, nic: str, destination: IPv4Address) -> EffectiveRoute | None:
        """A NIC's effective route for a destination; None if it has none."""
        return lookup(map(_effective_route, self.live.state.effective[nic]["value"]), destination)

    def _kernel(
        self, node: str, destination: IPv4Address, source: IPv4Address | None, inbound: bool = False
    ) -> KernelRoute:
        """The kernel's route of the longest prefix for a destination, and of equal ones the first."""
        own = self.live.table_from(node, source) if source is not None else None
        own = TABLE if inbound else own
        for table in (own, RT_TABLE_MAIN) if own is not None else (RT_TABLE_MAIN,):
            found = [route for route in self._routes(node, table) if destination in IPv4Network(route.prefix)]
            if found:
                return max(found, key=lambda route: IPv4Network(route.prefix).prefixlen)
        return KernelRoute(NO_ROUTE)

    def _read(self, node: str, table: int) -> list[KernelRoute]:
        return [kernel_route(path) for path in self.live.kernel(node, table)]


def astray(built: Lab, client: LabClient) -> list[str]:
    """Pairs of nodes between which packets go another way by the tables of the running lab than `whatif` predicts.

    Nothing is changed: what is predicted follows from what speakers have received, and what is observed is in kernels.
    """
    live = LiveState(built, client)
    snapshot = read(live)
    customers = CustomerRouters(built, snapshot.azure)
    advertised = customer_adj_ribs_out(customers, live, snapshot.adj_ribs_in)
    side = Side(
        snapshot.azure,
        snapshot.adj_ribs_in,
        customers.state(AzureSpeakers(snapshot.azure, snapshot.adj_ribs_in), advertised),
    )
    return parting(built, predicted(built, side), Reach(built, WholeTables(live)))


def parting(lab: Lab, one: Reach, other: Reach) -> list[str]:
    """The pairs of nodes between which packets end otherwise, or go through other nodes, by the tables of one."""
    return [
        f"{source} to {target}: {brief(had)}, or {brief(has)}"
        for source in sources(lab)
        for target, address in targets(lab).items()
        if source != target
        for had, has in ((one.ways(source, address), other.ways(source, address)),)
        if brief(had) != brief(has)
    ]


def brief(ways: Iterable[Way]) -> list[str]:
    """How and where packets end, and through which nodes; not in which words."""
    return sorted(f"{way.disposition} at {way.at} through {', '.join(way.through) or 'nothing'}" for way in ways)
