"""An export policy as filters of BIRD."""

from __future__ import annotations

from collections.abc import Iterator

from labkit.azure.model import AsPathMatch, ExportRule, PrefixMatch
from labkit.daemons.bird.policy_change import BEGIN, END, neighbour_line
from labkit.daemons.export_policy import rules_towards
from labkit.daemons.speaker import CustomerSpeaker, Neighbour
from labkit.names import handle


def export_filter(speaker: CustomerSpeaker, neighbour: Neighbour) -> str | None:
    """The name of the filter for what is advertised to a neighbour; None if nothing changes it."""
    return f"'to-{handle(neighbour.peer)}'" if rules_towards(speaker.exports, neighbour) else None


def policy(speaker: CustomerSpeaker) -> str:
    """All of a configuration that changes while a lab runs: what is originated, filters, who gets routes by them."""
    lines = ["protocol static originated {", *originated_lines(speaker), "}", *policy_lines(speaker)]
    lines += [
        neighbour_line(each.address, f"filter {name}" if (name := export_filter(speaker, each)) else "all")
        for each in speaker.neighbours
        if not speaker.requires_policy or speaker.is_internal(each)
    ]
    return "\n".join((*lines, ""))


def originated_lines(speaker: CustomerSpeaker) -> Iterator[str]:
    """What is in the protocol of the routes that a speaker originates."""
    yield "  ipv4;"
    yield from (f"  route {prefix} unreachable;" for prefix in speaker.networks)
    static = (route.prefix for route in speaker.redistributed if route.prefix not in speaker.networks)
    yield from (f"  route {prefix} unreachable {{ bgp_origin = ORIGIN_INCOMPLETE; }};" for prefix in static)


def policy_lines(speaker: CustomerSpeaker) -> Iterator[str]:
    """The lines of a configuration that define a speaker's filters, and what they call."""
    yield BEGIN
    if any(rule.changes.as_override and not rule.deny for rule in speaker.exports):
        yield from _REPLACED.splitlines()
    yield from _filters(speaker)
    yield END


_REPLACED = """
function replaced(bgppath path; int old; int new) -> bgppath
{
  bgppath reversed = +empty+;
  bgppath found = +empty+;
  for int each in path do {
    if each = old then reversed.prepend(new); else reversed.prepend(each);
  }
  for int each in reversed do found.prepend(each);
  return found;
}"""


def _filters(speaker: CustomerSpeaker) -> Iterator[str]:
    neighbours = {export_filter(speaker, neighbour): neighbour for neighbour in speaker.neighbours}
    for name, neighbour in neighbours.items():
        if name is not None:
            yield from ("", f"filter {name} {{")
            rules = rules_towards(speaker.exports, neighbour)
            for rule in rules:
                yield from _rule(speaker, neighbour, rule)
            yield from ("}",) if rules[-1].is_for_all_paths else ("  accept;", "}")


def _rule(speaker: CustomerSpeaker, neighbour: Neighbour, rule: ExportRule) -> Iterator[str]:
    verdict = ["reject;"] if rule.deny else [*_changes(speaker, neighbour, rule), "accept;"]
    if rule.is_for_all_paths:
        yield from (f"  {line}" for line in verdict)
    else:
        yield from (f"  if {' && '.join(_conditions(rule))} then {{", *(f"    {line}" for line in verdict), "  }")


def _conditions(rule: ExportRule) -> Iterator[str]:
    if rule.prefixes:
        yield f"net ~ [ {', '.join(map(_prefix, rule.prefixes))} ]"
    if rule.communities:
        yield f"bgp_community ~ [ {', '.join(map(_community, rule.communities))} ]"
    if rule.as_paths:
        yield f"({' || '.join(f'bgp_path ~ {_mask(each)}' for each in rule.as_paths)})"


def _prefix(match: PrefixMatch) -> str:
    return f"{match.prefix}+" if match.or_longer else str(match.prefix)


def _community(community: tuple[int, int]) -> str:
    return "({}, {})".format(*community)


def _mask(match: AsPathMatch) -> str:
    words = [*([] if match.from_start else ["*"]), *map(str, match.asns), *([] if match.to_end else ["*"])]
    return f"[= {' '.join(words)} =]"


def _changes(speaker: CustomerSpeaker, neighbour: Neighbour, rule: ExportRule) -> Iterator[str]:
    changes = rule.changes
    if changes.next_hop_unchanged:
        yield "if defined(bgp_next_hop) then bgp_next_hop = bgp_next_hop;"
    elif changes.next_hop is not None:
        yield f"bgp_next_hop = {changes.next_hop};"
    if changes.med is not None:
        yield f"bgp_med = {changes.med};"
    if changes.origin is not None:
        yield f"bgp_origin = ORIGIN_{changes.origin.upper()};"
    for community in changes.communities:
        yield f"bgp_community.add({_community(community)});"
    for asn in changes.strip:
        yield f"bgp_path.delete({asn});"
    if changes.as_override:
        yield f"bgp_path = replaced(bgp_path, {neighbour.asn}, {speaker.asn});"
    yield from [f"bgp_path.prepend({speaker.asn});"] * changes.prepend
