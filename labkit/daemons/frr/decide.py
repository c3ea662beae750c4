"""FRR's habits: what a speaker that `templates/frr.conf.j2` configures accepts, chooses and advertises. Pure.

Nothing here is a rule of Azure's. `tests/e2e` compares it with FRR in every lab.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network

from labkit.azure.model import ExportRule, PathAttributes
from labkit.azure.rules.communities import may_be_advertised
from labkit.daemons.export_policy import deciding_rule, exported_attributes, exported_path
from labkit.daemons.frr.policy import route_map
from labkit.daemons.speaker import (
    LOCAL_PREF,
    AdjRibIn,
    Advertisements,
    Best,
    CustomerSpeaker,
    InternalAttributes,
    LocRib,
    Neighbour,
    Session,
    asns,
    without_loops,
)

_HERE = PathAttributes(IPv4Address(0), med=0)
"""A prefix that a router originates: FRR sends it with a MED of 0."""


def import_policy(
    speaker: CustomerSpeaker, received: Advertisements, *, internal: bool
) -> dict[IPv4Network, PathAttributes]:
    """What a speaker accepts of a neighbour's routes, on a session that may be internal.

    Nothing with its own ASN in the path (RFC 4271 §9.1.2), nothing whose next hop it is itself (RFC 4271 §6.3), nor
    what it has originated or reflected (RFC 4456 §8).
    """
    if speaker.requires_policy and not internal:
        return {}
    own = {neighbour.own for neighbour in speaker.neighbours}
    return {
        prefix: attributes
        for prefix, attributes in without_loops(speaker.asn, received).items()
        if attributes.next_hop not in own and not _returns(speaker, attributes)
    }


def _returns(speaker: CustomerSpeaker, attributes: PathAttributes) -> bool:
    """Whether a path is back at a speaker that it has left by an internal session."""
    return isinstance(attributes, InternalAttributes) and (
        attributes.originator_id == speaker.router_id or speaker.router_id in attributes.cluster_list
    )


def loc_rib(speaker: CustomerSpeaker, adj_rib_in: AdjRibIn) -> dict[IPv4Network, Best]:
    """The best paths, those that the speaker originates among them.

    Its own come first, then the highest local preference, the shortest path, the ORIGIN, the MED, external before
    internal, the lowest identifier (of a reflected path its ORIGINATOR_ID), the shortest CLUSTER_LIST, the lowest
    address. MEDs are compared among paths with the same nearest AS, and those first (`bgp deterministic-med`); a
    missing one is 0. The way to every next hop is equally long.

    Packets are shared among paths that are as good up to the identifier and come from the same AS, or, on internal
    sessions, have the same AS path (FRR's multipath without `as-path multipath-relax`).
    """
    paths: dict[IPv4Network, list[_Candidate]] = {}
    for session, table in adj_rib_in.items():
        for prefix, attributes in table.items():
            internal = speaker.is_internal(session.neighbour)
            paths.setdefault(prefix, []).append(_Candidate(session, attributes, internal))
    found = {}
    for prefix, candidates in paths.items():
        by_as: dict[object, list[_Candidate]] = {}
        for each in candidates:
            by_as.setdefault(each.attributes.as_path[:1], []).append(each)
        bests = (min(each, key=lambda c: (c.merit, c.med, c.internal, c.tie)) for each in by_as.values())
        best = min(bests, key=lambda c: (c.merit, c.internal, c.tie))
        equals = (each.session for each in sorted(candidates, key=lambda c: c.tie) if best.shares(each))
        found[prefix] = Best(best.attributes, tuple(equals))
    return found | {prefix: Best(_HERE, ()) for prefix in speaker.networks}


def advertises(
    speaker: CustomerSpeaker, session: Session, loc_rib: LocRib, established: Iterable[Session]
) -> dict[IPv4Network, PathAttributes]:
    """What a speaker advertises on a session; `established` are its sessions that are up.

    FRR withholds a path from its sender only where that is the only neighbour of its update group: both instances of a
    route server get back what one of them advertises, and drop it for their own ASN [path-with-65515].
    """
    internal = speaker.is_internal(session.neighbour)
    if speaker.requires_policy and not internal:
        return {}
    group = _update_group(speaker, session.neighbour)
    echoes = sum(_update_group(speaker, each.neighbour) == group for each in established) > 1
    export = _exported_internally if internal else _exported
    found = {}
    for prefix, chosen in loc_rib.items():
        if session in chosen.sessions[:1] and not echoes:
            continue
        exported = export(speaker, session.neighbour, prefix, chosen)
        if exported is not None:
            found[prefix] = exported
    return found


def _update_group(speaker: CustomerSpeaker, neighbour: Neighbour) -> tuple[object, ...]:
    """What neighbours have in common to which FRR sends the same UPDATEs: the route-map, options."""
    return (
        route_map(speaker, neighbour),
        neighbour.asn if neighbour.circuit else 0,
        speaker.is_internal(neighbour),
        neighbour.route_reflector_client,
        neighbour.next_hop_self,
    )


def _exported(speaker: CustomerSpeaker, to: Neighbour, prefix: IPv4Network, chosen: Best) -> PathAttributes | None:
    received = chosen.attributes
    if not may_be_advertised(received, ebgp=True):
        return None
    if to.circuit and to.asn in asns(received.as_path):
        return None
    rule = deciding_rule(speaker.exports, to, prefix, received) or _UNCHANGED
    if rule.deny:
        return None
    sent = PathAttributes(
        _next_hop(speaker, to, chosen),
        exported_path(rule, speaker.asn, to, received.as_path),
        received.origin,
        None if chosen.sessions else received.med,
        received.communities,
        received.large_communities,
        received.unknown,
    )
    return exported_attributes(rule, sent, received)


def _next_hop(speaker: CustomerSpeaker, to: Neighbour, chosen: Best) -> IPv4Address:
    """The next hop of a path to an external neighbour, as long as no rule sets another one.

    A next hop that is in the same subnet as the neighbour and the speaker stays (RFC 4271 §5.1.3, "third party").
    """
    next_hop = chosen.attributes.next_hop
    third_party = any(next_hop in subnet and to.address in subnet for subnet in speaker.subnets)
    return next_hop if chosen.sessions and third_party and not to.next_hop_self else to.own


def _exported_internally(
    speaker: CustomerSpeaker, to: Neighbour, prefix: IPv4Network, chosen: Best
) -> PathAttributes | None:
    """A path for an internal neighbour: of one from another internal neighbour, only if one of them is a client.

    A reflector changes nothing in what it reflects, whatever its rules set (FRR's `allow-outbound-policy` is off).
    """
    received = chosen.attributes
    rule = deciding_rule(speaker.exports, to, prefix, received) or _UNCHANGED
    if rule.deny or not may_be_advertised(received, ebgp=False):
        return None
    sender = chosen.sessions[0].neighbour if chosen.sessions else None
    if sender is not None and isinstance(received, InternalAttributes):
        if not (sender.route_reflector_client or to.route_reflector_client):
            return None
        return replace(
            received,
            originator_id=received.originator_id or sender.router_id,
            cluster_list=(speaker.router_id, *received.cluster_list),
        )
    sent = InternalAttributes(
        to.own if sender is None or to.next_hop_self else received.next_hop,
        exported_path(rule, speaker.asn, to, received.as_path),
        received.origin,
        received.med,
        received.communities,
        received.large_communities,
        received.unknown,
    )
    return exported_attributes(rule, sent, received)


_UNCHANGED = ExportRule()


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A path that may become the best one, and the session that it is from."""

    session: Session
    attributes: PathAttributes
    internal: bool

    @property
    def merit(self) -> tuple[int, int, int]:
        """What is compared before the MED; the lower, the better."""
        preference = self.attributes.local_pref if isinstance(self.attributes, InternalAttributes) else LOCAL_PREF
        return -preference, len(self.attributes.as_path), self.attributes.origin.rank

    @property
    def med(self) -> int:
        """The MED, as it is compared with that of another path by way of the same AS."""
        return self.attributes.med or 0

    @property
    def tie(self) -> tuple[int, int, int]:
        """What is compared last."""
        identifier, clusters = self.session.neighbour.router_id, 0
        if isinstance(self.attributes, InternalAttributes):
            identifier, clusters = self.attributes.originator_id or identifier, len(self.attributes.cluster_list)
        return int(identifier), clusters, int(self.session.neighbour.address)

    def shares(self, other: _Candidate) -> bool:
        """Whether packets are shared with another path, when this one is the best; the best one itself is included."""
        if (other.merit, other.med, other.internal) != (self.merit, self.med, self.internal):
            return False
        if self.internal:
            return other.attributes.as_path == self.attributes.as_path
        return other.session.neighbour.asn == self.session.neighbour.asn
