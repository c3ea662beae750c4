"""FRR's habits: what a speaker that `templates/frr.conf.j2` configures accepts, chooses and advertises. Pure.

Nothing here is a rule of Azure's. `tests/e2e` compares it with FRR in every lab.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

from labkit.azure.model import ExportRule, PathAttributes
from labkit.azure.rules.communities import may_be_advertised
from labkit.daemons.export_policy import deciding_rule, exported_attributes, exported_path
from labkit.daemons.frr.policy import route_map
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
    """The best paths: its own, then the shortest path, the ORIGIN, the MED, the lowest identifier and address.

    MEDs are compared among paths with the same nearest AS, and those first (`bgp deterministic-med`); a missing one is
    0. Packets are shared among paths that are as good up to the identifier and come from the same AS (FRR's multipath
    without `as-path multipath-relax`).
    """
    paths: dict[IPv4Network, list[_Candidate]] = {}
    for session, table in adj_rib_in.items():
        for prefix, attributes in table.items():
            paths.setdefault(prefix, []).append((session, attributes))
    found = {}
    for prefix, candidates in paths.items():
        by_as: dict[object, list[_Candidate]] = {}
        for each in candidates:
            by_as.setdefault(each[1].as_path[:1], []).append(each)
        bests = (min(each, key=lambda c: (_merit(c[1]), c[1].med or 0, _tie(c[0]))) for each in by_as.values())
        session, attributes = min(bests, key=lambda each: (_merit(each[1]), _tie(each[0])))
        equals = (
            other
            for other, theirs in sorted(candidates, key=lambda each: _tie(each[0]))
            if other.neighbour.asn == session.neighbour.asn
            and (_merit(theirs), theirs.med or 0) == (_merit(attributes), attributes.med or 0)
        )
        found[prefix] = Best(attributes, tuple(equals))
    return found | {prefix: Best(_HERE, ()) for prefix in speaker.networks}


def advertises(
    speaker: CustomerSpeaker, session: Session, loc_rib: LocRib, established: Iterable[Session]
) -> dict[IPv4Network, PathAttributes]:
    """What a speaker advertises on a session; `established` are its sessions that are up.

    FRR withholds a path from its sender only where that is the only neighbour of its update group: both instances of a
    route server get back what one of them advertises, and drop it for their own ASN [path-with-65515].
    """
    if speaker.requires_policy:
        return {}
    group = _update_group(speaker, session.neighbour)
    echoes = sum(_update_group(speaker, each.neighbour) == group for each in established) > 1
    found = {}
    for prefix, chosen in loc_rib.items():
        if session in chosen.sessions[:1] and not echoes:
            continue
        exported = _exported(speaker, session.neighbour, prefix, chosen)
        if exported is not None:
            found[prefix] = exported
    return found


def _update_group(speaker: CustomerSpeaker, neighbour: Neighbour) -> tuple[str | None, int]:
    """What neighbours have in common to which FRR sends the same UPDATEs: the route-map, the check for loops."""
    return route_map(speaker, neighbour), neighbour.asn if neighbour.circuit else 0


def _exported(speaker: CustomerSpeaker, to: Neighbour, prefix: IPv4Network, chosen: Best) -> PathAttributes | None:
    received = chosen.attributes
    if not may_be_advertised(received, ebgp=True):
        return None
    if to.circuit and to.asn in asns(received.as_path):
        return None
    rule = deciding_rule(speaker.exports, to, prefix, received) or _UNCHANGED
    if rule.deny:
        return None
    sent = replace(
        received,
        next_hop=to.own,
        as_path=exported_path(rule, speaker.asn, to, received.as_path),
        med=None if chosen.sessions else received.med,
    )
    return exported_attributes(rule, sent, received)


_UNCHANGED = ExportRule()

_Candidate = tuple[Session, PathAttributes]


def _tie(session: Session) -> tuple[int, int]:
    return int(session.neighbour.router_id), int(session.neighbour.address)


def _merit(attributes: PathAttributes) -> tuple[int, int]:
    return len(attributes.as_path), attributes.origin.rank
