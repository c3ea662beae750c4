"""How many peers and routes route servers, gateways and circuits take (reference §1 "Limits by date", §5)."""

from __future__ import annotations

MAX_PEERS = 8
"""Peers of one route server (reference §1, every date). Its sessions with gateways are none of them."""

VPN_GATEWAY_ROUTES = 4000
"""Prefixes that a VPN gateway accepts from a neighbour before it drops the session (reference §5, VPNF)."""

GATEWAY_TO_CIRCUIT_ROUTES = 1000
"""Prefixes that a circuit takes from an ExpressRoute gateway, virtual networks' and route servers' (§5, SDW, LIM)."""

CUSTOMER_TO_CIRCUIT_ROUTES = 4000
"""Prefixes that a circuit takes from its customer (reference §5, WIKI)."""

PREMIUM_CUSTOMER_TO_CIRCUIT_ROUTES = 10_000
"""The same with the premium add-on (reference §5, ERR)."""


def counted_routes(held: int, announced: int) -> int:
    """What Azure compares with the limit: routes held from the peer plus routes in the update (reference §1, FAQ25).

    A route that is held and announced again counts twice. `announced` is the whole announcement, however many BGP
    messages carry it: the FAQ's own example, 2001 held routes sent again, counts 4002.
    """
    return held + announced


def tears_down(held: int, announced: int, routes_per_peer: int) -> bool:
    """Whether Azure ends the session on this announcement: more than `routes_per_peer` counted routes (FAQ25)."""
    return counted_routes(held, announced) > routes_per_peer


def counted_prefixes(prefixes: int, repeated: int) -> int:
    """What is compared with the limit in total (reference §1 "Limits by date", LIM): prefixes, and those sent again.

    `prefixes` are all that a route server would have: the ranges that it originates and, each once, what its peers
    have said, the announcement included. `repeated` are the routes of the announcement that its peer had said already:
    they count twice here as they do for the peer (`counted_routes`) [I].
    """
    return prefixes + repeated


def tears_down_in_total(prefixes: int, repeated: int, total_prefixes: int) -> bool:
    """Whether the session ends on whose announcement there are more than `total_prefixes` counted prefixes.

    The number is documented (§1, LIM); what happens beyond it nobody has seen (§11.7): it is taken to be what happens
    beyond a peer's own limit [I].
    """
    return counted_prefixes(prefixes, repeated) > total_prefixes


def too_many_peers(peers: int) -> bool:
    """Whether a route server can't have this many peers (reference §1)."""
    return peers > MAX_PEERS


def circuit_drops_gateway(prefixes: int) -> bool:
    """Whether a circuit ends the session with an instance of a gateway of which it keeps this many prefixes (§5, SDW).

    It counts what it keeps, whatever it is: not what `labkit.azure.rules.circuits.circuit_rejection` drops.
    """
    return prefixes > GATEWAY_TO_CIRCUIT_ROUTES
