"""The feed's messages, both ways, as JSON-able values. Pure functions.

Decoded by hand: importing pydantic would cost each instance 0.14 s of a processor while the lab boots. A test holds
these forms against `pydantic.TypeAdapter`, which the controller uses.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from labkit.azure.acceptance import Originated
from labkit.azure.model import (
    BgpPeer,
    HubRoutingPreference,
    Origin,
    OwnRangePolicy,
    PathAttributes,
    PeerKind,
    RouteServer,
)
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


def attributes_to_json(attributes: PathAttributes) -> dict[str, Any]:
    """Attributes as the feed carries them: as pydantic would, but for bytes, which are lower-case hex."""
    return {
        "next_hop": str(attributes.next_hop),
        "as_path": [sorted(hop) if isinstance(hop, frozenset) else hop for hop in attributes.as_path],
        "origin": str(attributes.origin),
        "med": attributes.med,
        "communities": [list(c) for c in attributes.communities],
        "large_communities": [list(c) for c in attributes.large_communities],
        "unknown": [[code, flags, value.hex()] for code, flags, value in attributes.unknown],
    }


def attributes_from_json(content: Mapping[str, Any]) -> PathAttributes:
    """The inverse of `attributes_to_json`."""
    return PathAttributes(
        next_hop=IPv4Address(content["next_hop"]),
        as_path=tuple(frozenset(hop) if isinstance(hop, list) else hop for hop in content["as_path"]),
        origin=Origin(content["origin"]),
        med=content["med"],
        communities=tuple((high, low) for high, low in content["communities"]),
        large_communities=tuple((a, b, c) for a, b, c in content["large_communities"]),
        unknown=tuple((code, flags, bytes.fromhex(value)) for code, flags, value in content["unknown"]),
    )


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
        peers=tuple(
            BgpPeer(p["name"], p["asn"], IPv4Address(p["address"]), PeerKind(p["kind"])) for p in content["peers"]
        ),
        branch_to_branch=content["branch_to_branch"],
        hub_routing_preference=HubRoutingPreference(content["hub_routing_preference"]),
        own_ranges=OwnRangePolicy(content["own_ranges"]),
        routes_per_peer=content["routes_per_peer"],
    )
