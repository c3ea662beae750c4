"""FRR's habits: what a speaker that `templates/frr.conf.j2` configures accepts, chooses and advertises. Pure.

Nothing here is a rule of Azure's. `tests/e2e` compares it with FRR in every lab.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

from labkit.azure.model import ROUTE_SERVER_ASN, AsPath, PathAttributes
from labkit.azure.rules.communities import may_be_advertised
from labkit.daemons.speaker import (
    AdjRibIn,
    Advertisements,
    Best,
    CustomerSpeaker,
    LocRib,
    Neighbour,
    Session,
    asns,
    without_loops,
)

_HERE = PathAttributes(IPv4Address(0), med=0)
"""A prefix that a router originates: FRR sends it with a MED of 0."""


def import_policy(speaker: CustomerSpeaker, received: Advertisements) -> dict[IPv4Network, PathAttributes]:
    """What a speaker accepts of a neighbour's routes: nothing with its own ASN in the path (RFC 4271 §9.1.2)."""
    return {} if speaker.requires_policy else without_loops(speaker.asn, received)


def loc_rib(speaker: CustomerSpeaker, adj_rib_in: AdjRibIn) -> dict[IPv4Network, Best]:
    """The best paths: its own, then the shortest path, the ORIGIN, the lowest identifier and address.

    Packets are shared among paths that are as good up to the identifier and come from the same AS (FRR's multipath
    without `as-path multipath-relax`). No neighbour sends a MED other than 0.
    """
    paths: dict[IPv4Network, list[tuple[Session, PathAttributes]]] = {}
    for session, table in adj_rib_in.items():
        for prefix, attributes in table.items():
            paths.setdefault(prefix, []).append((session, attributes))
    found = {}
    for prefix, candidates in paths.items():
        session, attributes = min(candidates, key=lambda each: (_merit(each[1]), _tie(each[0])))
        equals = (
            other
            for other, theirs in sorted(candidates, key=lambda each: _tie(each[0]))
            if other.neighbour.asn == session.neighbour.asn and _merit(theirs) == _merit(attributes)
        )
        found[prefix] = Best(attributes, tuple(equals))
    return found | {prefix: Best(_HERE, ()) for prefix in speaker.networks}


def advertises(
    speaker: CustomerSpeaker, session: Session, loc_rib: LocRib, established: Iterable[Session]
) -> dict[IPv4Network, PathAttributes]:
    """What a speaker advertises on a session; `established` are its sessions that are up.

    FRR withholds a path from its sender only where no other neighbour of the same update group gets it: both
    instances of a route server get back what one of them advertises, unless paths with their ASN are filtered.
    Others drop it for their own ASN.
    """
    if speaker.requires_policy:
        return {}
    echoes = session.neighbour.route_server and sum(s.neighbour.route_server for s in established) > 1
    found = {}
    for prefix, chosen in loc_rib.items():
        if session in chosen.sessions[:1] and not echoes:
            continue
        exported = _exported(speaker, session.neighbour, chosen)
        if exported is not None:
            found[prefix] = exported
    return found


def _exported(speaker: CustomerSpeaker, to: Neighbour, chosen: Best) -> PathAttributes | None:
    attributes, as_path = chosen.attributes, chosen.attributes.as_path
    if not may_be_advertised(attributes, ebgp=True):
        return None
    if to.circuit and to.asn in asns(as_path):
        return None
    next_hop, communities = to.own, attributes.communities
    if to.route_server:
        if speaker.as_override:
            as_path = tuple(_swapped(as_path, speaker.asn))
        elif speaker.strip_route_server_asn:
            as_path = tuple(_swapped(as_path, None))
        elif ROUTE_SERVER_ASN in asns(as_path):
            return None
        next_hop = speaker.next_hop or next_hop
        communities = tuple(sorted({*communities, *speaker.communities}))
    return replace(
        attributes,
        next_hop=next_hop,
        as_path=(*(speaker.asn,) * (1 + to.prepend), *as_path),
        med=None if chosen.sessions else attributes.med,
        communities=communities,
    )


def _tie(session: Session) -> tuple[int, int]:
    return int(session.neighbour.router_id), int(session.neighbour.address)


def _merit(attributes: PathAttributes) -> tuple[int, int]:
    return len(attributes.as_path), attributes.origin.rank


def _swapped(as_path: AsPath, new: int | None) -> Iterator[int | frozenset[int]]:
    """A path with another ASN in place of the route servers', or with none."""
    for hop in as_path:
        if isinstance(hop, frozenset):
            rest = hop - {ROUTE_SERVER_ASN} | ({new} if new is not None and ROUTE_SERVER_ASN in hop else set())
            if rest:
                yield frozenset(rest)
        elif hop != ROUTE_SERVER_ASN:
            yield hop
        elif new is not None:
            yield new
