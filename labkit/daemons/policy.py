"""What all daemons do alike, as labkit configures them: import policy, best paths, export policy. Pure.

A daemon's `decide` adds its own habits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network

from labkit.azure.model import ExportRule, PathAttributes
from labkit.azure.rules.communities import may_be_advertised
from labkit.daemons.export_policy import deciding_rule, exported_attributes, exported_path
from labkit.daemons.speaker import (
    LOCAL_PREF,
    AdjRibIn,
    Advertisements,
    Best,
    CustomerSpeaker,
    InternalAttributes,
    Neighbour,
    Session,
    asns,
    without_loops,
)


def import_policy(
    speaker: CustomerSpeaker, neighbour: Neighbour, received: Advertisements
) -> dict[IPv4Network, PathAttributes]:
    """What a speaker accepts of a neighbour's routes.

    Nothing with its own ASN in the path (RFC 4271 §9.1.2), nothing whose next hop it is itself (RFC 4271 §6.3), nor
    what it has originated or reflected (RFC 4456 §8).
    """
    if speaker.requires_policy and not speaker.is_internal(neighbour):
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


@dataclass(frozen=True, slots=True)
class ReceivedPath:
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
    def nearest(self) -> object:
        """The AS that the path comes by."""
        return self.attributes.as_path[:1]

    @property
    def tie(self) -> tuple[int, int, int]:
        """What is compared last."""
        identifier, clusters = self.session.neighbour.router_id, 0
        if isinstance(self.attributes, InternalAttributes):
            identifier, clusters = self.attributes.originator_id or identifier, len(self.attributes.cluster_list)
        return int(identifier), clusters, int(self.session.neighbour.address)


def best_paths(
    speaker: CustomerSpeaker, adj_rib_in: AdjRibIn, share: Callable[[ReceivedPath, ReceivedPath], bool]
) -> dict[IPv4Network, Best]:
    """The best of the paths from neighbours.

    The highest local preference comes first, then the shortest path, the ORIGIN, the MED, external before internal, the
    lowest identifier (of a reflected path its ORIGINATOR_ID), the shortest CLUSTER_LIST, the lowest address. MEDs are
    compared among paths with the same nearest AS, and those first; a missing one is 0. The way to every next hop is
    equally long. `share` is whether packets are shared between the best path and another one with the same local
    preference, length and ORIGIN, which is external or internal as well.
    """
    paths: dict[IPv4Network, list[ReceivedPath]] = {}
    for session, table in adj_rib_in.items():
        for prefix, attributes in table.items():
            internal = speaker.is_internal(session.neighbour)
            paths.setdefault(prefix, []).append(ReceivedPath(session, attributes, internal))
    found = {}
    for prefix, candidates in paths.items():
        by_as: dict[object, list[ReceivedPath]] = {}
        for each in candidates:
            by_as.setdefault(each.nearest, []).append(each)
        bests = (min(each, key=lambda c: (c.merit, c.med, c.internal, c.tie)) for each in by_as.values())
        best = min(bests, key=lambda c: (c.merit, c.internal, c.tie))
        equals = (
            each.session
            for each in sorted(candidates, key=lambda c: c.tie)
            if (each.merit, each.internal) == (best.merit, best.internal) and share(best, each)
        )
        found[prefix] = Best(best.attributes, tuple(equals))
    return found


_UNCHANGED = ExportRule()


def exported(
    speaker: CustomerSpeaker, to: Neighbour, prefix: IPv4Network, chosen: Best, next_hop: IPv4Address
) -> PathAttributes | None:
    """A best path as a speaker advertises it to an external neighbour, None if it does not.

    It has `next_hop`, as long as no rule sets another one.
    """
    received = chosen.attributes
    if not may_be_advertised(received, ebgp=True):
        return None
    if to.circuit and _is_kept_from_circuit(speaker, to, chosen):
        return None
    rule = deciding_rule(speaker.exports, to, prefix, received) or _UNCHANGED
    if rule.deny:
        return None
    sent = PathAttributes(
        next_hop,
        exported_path(rule, speaker.asn, to, received.as_path),
        received.origin,
        None if chosen.sessions else received.med,
        received.communities,
        received.large_communities,
        received.unknown,
    )
    return exported_attributes(rule, sent, received)


def _is_kept_from_circuit(speaker: CustomerSpeaker, to: Neighbour, chosen: Best) -> bool:
    """Whether a path does not go to a circuit: one of any circuit, and if the speaker relays those, one of the same."""
    if speaker.transit:
        return any(session.neighbour.peer == to.peer for session in chosen.sessions[:1])
    return to.asn in asns(chosen.attributes.as_path)


def exported_internally(
    speaker: CustomerSpeaker, to: Neighbour, prefix: IPv4Network, chosen: Best, *, changes_reflected: bool
) -> PathAttributes | None:
    """A path for an internal neighbour: of one from another internal neighbour, only if one of them is a client.

    `changes_reflected` is whether rules change also what a reflector reflects.
    """
    received = chosen.attributes
    rule = deciding_rule(speaker.exports, to, prefix, received) or _UNCHANGED
    if rule.deny or not may_be_advertised(received, ebgp=False):
        return None
    sender = chosen.sessions[0].neighbour if chosen.sessions else None
    if sender is not None and isinstance(received, InternalAttributes):
        if not (sender.route_reflector_client or to.route_reflector_client):
            return None
        reflected = replace(
            received,
            originator_id=received.originator_id or sender.router_id,
            cluster_list=(speaker.router_id, *received.cluster_list),
        )
        if not changes_reflected:
            return reflected
        path = exported_path(rule, speaker.asn, to, received.as_path)
        return exported_attributes(rule, replace(reflected, as_path=path), received)
    sent = InternalAttributes(
        to.own if to.next_hop_self or not int(received.next_hop) else received.next_hop,
        exported_path(rule, speaker.asn, to, received.as_path),
        received.origin,
        received.med,
        received.communities,
        received.large_communities,
        received.unknown,
    )
    return exported_attributes(rule, sent, received)
