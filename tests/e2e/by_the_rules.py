"""Where a running lab is not what the rules say, and what FRR makes of its configuration: everybody and every row."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from labkit.azure.model import Azure
from labkit.azure.rules.effective import effective_routes
from labkit.azure.rules.rows import advertised_rows, by_instance, effective_json, gateway_rows, learned_rows
from labkit.lab.model import Lab
from labkit.operate.look.client import LabClient
from labkit.operate.look.live_state import LiveState
from labkit.operate.look.snapshot import read, said_outside
from labkit.predict.azure_speakers import AdjRibsIn, AzureSpeakers, OscillationError
from labkit.predict.converge import AdjRibsOut, ConvergedNetwork, CustomerRouters, converge

Tables = dict[str, Any]


def settles(built: Lab, azure: Azure) -> bool:
    """Whether BGP comes to rest: an NVA that hides route servers' ASN can make a route chase itself for ever."""
    try:
        expected(built, azure, {})
    except OscillationError:
        return False
    return True


def expected(built: Lab, azure: Azure, said: AdjRibsOut) -> ConvergedNetwork:
    """Where everybody comes to rest, Azure's speakers and those outside, in a lab whose Azure has become this.

    There may be several such states: an ExpressRoute gateway prefers what a circuit says, so it counts who was first.
    It is the one that follows from what NVAs and sites have `said`. Every session must be up.

    Raises:
        NeverSettlesError: there is no end.
    """
    up = AdjRibsIn(
        {(server.name, i): {} for server in azure.route_servers for i in (0, 1)},
        {(g.name, i): {} for g in azure.gateways for i in range(len(g.instances))},
        {},
        {(g.name, line.instance, line.circuit): line.edge for g in built.gateways for line in g.lines},
    )
    outside = CustomerRouters(built)
    return converge(outside, azure, up, {session: said.get(session, {}) for session in outside.sessions})


def unlike(built: Lab, azure: Azure, client: LabClient) -> list[str]:
    """Where the lab is not at rest by the rules: everybody says and holds what follows from what the others say."""
    look = LiveState(built, client)
    said = said_outside(CustomerRouters(built), look, read(look).heard)
    end = expected(built, azure, said)
    return [*differences(tables(end.world), look.state), *outside(end, look)]


def tables(world: AzureSpeakers) -> Tables:
    """Everything that the controller shows, as the rules have it."""
    azure = world.azure
    learned: Tables = {}
    advertised: Tables = {}
    for server in world.servers.values():
        for peer in server.peers:
            rows = [learned_rows(server, i, peer, world.at_server[server.name, i]) for i in (0, 1)]
            learned.setdefault(server.name, {})[peer.name] = by_instance(*rows)
            told = [advertised_rows(server, i, world.advertised_by_server(server.name, i, peer)) for i in (0, 1)]
            advertised.setdefault(server.name, {})[peer.name] = by_instance(*told)
    gateways = {
        g.name: [row for i in range(len(g.instances)) for row in gateway_rows(g, i, world.at_gateway[g.name, i])]
        for g in azure.gateways
    }
    effective = {
        nic.name: effective_json(effective_routes(azure, nic.name, world.learned, world.gateway_routes))
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
    """The rows of two tables that are in one of them alone; their order does not matter."""
    one, other = {str(row) for row in wanted}, {str(row) for row in there}
    return [f"{where} lacks {row}" for row in one - other] + [f"{where} has {row}" for row in other - one]


def outside(end: ConvergedNetwork, look: LiveState) -> list[str]:
    """What appliances and on-premises routers have from each other and Azure, where it is not what it should be."""
    found: list[str] = []
    for name, held in end.spoken.held.items():
        frr = look.frr(name)
        right = {(str(p), s.neighbour.address, a.as_path) for s, told in held.items() for p, a in told.items()}
        there = {(str(path.prefix), path.neighbour, path.as_path) for path in frr.paths}
        found += differing(name, right, there)
        uses = {
            (str(p), best.sessions[0].neighbour.address) for p, best in end.spoken.best[name].items() if best.sessions
        }
        found += differing(f"{name} uses", uses, {(str(p.prefix), p.neighbour) for p in frr.paths if p.best})
    return found
