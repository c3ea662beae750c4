"""Communities with a meaning to Azure."""

from __future__ import annotations

from labkit.azure.model import PathAttributes

NO_EXPORT = (65535, 65281)
NO_ADVERTISE = (65535, 65282)

RELAYED = (65517, 65517)
"""Marks routes that passed a route server; ExpressRoute gateways drop it from the circuit [circuit-relay-filter]."""

SPOKE = (65518, 65518)
"""Marks the ranges of URG spokes [spoke-community]."""


def may_be_advertised(attributes: PathAttributes, *, ebgp: bool) -> bool:
    """Whether the well-known communities let a route pass a session.

    no-advertise stops it everywhere [no-advertise]. no-export is undocumented for Azure [no-export];
    RFC 1997's meaning is taken, so it stops at eBGP sessions; a route server's may be assumed to ignore it.
    """
    return NO_ADVERTISE not in attributes.communities and not (ebgp and NO_EXPORT in attributes.communities)
