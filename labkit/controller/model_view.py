"""`GET /v1/model`: Azure's objects as they are now, and what its speakers receive and advertise, with all attributes.

For those who ask the rules themselves (`labkit.operate.look.snapshot`).
Instances are asked, so it is not for every second.
"""

from __future__ import annotations

import asyncio

from labkit.azure.model import InstanceId, PathAttributes
from labkit.azure.rules.rows import effective_json
from labkit.controller.controller import Controller
from labkit.controller.platform import Platform
from labkit.feed.bgp import AdjRibInQuery, AdjRibOutQuery, RouteGroup, grouped
from labkit.feed.state import PeerRibs, PlatformModel


async def model(controller: Controller) -> PlatformModel:
    """What the rules start from, now."""
    platform = controller.platform
    instances = [i for i in platform.instance_ids if platform.learned()[i.name][i.index] is not None]
    answers = await asyncio.gather(*(_instance(controller, i) for i in instances))
    return PlatformModel(
        platform.azure,
        {i.node: None for i in platform.instance_ids}
        | {i.node: answer for i, answer in zip(instances, answers, strict=True)},
        {gateway.node: _gateway(platform, gateway) for gateway in platform.gateways.existing(platform.azure)},
        {nic.name: effective_json(platform.rows(nic.name)) for nic in platform.azure.nics},
        tuple(i.node for i in instances if i.node not in controller.feeds.connections),
    )


def _gateway(platform: Platform, gateway: InstanceId) -> dict[str, tuple[RouteGroup, ...]] | None:
    """What an instance of a gateway has accepted, by neighbour; None if it is down."""
    known = platform.gateways.running.get(gateway)
    if known is None:
        return None
    accepted: dict[str, list[tuple[str, PathAttributes]]] = {
        str(address): [] for address, session in known.sessions.items() if session.established
    }
    for prefix, paths in known.routes.items():
        for address, attributes in paths.items():
            accepted.setdefault(str(address), []).append((str(prefix), attributes))
    return {address: grouped(routes) for address, routes in accepted.items()}


async def _instance(controller: Controller, instance: InstanceId) -> dict[str, PeerRibs]:
    peers = controller.platform.all_peers(instance.name)
    # Before anybody is asked: operators may delete a route server meanwhile.
    learned = controller.platform.learned()[instance.name][instance.index] or {}
    queries = [query(peer.name) for peer in peers for query in (AdjRibInQuery, AdjRibOutQuery)]
    answers = await asyncio.gather(*(controller.routes(instance.node, query) for query in queries))
    answered = dict(zip(queries, answers, strict=True))
    return {
        peer.name: PeerRibs(
            answered[AdjRibInQuery(peer.name)],
            grouped(
                (str(prefix), path.attributes)
                for prefix, paths in learned.items()
                for path in paths
                if path.peer.name == peer.name
            ),
            answered[AdjRibOutQuery(peer.name)],
        )
        for peer in peers
    }
