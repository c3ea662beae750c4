"""Random labs: where real BGP comes to rest, and what kernels and fabrics are programmed with, is what the rules say.

On the sandbox alone, which is the faster one; that both runtimes show the same rows is proved with every other lab.
`make soak` boots hundreds of them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, assume, event, given, settings
from hypothesis import strategies as st

from labkit.azure.effective import effective_routes
from labkit.azure.rows import advertised_rows, by_instance, effective_json, gateway_rows, learned_rows
from labkit.azure.world import World
from labkit.lab.everybody import Everybody, Outside
from labkit.lab.load import load_text
from labkit.lab.model import Lab
from labkit.operate import lifecycle
from labkit.operate.client import LabClient
from labkit.operate.heard import read, said_outside
from labkit.operate.observe import Look
from labkit.operate.trace import trace
from labkit.operate.verify import verify
from labkit.runtimes.select import SANDBOX
from tests.e2e.random_labs import Wish, expected, lab_files, settles, wishes
from tests.e2e.waiting import eventually

LABS = int(os.environ.get("LABKIT_SOAK", "3"))
CHANGES = 3
"""What operators do to each lab."""

SETTLES_WITHIN = 30.0

Tables = dict[str, Any]


# The same few in continuous integration; no shrinking, since every example is a lab to boot.
@settings(
    max_examples=LABS,
    phases=[Phase.generate],
    derandomize="LABKIT_SOAK" not in os.environ,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(text=lab_files(), data=st.data())
def test_a_random_lab_is_what_the_rules_say(tmp_path_factory: Any, text: str, data: st.DataObject) -> None:
    """And stays so, whatever operators change of it while it runs."""
    file: Path = tmp_path_factory.mktemp("random") / "random.lab.yml"
    file.write_text(text)
    lab = load_text(text, str(file))
    assume(settles(lab, lab.azure))
    event(f"{len(lab.azure.route_servers)} route servers, {len(lab.azure.gateways)} gateways")
    up = lifecycle.up(str(file), SANDBOX, lifecycle.Silent(), "")
    try:
        client = LabClient(up.record)
        said = [text]
        comes_to_rest(lab, lab, client, text)
        now = lab
        for _ in range(CHANGES):
            wish = data.draw(st.sampled_from(wishes(lab, now)), label="change")
            said.append(str(wish))
            event(f"{wish.method} {wish.path[0]}{' peers' * ('peers' in wish.path)}")
            send(client, wish)
            now = wish.lab
            comes_to_rest(lab, now, client, "\n".join(said))
    finally:
        lifecycle.down(up.record)


def send(client: LabClient, wish: Wish) -> None:
    """Do as an operator does."""
    if wish.method == "PUT":
        client.put(*wish.path, body=wish.body)
    else:
        {"POST": client.post, "DELETE": client.delete}[wish.method](*wish.path)


def comes_to_rest(built: Lab, now: Lab, client: LabClient, text: str) -> None:
    """Everything is as the rules say of the lab as it is `now`; `text` says what led there."""
    eventually(lambda: unlike(built, now, client), lambda found: found == [], SETTLES_WITHIN, text)
    broken = [f"{o.title}: {o.problem}" for o in verify(built, client, within=10.0) if not o.ok]
    assert broken == [], text
    for source, target in journeys(built):
        # A kernel says that it has no route five times at first, then once a second to each that asks: no setting of a
        # node's own changes that, and the traces before this one have asked.
        eventually(
            lambda source=source, target=target: trace(built, client, source, target),  # type: ignore[misc]
            lambda found: found.agrees,
            15,
            f"{source} to {target}\n{text}",
        )


def unlike(built: Lab, now: Lab, client: LabClient) -> list[str]:
    """Where the lab is not at rest by the rules: everybody says and holds what follows from what the others say."""
    look = Look(built, client)
    said = said_outside(Outside(built), look, read(look).heard)
    end = expected(built, now.azure, said)
    return [*differences(tables(end.world), look.state), *outside(end, look)]


def tables(world: World) -> Tables:
    """Everything that the controller shows, as the rules have it."""
    azure = world.azure
    learned: Tables = {}
    advertised: Tables = {}
    for server in world.servers.values():
        for peer in server.peers:
            rows = [learned_rows(server, i, peer, world.at_server[server.name, i]) for i in (0, 1)]
            learned.setdefault(server.name, {})[peer.name] = by_instance(*rows)
            told = [advertised_rows(server, i, world.told_by_server(server.name, i, peer)) for i in (0, 1)]
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


def outside(end: Everybody, look: Look) -> list[str]:
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


def journeys(lab: Lab) -> list[tuple[str, str]]:
    """A few ways through the lab: between machines, on-premises and back."""
    machines = [vm.name for vm in lab.virtual_machines]
    sites = [site.name for site in lab.sites]
    pairs = [(machines[0], machines[-1])]
    pairs += [(machines[0], sites[0]), (f"{sites[-1]}-host", machines[-1])] if sites else []
    return [(source, target) for source, target in pairs if source != target]
