"""`GET /v1/model`: Azure's objects as they are now, and what its speakers receive and advertise, with all attributes.

For those who ask the rules themselves (`labkit.operate.look.snapshot`).
Instances are asked, so it is not for every second.
"""

from __future__ import annotations

import asyncio
from typing import Any

from pydantic import TypeAdapter

from labkit.azure.model import Azure, InstanceId, PathAttributes
from labkit.azure.rules.rows import effective_json
from labkit.controller.controller import Controller
from labkit.feed.bgp import AdjRibInQuery, AdjRibOutQuery, RouteGroup, grouped
from labkit.feed.codec import to_json

_AZURE: TypeAdapter[Azure] = TypeAdapter(Azure)


async def model(controller: Controller) -> dict[str, Any]:
    """The document.

    - `azure`: the objects, with what operators changed while the lab runs.
    - `route_servers`: by node, for each peer what the instance has `received` of it before any rule, what it has
      `learned` in the controller's eyes, and what it has `advertised` to it, as `[{"attributes", "prefixes"}]`. None
      for one that is down or still joining.
    - `gateways`: by node, what the instance has kept of every neighbour (its address) with which its session is
      Established; None for one that is down.
    - `effective`: every NIC's effective routes.
    - `silent`: the nodes that are up but can't be asked.
    """
    platform = controller.platform
    instances = [i for i in platform.instance_ids if platform.learned()[i.name][i.index] is not None]
    answers = await asyncio.gather(*(_instance(controller, i) for i in instances))
    gateways = {}
    for gateway in platform.gateways.ids:
        known = platform.gateways.running.get(gateway)
        sessions = known.sessions if known is not None else {}
        kept: dict[str, list[tuple[str, PathAttributes]]] = {
            str(address): [] for address, session in sessions.items() if session.established
        }
        for prefix, paths in known.routes.items() if known is not None else ():
            for address, attributes in paths.items():
                kept.setdefault(str(address), []).append((str(prefix), attributes))
        gateways[gateway.node] = (
            None if known is None else {address: _json(grouped(routes)) for address, routes in kept.items()}
        )
    return {
        "azure": azure_json(platform.azure),
        "route_servers": {i.node: None for i in platform.instance_ids}
        | {i.node: answer for i, answer in zip(instances, answers, strict=True)},
        "gateways": gateways,
        "effective": {nic.name: effective_json(platform.rows(nic.name)) for nic in platform.azure.nics},
        "silent": [i.node for i in instances if i.node not in controller.feeds.connections],
    }


def azure_json(azure: Azure) -> Any:
    """Azure's objects as JSON."""
    return _AZURE.dump_python(azure, mode="json")


async def _instance(controller: Controller, instance: InstanceId) -> dict[str, Any]:
    peers = controller.platform.all_peers(instance.name)
    # Before anybody is asked: operators may delete a route server meanwhile.
    learned = controller.platform.learned()[instance.name][instance.index] or {}
    queries = [query(peer.name) for peer in peers for query in (AdjRibInQuery, AdjRibOutQuery)]
    answers = await asyncio.gather(*(controller.routes(instance.node, query) for query in queries))
    answered = dict(zip(queries, answers, strict=True))
    return {
        peer.name: {
            "received": _json(answered[AdjRibInQuery(peer.name)]),
            "advertised": _json(answered[AdjRibOutQuery(peer.name)]),
            "learned": _json(
                grouped(
                    (str(prefix), path.attributes)
                    for prefix, paths in learned.items()
                    for path in paths
                    if path.peer.name == peer.name
                )
            ),
        }
        for peer in peers
    }


def _json(groups: tuple[RouteGroup, ...]) -> Any:
    return to_json(tuple[RouteGroup, ...], groups)
