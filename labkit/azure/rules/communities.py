"""Communities with a meaning (reference §3.1, §3.2, §5)."""

from __future__ import annotations

from labkit.azure.model import PathAttributes

NO_EXPORT = (65535, 65281)
NO_ADVERTISE = (65535, 65282)

RELAYED = (65517, 65517)
"""Marks routes that passed a route server; ExpressRoute gateways drop it coming from the circuit (reference §5)."""

SPOKE = (65518, 65518)
"""Marks the ranges of URG spokes (reference §3.1 row 2)."""


def may_be_advertised(attributes: PathAttributes, *, ebgp: bool) -> bool:
    """Whether the well-known communities let a route pass a session.

    no-advertise stops it everywhere (reference §3.1 last row, INJ). no-export is undocumented for Azure (§3.2);
    RFC 1997's meaning is taken, so it stops at eBGP sessions; a route server's may be assumed to ignore it.
    """
    return NO_ADVERTISE not in attributes.communities and not (ebgp and NO_EXPORT in attributes.communities)
