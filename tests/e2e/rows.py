"""Every row that a running lab shows, and in which of them two labs differ."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from labkit.feed.codec import to_json
from labkit.feed.state import PlatformState
from labkit.operate.look.live_state import LiveState
from labkit.pytest import RunningLab

Tables = dict[str, list[str]]
"""The rows of each table, in the order of their text."""

_GROUP = re.compile(r"nhid \d+ ")
"""The kernel's number of a next hop: agents and FRR count them as routes come, and their output has it."""
_OF_THE_MOMENT = ("connectedDuration", "messagesReceived", "messagesSent")
"""What a BGP session's row has of its past; routes are no part of that."""
_AT_ONCE = 4


def tables(lab: RunningLab) -> Tables:
    """What route servers and gateways have learned and advertise, NICs' effective routes, BGP tables, kernels."""
    look = LiveState(lab.lab, lab.client)
    state = to_json(PlatformState, look.state)
    found = _route_servers(state) | _effective(state)
    for gateway in lab.lab.gateways:
        found |= _gateway(lab, gateway.name)
    status = lab.client.runtime.inspect(lab.client.record.lab)
    assert status is not None
    nodes = [node.name for node in status.nodes]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        found |= zip((f"kernel of {node}" for node in nodes), pool.map(lambda n: _kernel(look, n), nodes), strict=True)
        speakers = _frr_nodes(lab)
        found |= zip((f"BGP of {node}" for node in speakers), pool.map(lambda n: _bgp(look, n), speakers), strict=True)
    return found


def differing(one: Tables, other: Tables) -> list[str]:
    """The rows that only one of the two has, as a diff shows them; a table that one has not is a row of its own."""
    found = []
    for name in sorted(one.keys() | other.keys()):
        for sign, mine, its in (("-", one, other), ("+", other, one)):
            rows = [*its.get(name, ())]
            if name in mine and name not in its:
                found.append(f"{sign} {name}")
            for row in mine.get(name, ()):
                if row in rows:
                    rows.remove(row)
                else:
                    found.append(f"{sign} {name}: {row}")
    return found


def _route_servers(state: Mapping[str, Any]) -> Tables:
    return {
        f"{instance} of {server}, {verb} {peer}": _texts(rows)
        for listing, verb in (("learned", "learned from"), ("advertised", "advertised to"))
        for server, peers in state[listing].items()
        for peer, instances in peers.items()
        for instance, rows in instances.items()
    }


def _effective(state: Mapping[str, Any]) -> Tables:
    return {f"effective routes of {nic}": _texts(document["value"]) for nic, document in state["effective"].items()}


def _gateway(lab: RunningLab, name: str) -> Tables:
    def listed(*path: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = lab.client.get("gateways", name, *path)["value"]
        return rows

    peers = [{key: said for key, said in row.items() if key not in _OF_THE_MOMENT} for row in listed("bgp-peers")]
    told = {
        f"{name}, advertised to {peer}": _texts(listed("advertised-routes", peer))
        for peer in sorted({row["neighbor"] for row in peers})
    }
    return {f"{name}, learned": _texts(listed("learned-routes")), f"{name}, BGP peers": _texts(peers)} | told


def _frr_nodes(lab: RunningLab) -> list[str]:
    instances = [i.node for gateway in lab.lab.azure.gateways for i in gateway.instance_ids]
    return sorted({*(nva.name for nva in lab.lab.nvas), *lab.lab.site_router, *lab.lab.azure.edge_router, *instances})


def _bgp(look: LiveState, node: str) -> list[str]:
    # Which of two equal paths is the best one depends on which is older.
    return sorted(str(replace(path, best=False)) for path in look.bgp(node).paths)


def _kernel(look: LiveState, node: str) -> list[str]:
    """What `ip route` prints, each route on one line."""
    return sorted(_route(line) for line in look.output(node, "ip", "-o", "-4", "route", "show").splitlines())


def _route(line: str) -> str:
    route, *hops = (" ".join(part.split()) for part in _GROUP.sub("", line).split("\\"))
    # FRR has the next hop of the older path first.
    return " ".join((route, *sorted(hops)))


def _texts(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    return sorted(" ".join(f"{key}={said}" for key, said in sorted(row.items())) for row in rows)
