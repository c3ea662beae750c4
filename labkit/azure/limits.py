"""How many peers and routes a route server takes (reference §1 "Limits by date" and "Counting rule")."""

from __future__ import annotations

MAX_PEERS = 8
"""Peers of one route server (reference §1, every date)."""


def counted_routes(held: int, announced: int) -> int:
    """What Azure compares with the limit: routes held from the peer plus routes in the update (reference §1, FAQ25).

    A route that is held and announced again counts twice. `announced` is the whole announcement, however many BGP
    messages carry it: the FAQ's own example, 2001 held routes sent again, counts 4002.
    """
    return held + announced


def tears_down(held: int, announced: int, routes_per_peer: int) -> bool:
    """Whether Azure ends the session on this announcement: more than `routes_per_peer` counted routes (FAQ25)."""
    return counted_routes(held, announced) > routes_per_peer


def too_many_peers(peers: int) -> bool:
    """Whether a route server can't have this many peers (reference §1)."""
    return peers > MAX_PEERS
