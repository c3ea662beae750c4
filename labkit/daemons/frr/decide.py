"""FRR's habits: what a speaker that `templates/frr.conf.j2` configures accepts, chooses and advertises. Pure.

Nothing here is a rule of Azure's. `tests/e2e` compares it with FRR in every lab.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

from labkit.azure.model import Origin, PathAttributes
from labkit.azure.model.ranges import Ranges
from labkit.daemons.frr.policy import route_map
from labkit.daemons.policy import ReceivedPath, best_paths, exported, exported_internally, import_policy
from labkit.daemons.speaker import AdjRibIn, Advertisements, Best, CustomerSpeaker, LocRib, Neighbour, Session

__all__ = ["RESOLVES_BY_BGP", "advertises", "connects", "import_policy", "loc_rib"]

RESOLVES_BY_BGP = True

_HERE = PathAttributes(IPv4Address(0), med=0)
"""A prefix that a router originates: FRR sends it with a MED of 0."""


def connects(speaker: CustomerSpeaker, session: Session) -> bool:  # noqa: ARG001 - whatever they are
    """FRR accepts the connections of neighbours that are not on a link, also without `ebgp-multihop`."""
    return True


def loc_rib(speaker: CustomerSpeaker, adj_rib_in: AdjRibIn) -> dict[IPv4Network, Best]:
    """The best paths, those that the speaker originates before all others.

    MEDs are compared as `bgp deterministic-med` has it. Packets are shared among paths with the same MED that come from
    the same AS, or, on internal sessions, have the same AS path (FRR's multipath without `as-path multipath-relax`).

    A path is there for decision only if a route leads to its next hop, which may be one by BGP (RFC 4271 §9.1.2.1).
    """
    own = {
        route.prefix: Best(replace(_HERE, next_hop=route.via, origin=Origin.INCOMPLETE), ())
        for route in speaker.redistributed
    }
    own |= {prefix: Best(_HERE, ()) for prefix in speaker.networks}
    reached = {*speaker.subnets, *(route.prefix for route in speaker.static_routes if route.table is None)}
    while True:
        ranges = Ranges(reached)
        found = best_paths(speaker, {s: _resolved(ranges, paths) for s, paths in adj_rib_in.items()}, _share)
        used = {
            prefix
            for prefix, best in (found | own).items()
            if best.sessions and speaker.uses(best.sessions[0].neighbour, best.attributes.next_hop)
        }
        if used <= reached:
            return found | own
        reached |= used


def _resolved(reached: Ranges, paths: Advertisements) -> dict[IPv4Network, PathAttributes]:
    """The paths to whose next hop a route leads."""
    return {prefix: path for prefix, path in paths.items() if reached.contains(path.next_hop)}


def _share(best: ReceivedPath, other: ReceivedPath) -> bool:
    if best.med != other.med:
        return False
    if best.internal:
        return other.attributes.as_path == best.attributes.as_path
    return other.session.neighbour.asn == best.session.neighbour.asn


def advertises(
    speaker: CustomerSpeaker, session: Session, loc_rib: LocRib, established: Iterable[Session]
) -> dict[IPv4Network, PathAttributes]:
    """What a speaker advertises on a session; `established` are its sessions that are up.

    FRR advertises a path to its sender, too, unless it is configured as `solo`: a route server gets back what it
    advertises, and drops it for its own ASN [path-with-65515].
    """
    to = session.neighbour
    internal = speaker.is_internal(to)
    if speaker.requires_policy and not internal:
        return {}
    group = [s.neighbour for s in established if _update_group(speaker, s.neighbour) == _update_group(speaker, to)]
    found = {}
    for prefix, chosen in loc_rib.items():
        if internal:  # `allow-outbound-policy` is off
            attributes = exported_internally(speaker, to, prefix, chosen, changes_reflected=False)
        else:
            attributes = exported(speaker, to, prefix, chosen, _next_hop(speaker, to, chosen, group))
        if attributes is not None:
            found[prefix] = attributes
    return found


def _update_group(speaker: CustomerSpeaker, neighbour: Neighbour) -> tuple[object, ...]:
    """What neighbours have in common to which FRR sends the same UPDATEs: the route-map, options."""
    return (
        route_map(speaker, neighbour),
        neighbour.asn if neighbour.circuit and not speaker.transit else 0,
        speaker.is_internal(neighbour),
        neighbour.route_reflector_client,
        neighbour.next_hop_self,
    )


def _next_hop(speaker: CustomerSpeaker, to: Neighbour, chosen: Best, group: Iterable[Neighbour]) -> IPv4Address:
    """The next hop of a path to an external neighbour, as long as no rule sets another one.

    A next hop that is in the same subnet as the neighbour and the speaker stays (RFC 4271 §5.1.3, "third party"), that
    of a static route which is redistributed among them. That holds if it holds of a neighbour in its update group that
    is not the sender.
    """
    next_hop = chosen.attributes.next_hop
    sender = chosen.sessions[0].neighbour if chosen.sessions else None
    near = [subnet for subnet in speaker.subnets if next_hop in subnet]

    def shares(neighbour: Neighbour) -> bool:
        return any(neighbour.address in subnet for subnet in near)

    third_party = shares(to) and any(shares(each) for each in group if each != sender)
    return next_hop if third_party and not to.next_hop_self else to.own
