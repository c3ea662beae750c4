"""BIRD's habits: what a speaker that `templates/bird.conf.j2` configures accepts, chooses and advertises. Pure.

Nothing here is a rule of Azure's. `tests/e2e` compares it with BIRD in every lab that has one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

from labkit.azure.model import Origin, PathAttributes
from labkit.daemons import policy
from labkit.daemons.policy import ReceivedPath, best_paths, exported, exported_internally
from labkit.daemons.speaker import (
    AdjRibIn,
    Advertisements,
    Best,
    CustomerSpeaker,
    LocRib,
    Neighbour,
    Session,
)

RESOLVES_BY_BGP = False

_HERE = PathAttributes(IPv4Address(0))
"""A prefix that a router originates: BIRD sends it without a MED."""


def connects(speaker: CustomerSpeaker, session: Session) -> bool:
    """Without `multihop` BIRD neither opens nor accepts a connection with a neighbour that is not on a link."""
    return speaker.ebgp_multihop or not session.neighbour.route_server


def import_policy(
    speaker: CustomerSpeaker, neighbour: Neighbour, received: Advertisements
) -> dict[IPv4Network, PathAttributes]:
    """What a speaker accepts of a neighbour's routes: of one on a link, only what has a next hop on one, too."""
    accepted = policy.import_policy(speaker, neighbour, received)
    return {prefix: path for prefix, path in accepted.items() if speaker.uses(neighbour, path.next_hop)}


def loc_rib(speaker: CustomerSpeaker, adj_rib_in: AdjRibIn) -> dict[IPv4Network, Best]:
    """The best paths, those that the speaker originates before all others.

    Packets are shared whatever AS the paths come from (`merge paths`). MEDs count among those with the same nearest AS.
    """
    own = {route.prefix: Best(replace(_HERE, origin=Origin.INCOMPLETE), ()) for route in speaker.redistributed}
    return best_paths(speaker, adj_rib_in, _share) | own | {prefix: Best(_HERE, ()) for prefix in speaker.networks}


def _share(best: ReceivedPath, other: ReceivedPath) -> bool:
    return best.nearest != other.nearest or best.med == other.med


def advertises(
    speaker: CustomerSpeaker,
    session: Session,
    loc_rib: LocRib,
    established: Iterable[Session],  # noqa: ARG001 - BIRD has no update groups
) -> dict[IPv4Network, PathAttributes]:
    """What a speaker advertises on a session: the best paths, and none to the neighbour that it comes from.

    The next hop is its own address, in the neighbour's subnet too: BIRD keeps that of a third party only where both
    sessions are without `multihop`, on one interface.
    """
    to = session.neighbour
    internal = speaker.is_internal(to)
    if speaker.requires_policy and not internal:
        return {}
    found = {}
    for prefix, chosen in loc_rib.items():
        if session in chosen.sessions[:1]:
            continue
        if internal:
            attributes = exported_internally(speaker, to, prefix, chosen, changes_reflected=True)
        else:
            attributes = exported(speaker, to, prefix, chosen, to.own)
        if attributes is not None:
            found[prefix] = attributes
    return found
