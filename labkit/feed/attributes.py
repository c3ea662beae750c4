"""Path attributes as JSON-able values, the form in which rooms tell each other of routes.

Written and read by hand: pydantic's import would cost every route server instance 0.14 s of a processor at boot.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address
from typing import Any

from labkit.azure.model import Origin, PathAttributes


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
