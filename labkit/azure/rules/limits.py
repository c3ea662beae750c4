"""How many peers and routes route servers, gateways and circuits take."""

from __future__ import annotations

MAX_PEERS = 8
"""Peers of one route server [max-peers]. Its sessions with gateways are none of them."""

VPN_GATEWAY_ROUTES = 4000
"""Prefixes that a VPN gateway accepts from a neighbour before it drops the session [vpn-gateway-limit]."""

GATEWAY_TO_CIRCUIT_ROUTES = 1000
"""Prefixes that a circuit takes from an ExpressRoute gateway, of all origins [gateway-to-circuit-limit]."""

CUSTOMER_TO_CIRCUIT_ROUTES = 4000
"""Prefixes that a circuit takes from its customer [customer-to-circuit-limit]."""

PREMIUM_CUSTOMER_TO_CIRCUIT_ROUTES = 10_000
"""The same with the premium add-on [customer-to-circuit-limit]."""


def counted_routes(held: int, announced: int) -> int:
    """What Azure compares with the limit: routes held from the peer plus routes in the update [limit-counting].

    A route that is held and announced again counts twice. `announced` is the whole announcement, however many BGP
    messages carry it: the FAQ's own example, 2001 held routes sent again, counts 4002.
    """
    return held + announced


def tears_down(held: int, announced: int, routes_per_peer: int) -> bool:
    """Whether Azure ends the session on this announcement: more than `routes_per_peer` counted routes.

    Facts: [routes-per-peer, limit-counting].
    """
    return counted_routes(held, announced) > routes_per_peer


def counted_prefixes(prefixes: int, repeated: int) -> int:
    """What is compared with the limit in total [total-prefixes]: prefixes, and those sent again.

    `prefixes` are all that a route server would have: the ranges that it originates and, each once, what its peers have
    advertised, the announcement included. `repeated` are the routes of the announcement that its peer had advertised
    already: they count twice here as they do for the peer (`counted_routes`), by our inference.
    """
    return prefixes + repeated


def tears_down_in_total(prefixes: int, repeated: int, total_prefixes: int) -> bool:
    """Whether the session ends on whose announcement there are more than `total_prefixes` counted prefixes.

    The number is documented; what happens beyond it nobody has seen [total-prefixes]: by our inference it is what
    happens beyond a peer's own limit.
    """
    return counted_prefixes(prefixes, repeated) > total_prefixes


def too_many_peers(peers: int) -> bool:
    """Whether a route server can't have this many peers [max-peers]."""
    return peers > MAX_PEERS


def circuit_drops_gateway(prefixes: int) -> bool:
    """Whether a circuit ends the session with an instance of a gateway from which it has accepted this many prefixes.

    Fact: [gateway-to-circuit-limit]. It counts what it keeps, whatever it is: not what
    `labkit.azure.rules.circuits.circuit_rejection` drops.
    """
    return prefixes > GATEWAY_TO_CIRCUIT_ROUTES
