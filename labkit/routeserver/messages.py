"""The feed's messages, both ways, as JSON-able values. Pure functions.

Decoded by hand: importing pydantic would cost each instance 0.14 s of a processor while the lab boots. A test holds
these forms against `pydantic.TypeAdapter`, which the controller uses.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from labkit.azure.model import (
    Assumptions,
    BgpPeer,
    HubRoutingPreference,
    OwnRangePolicy,
    PathAttributes,
    PeerKind,
    RouteServer,
    VpnNvaTie,
)
from labkit.azure.rules.acceptance import Originated
from labkit.feed.attributes import attributes_to_json
from labkit.routeserver.policy import Config


def config_from_json(message: Mapping[str, Any]) -> Config:
    """The content of a `config` message."""
    ranges = message["originated"]
    return Config(
        instance=message["instance"],
        server=_route_server(message["server"]),
        originated=Originated(
            tuple(IPv4Network(p) for p in ranges["own"]), tuple(IPv4Network(p) for p in ranges["spokes"])
        ),
    )


def neighbours_from_json(message: Mapping[str, Any]) -> tuple[BgpPeer, ...]:
    """Whom the speaker is to speak with, according to a `config` message."""
    return tuple(_peer(peer) for peer in message["speaks_with"])


def grouped(routes: Iterable[tuple[str, PathAttributes]]) -> list[dict[str, Any]]:
    """Routes (prefix, attributes) as `[{"attributes", "prefixes"}]`, one entry for equal attributes."""
    groups: dict[PathAttributes, list[str]] = {}
    for prefix, attributes in routes:
        groups.setdefault(attributes, []).append(prefix)
    return [{"attributes": attributes_to_json(a), "prefixes": prefixes} for a, prefixes in groups.items()]


def _route_server(content: Mapping[str, Any]) -> RouteServer:
    first, second = content["instances"]
    return RouteServer(
        name=content["name"],
        virtual_network=content["virtual_network"],
        instances=(IPv4Address(first), IPv4Address(second)),
        peers=tuple(_peer(peer) for peer in content["peers"]),
        branch_to_branch=content["branch_to_branch"],
        hub_routing_preference=HubRoutingPreference(content["hub_routing_preference"]),
        own_ranges=OwnRangePolicy(content["own_ranges"]),
        routes_per_peer=content["routes_per_peer"],
        total_prefixes=content["total_prefixes"],
        assumptions=_assumptions(content["assumptions"]),
    )


def _peer(content: Mapping[str, Any]) -> BgpPeer:
    return BgpPeer(content["name"], content["asn"], IPv4Address(content["address"]), PeerKind(content["kind"]))


def _assumptions(content: Mapping[str, Any]) -> Assumptions:
    return Assumptions(**{**content, "vpn_nva_tie": VpnNvaTie(content["vpn_nva_tie"])})
