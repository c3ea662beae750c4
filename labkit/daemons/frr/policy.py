"""An export policy as route-maps of FRR and the lists that they match."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from labkit.azure.model import ExportRule, PrefixMatch
from labkit.daemons.export_policy import rules_towards
from labkit.daemons.speaker import CustomerSpeaker, Neighbour

_STEP = 10
_LONGEST = 32


def route_map(speaker: CustomerSpeaker, neighbour: Neighbour) -> str | None:
    """The name of the route-map for what is advertised to a neighbour; None if nothing changes it."""
    filtered = rules_towards(speaker.exports, neighbour) or circuit_tag(speaker, neighbour) is not None
    to = neighbour.name if neighbour.circuit else neighbour.peer  # rules may be for one edge router of two
    return f"to-{to}" if filtered else None


def circuit_tag(speaker: CustomerSpeaker, neighbour: Neighbour) -> int | None:
    """What marks the paths of a circuit, which do not go back to it; None if the speaker relays nothing to it."""
    if not (speaker.transit and neighbour.circuit):
        return None
    circuits = list(dict.fromkeys(each.peer for each in speaker.neighbours if each.circuit))
    return 1 + circuits.index(neighbour.peer)


def policy_lines(speaker: CustomerSpeaker) -> Iterator[str]:
    """The lines of a configuration that define a speaker's route-maps, with a `!` after each part."""
    neighbours = {route_map(speaker, neighbour): neighbour for neighbour in speaker.neighbours}
    for name, neighbour in neighbours.items():
        if name is not None:
            yield from _route_map(speaker, neighbour, name)


def policy(speaker: CustomerSpeaker) -> str:
    """All of a configuration that changes while a lab runs: route-maps, who gets routes by them, what is originated."""
    lines = [] if speaker.requires_policy else [*policy_lines(speaker)]
    lines += [f"router bgp {speaker.asn}", " address-family ipv4 unicast"]
    lines += [f"  network {prefix}" for prefix in speaker.networks]
    for neighbour in speaker.neighbours if not speaker.requires_policy else ():
        name = route_map(speaker, neighbour)
        lines += [f"  neighbor {neighbour.address} route-map {name} out"] if name is not None else []
    return "\n".join((*lines, " exit-address-family", "exit", ""))


def _route_map(speaker: CustomerSpeaker, neighbour: Neighbour, name: str) -> Iterator[str]:
    rules, tag = rules_towards(speaker.exports, neighbour), circuit_tag(speaker, neighbour)
    if tag is not None:
        yield from (f"route-map from-{neighbour.peer} permit {_STEP}", f" set tag {tag}", "exit", "!")
        yield from (f"route-map {name} deny 1", f" match tag {tag}", "exit", "!")
    for number, rule in enumerate(rules, 1):
        lists = [*_lists(f"{name}-{number * _STEP}", rule)]
        yield from (*lists, *(["!"] if lists else []))
        yield f"route-map {name} {'deny' if rule.deny else 'permit'} {number * _STEP}"
        yield from _conditions(f"{name}-{number * _STEP}", rule)
        if not rule.deny:
            yield from _changes(speaker, neighbour, rule)
        yield from ("exit", "!")
    if not (rules and rules[-1].is_for_all_paths):
        yield from (f"route-map {name} permit {(len(rules) + 1) * _STEP}", "exit", "!")


def _lists(name: str, rule: ExportRule) -> Iterator[str]:
    for what, values in (
        ("ip prefix-list {}", [*map(_prefix, rule.prefixes)]),
        ("bgp community-list standard {}", [*map(_community, rule.communities)]),
        ("bgp as-path access-list {}", [*map(str, rule.as_paths)]),
    ):
        for number, value in enumerate(values, 1):
            yield f"{what.format(name)} seq {5 * number} permit {value}"


def _prefix(match: PrefixMatch) -> str:
    longer = match.or_longer and match.prefix.prefixlen < _LONGEST
    return f"{match.prefix} le {_LONGEST}" if longer else str(match.prefix)


def _community(community: tuple[int, int]) -> str:
    return "{}:{}".format(*community)


def _conditions(name: str, rule: ExportRule) -> Iterator[str]:
    if rule.prefixes:
        yield f" match ip address prefix-list {name}"
    if rule.communities:
        yield f" match community {name}"
    if rule.as_paths:
        yield f" match as-path {name}"


def _changes(speaker: CustomerSpeaker, neighbour: Neighbour, rule: ExportRule) -> Iterator[str]:
    changes = rule.changes
    if changes.next_hop is not None:
        yield f" set ip next-hop {changes.next_hop}"
    if changes.next_hop_unchanged:
        yield " set ip next-hop unchanged"
    if changes.med is not None:
        yield f" set metric {changes.med}"
    if changes.origin is not None:
        yield f" set origin {changes.origin}"
    if changes.communities:
        yield f" set community {_words(map(_community, changes.communities))} additive"
    if changes.strip:
        yield f" set as-path exclude {_words(changes.strip)}"
    if changes.as_override:
        yield f" set as-path replace {neighbour.asn} {speaker.asn}"
    if changes.prepend:
        yield f" set as-path prepend {_words([speaker.asn] * changes.prepend)}"


def _words(values: Sequence[object] | Iterator[object]) -> str:
    return " ".join(map(str, values))
