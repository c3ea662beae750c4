"""Export policies, whatever the daemon: which rule decides for a path, and what it makes of it. Pure.

A daemon's folder renders the same rules as its configuration. Where a daemon does something else with them, its
`decide` has that.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from ipaddress import IPv4Network

from labkit.azure.model import AsPath, AsPathMatch, ExportRule, PathAttributes
from labkit.daemons.speaker import Neighbour

_BOUNDARY = r"(?:^|[,{}() ]|$)"
"""What `_` matches in a regular expression of an AS path."""


def rules_towards(exports: Sequence[ExportRule], neighbour: Neighbour) -> tuple[ExportRule, ...]:
    """The rules that may decide for a neighbour, in their order: none after one that decides for every path."""
    found = []
    for rule in exports:
        if rule.to is None or {neighbour.peer, neighbour.name}.intersection(rule.to):
            found.append(rule)
            if rule.is_for_all_paths:
                break
    return tuple(found)


def deciding_rule(
    exports: Sequence[ExportRule], neighbour: Neighbour, prefix: IPv4Network, attributes: PathAttributes
) -> ExportRule | None:
    """The first rule that matches a neighbour and a path, as the speaker has it in its Loc-RIB; None if none does."""
    return next((rule for rule in rules_towards(exports, neighbour) if matches(rule, prefix, attributes)), None)


def matches(rule: ExportRule, prefix: IPv4Network, attributes: PathAttributes) -> bool:
    """Whether a path meets the conditions of a rule; its receiver is not asked."""
    covers = any(prefix == each.prefix or (each.or_longer and prefix.subnet_of(each.prefix)) for each in rule.prefixes)
    path = as_path_text(attributes.as_path) if rule.as_paths else ""
    return (
        (covers or not rule.prefixes)
        and (not rule.communities or not {*rule.communities}.isdisjoint(attributes.communities))
        and (not rule.as_paths or any(expression(each).search(path) for each in rule.as_paths))
    )


def exported_path(rule: ExportRule, asn: int, to: Neighbour, as_path: AsPath) -> AsPath:
    """What becomes of an AS path by a rule that permits it.

    The speaker's own ASN `asn` in front of it is included, which an internal neighbour does not get.
    """
    changes = rule.changes
    swaps: dict[int, int | None] = dict.fromkeys(changes.strip)
    if changes.as_override:
        swaps[to.asn] = asn
    return (*(asn,) * ((to.asn != asn) + changes.prepend), *_swapped(as_path, swaps))


def exported_attributes(rule: ExportRule, attributes: PathAttributes, received: PathAttributes) -> PathAttributes:
    """A path as a speaker would advertise it, with what a rule that permits it sets; the AS path stays as it is.

    `received` is the path as it is in the Loc-RIB, whose next hop may stay.
    """
    changes = rule.changes
    next_hop = changes.next_hop or attributes.next_hop
    if changes.next_hop_unchanged and int(received.next_hop):
        next_hop = received.next_hop
    return replace(
        attributes,
        next_hop=next_hop,
        communities=tuple(sorted({*attributes.communities, *changes.communities})),
        med=attributes.med if changes.med is None else changes.med,
        origin=attributes.origin if changes.origin is None else changes.origin,
    )


def as_path_text(as_path: AsPath) -> str:
    """An AS path as regular expressions see it: `65001 {65002,65003}`."""
    hops = (f"{{{','.join(map(str, sorted(hop)))}}}" if isinstance(hop, frozenset) else str(hop) for hop in as_path)
    return " ".join(hops)


@cache
def expression(match: AsPathMatch) -> re.Pattern[str]:
    """What an AS path's text is searched for."""
    return re.compile(str(match).replace("_", _BOUNDARY))


def _swapped(as_path: AsPath, swaps: dict[int, int | None]) -> Iterator[int | frozenset[int]]:
    """A path with other ASNs in place of some, or with none."""
    for hop in as_path:
        if isinstance(hop, frozenset):
            kept = frozenset(new for asn in hop for new in (swaps.get(asn, asn),) if new is not None)
            if kept:
                yield kept
        else:
            new = swaps.get(hop, hop)
            if new is not None:
                yield new
